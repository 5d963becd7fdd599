import { styleText } from 'node:util';
import type { Position } from './document.ts';
import type { Redactor } from './redact.ts';
import { suggest } from './suggest.ts';

/** Something that keeps a file from going live. It holds no secrets and may be shown to operators anywhere. */
export interface Problem extends Position {
  /** As the caller named it. */
  readonly file: string;
  /** JSON pointer of the value at fault, or of what is around it; empty when the text itself is at fault. */
  readonly pointer: string;
  /** One line, the suggestion included. */
  readonly message: string;
  /** The name that was most likely meant. */
  readonly suggestion?: string;
  readonly excerpt?: Excerpt;
}

/** A few lines of the file around a problem. */
export interface Excerpt {
  readonly lines: readonly { readonly number: number; readonly text: string }[];
  /** Where the caret belongs in the line that has the problem's number; counts from 1. */
  readonly column: number;
}

/** A problem that knows its place in the data, but not yet in the text. */
export interface PointedProblem {
  readonly pointer: string;
  readonly message: string;
  /** `key`: the name at the pointer is at fault, and not what it stands for. */
  readonly kind?: 'value' | 'key' | 'missing';
  readonly misspelt?: { readonly given: string; readonly among: Iterable<string> };
}

/** Takes a problem as it is found. */
export type Report = (problem: PointedProblem) => void;

/** A problem whose place in the text is known. */
export type PlacedProblem = PointedProblem & Position;

/** A file that is no configuration at all would otherwise give a problem for each of its lines. */
const mostProblems = 100;

/** What is shown of a line. */
const mostColumns = 160;

/** Problems in the order of the text, each once, with suggestions and excerpts, and without secrets. */
export function finishProblems(file: string, placed: readonly PlacedProblem[], redactor: Redactor): Problem[] {
  const sorted = placed.toSorted((left, right) => left.line - right.line || left.column - right.column);
  const byText = new Map(sorted.map((problem) => [`${problem.line}:${problem.column}:${problem.message}`, problem]));
  const problems = [...byText.values()];
  const finished = problems.slice(0, mostProblems).map((problem) => finishProblem(file, problem, redactor));
  const last = problems[mostProblems];
  if (last !== undefined) {
    const message = `and ${problems.length - mostProblems} more problems from here on`;
    finished.push({ file, line: last.line, column: last.column, pointer: '', message });
  }
  return finished;
}

function finishProblem(file: string, placed: PlacedProblem, redactor: Redactor): Problem {
  const { line, column, misspelt } = placed;
  const suggestion = misspelt === undefined ? undefined : suggest(misspelt.given, misspelt.among);
  const message = suggestion === undefined ? placed.message : `${placed.message}; did you mean \`${suggestion}\`?`;
  return {
    file,
    line,
    column,
    pointer: redactor.message(placed.pointer),
    message: onOneLine(redactor.message(message)),
    ...(suggestion === undefined ? {} : { suggestion }),
    ...(redactor.isEmpty || line > redactor.lineCount ? {} : { excerpt: excerptAt(placed, redactor) }),
  };
}

function excerptAt({ line, column }: Position, redactor: Redactor): Excerpt {
  const numbers = [line - 1, line, line + 1].filter((number) => number >= 1 && number <= redactor.lineCount);
  const shownColumn = redactor.line(line, column).column;
  // Of a very long line, as JSON may be, the part around the column is enough.
  const start = shownColumn > mostColumns ? shownColumn - mostColumns / 2 : 0;
  const lines = numbers.map((number) => {
    const text = onOneLine(redactor.line(number, 1).text).slice(start, start + mostColumns);
    return { number, text: text.trimEnd() };
  });
  return { lines, column: shownColumn - start };
}

/** A text that cannot move a terminal's cursor or colours. Its length stays the same. */
function onOneLine(text: string): string {
  return text.replaceAll(/[\t\r\n\u2028\u2029]/g, ' ').replaceAll(/\p{Cc}/gu, '\ufffd');
}

/** A problem as text for a terminal or a log, over several lines. */
export function formatProblem(problem: Problem, options: { readonly colour?: boolean } = {}): string {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    options.colour === true ? styleText(format, text, { validateStream: false }) : text;
  const { file, line, column, message, excerpt } = problem;
  const head = `${style('bold', `${file}:${line}:${column}`)} ${style('red', message)}`;
  if (excerpt === undefined) return head;
  const width = String(excerpt.lines.at(-1)?.number ?? '').length;
  const body = excerpt.lines.flatMap(({ number, text }) => {
    const isFault = number === line;
    const row = `${isFault ? '>' : ' '} ${String(number).padStart(width)} | ${text}`.trimEnd();
    if (!isFault) return [style('dim', row)];
    return [row, `  ${' '.repeat(width)} | ${' '.repeat(excerpt.column - 1)}${style('red', '^')}`];
  });
  return [head, ...body.map((row) => `  ${row}`)].join('\n');
}
