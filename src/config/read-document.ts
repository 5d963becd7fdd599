import { isJsonObject } from '../json.ts';
import { segmentsOf } from '../json-pointer.ts';
import { parseDocument, type ConfigDocument } from './document.ts';
import { createParserThread } from './parser-thread.ts';

/** From this size on, in characters, parsing takes long enough to be noticed by requests under way. */
const largeText = 16 * 1024;

const thread = createParserThread();

/** Parses a text as `parseDocument` does; a large one on a thread of its own. */
export async function readDocument(text: string): Promise<ConfigDocument> {
  if (text.length < largeText) return parseDocument(text);
  const { value, problems } = await thread.parse(text);
  // Positions are wanted only for problems. Then the text is parsed once more, here.
  let here: ConfigDocument | undefined;
  const parsed = (): ConfigDocument => (here ??= parseDocument(text));
  return {
    value,
    problems,
    locate: (pointer, part) => parsed().locate(pointer, part),
    has: (pointer) => (value === undefined ? parsed().has(pointer) : isAt(value, segmentsOf(pointer))),
  };
}

function isAt(value: unknown, segments: readonly string[]): boolean {
  const [segment, ...rest] = segments;
  if (segment === undefined) return true;
  if (!(Array.isArray(value) || isJsonObject(value)) || !Object.hasOwn(value, segment)) return false;
  return isAt(Reflect.get(value, segment), rest);
}
