/** Words and phrases that are looked for in what callers write. */

export interface Keywords {
  /** One of them that is in the text, as it was given; undefined when none is. Takes time linear to the text, however many there are. */
  findIn(text: string): string | undefined;
}

/**
 * @param words in any case and width
 * @param wholeWords whether a word is found only where no further letters belong to it
 */
export function compileKeywords(words: readonly string[], wholeWords: boolean): Keywords {
  const search = createSearch(words.map((word) => folded(word).trim()).filter((word) => word !== ''));
  const asGiven = new Map(words.map((word) => [folded(word).trim(), word]));
  return {
    findIn(text) {
      const place = folded(text);
      const found = search(place, wholeWords ? (at) => isEdge(place, at) : () => true);
      return found === undefined ? undefined : asGiven.get(found);
    },
  };
}

/** A text without what makes equal texts differ: width, ligatures and styles of letters, characters that cannot be seen, kinds of spaces. */
export function plainText(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .replace(/\s+/gu, ' ');
}

/** The same for texts that differ in nothing but case. Through capitals, where `ß` and `SS` meet. */
function folded(text: string): string {
  return plainText(text).toUpperCase().toLowerCase().replaceAll('ς', 'σ');
}

/** Letters that go on a word: combining marks too, and nothing of scripts that put no spaces between words. */
const wordLetter =
  /^(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}])[\p{L}\p{N}\p{M}_]$/u;

/** Whether no word goes on across a place of the text. */
function isEdge(text: string, place: number): boolean {
  return !(isWordLetter(letterBefore(text, place)) && isWordLetter(text.codePointAt(place)));
}

function letterBefore(text: string, place: number): number | undefined {
  const last = text.charCodeAt(place - 1);
  const isSecondHalf = last >= 0xdc00 && last <= 0xdfff && place >= 2;
  return place === 0 ? undefined : text.codePointAt(place - (isSecondHalf ? 2 : 1));
}

function isWordLetter(codePoint: number | undefined): boolean {
  return codePoint !== undefined && wordLetter.test(String.fromCodePoint(codePoint));
}

/** The first word that begins and ends at places where one may. */
type Search = (text: string, isEdge: (place: number) => boolean) => string | undefined;

/**
 * Aho and Corasick's automaton: one step for each character, whatever the words and the text. A native regular expression
 * of all words would try one after the other, which a caller can make take minutes.
 */
function createSearch(words: readonly string[]): Search {
  /** The state after a character, by state and character: `state * 65536 + unit`. */
  const edges = new Map<number, number>();
  /** By state: the word that ends there. */
  const ends: (string | undefined)[] = [undefined];
  /** By state: that of the longest proper ending which begins a word too. */
  const retreats: number[] = [0];
  /** By state: the nearest one on its line of retreat where a word ends; 0 when there is none. */
  const shorter: number[] = [0];

  const step = (state: number, unit: number): number | undefined => edges.get(state * 0x1_0000 + unit);
  const advance = (from: number, unit: number): number => {
    let state = from;
    for (;;) {
      const next = step(state, unit);
      if (next !== undefined) return next;
      if (state === 0) return 0;
      state = retreats[state] ?? 0;
    }
  };

  /** In breadth: the retreat of a state is shorter than itself, so it is known by then. */
  let fringe = words.map((word) => ({ word, state: 0 }));
  for (let depth = 0; fringe.length > 0; depth += 1) {
    fringe = fringe.map(({ word, state }) => {
      const unit = word.charCodeAt(depth);
      let next = step(state, unit);
      if (next === undefined) {
        next = ends.push(undefined) - 1;
        const retreat = depth === 0 ? 0 : advance(retreats[state] ?? 0, unit);
        retreats.push(retreat);
        shorter.push(0);
        edges.set(state * 0x1_0000 + unit, next);
      }
      if (word.length === depth + 1) ends[next] = word;
      return { word, state: next };
    });
    for (const { state } of fringe) {
      const retreat = retreats[state] ?? 0;
      shorter[state] = ends[retreat] === undefined ? (shorter[retreat] ?? 0) : retreat;
    }
    fringe = fringe.filter(({ word }) => word.length > depth + 1);
  }

  return function search(text, isEdge) {
    let state = 0;
    for (let place = 0; place < text.length; place += 1) {
      state = advance(state, text.charCodeAt(place));
      let at = ends[state] === undefined ? (shorter[state] ?? 0) : state;
      if (at !== 0 && !isEdge(place + 1)) continue;
      for (; at !== 0; at = shorter[at] ?? 0) {
        const word = ends[at] ?? '';
        if (isEdge(place + 1 - word.length)) return word;
      }
    }
    return undefined;
  };
}
