/** From the parts of a form to the members that the same request would have as JSON. */
import { createJsonScanner, JsonScanError, LongText } from '../body/json-scan.ts';
import type { FormPart } from '../body/multipart.ts';
import { GatewayError } from '../errors.ts';
import type { CallMembers } from './call-members.ts';
import { isPicturePart, type TakenPicture } from './call-pictures.ts';

const wholeNumbers: ReadonlySet<string> = new Set(['n', 'output_compression', 'partial_images', 'seed']);
const booleans: ReadonlySet<string> = new Set(['stream']);
const documents: ReadonlySet<string> = new Set(['extra', 'fallbacks']);
/** The most bytes of a document in a field, long texts not counted, and how deep it may be nested. */
const maxDocumentBytes = 256 * 1024;
const maxDocumentDepth = 32;
/** Parts that may come more than once: each is one more of the list. */
const lists = /^(image|images|mask|fallbacks)(\[\d*\])?$/;

/**
 * Text becomes what it means; text that means nothing of the kind is left for validation to refuse by name. Pictures stay
 * in the order of the form, in whichever form each of them came.
 */
export function formMembers(parts: readonly FormPart<TakenPicture | undefined>[]): CallMembers {
  const members = new Map<string, unknown>();
  const add = (name: string, value: unknown): void => {
    if (name === '__proto__') {
      throw new GatewayError('invalid_multipart', `The form has a part \`${name}\`, which is not accepted.`);
    }
    const list = lists.exec(name)?.[1];
    if (list !== undefined) {
      const known = members.get(list);
      members.set(list, [...(Array.isArray(known) ? known : []), ...(Array.isArray(value) ? value : [value])]);
    } else if (members.has(name)) {
      throw new GatewayError('invalid_value', `Duplicate parameter: '${name}'.`, { param: name });
    } else {
      members.set(name, value);
    }
  };
  for (const part of parts) {
    if (part.kind === 'field') add(part.name, coerce(part.name, part.value));
    else if (isPicturePart(part.name)) add(part.name, part.content);
    else throw noPicture(part.name);
  }
  return Object.fromEntries(members);
}

function noPicture(name: string): GatewayError {
  return new GatewayError('invalid_value', `The parameter "${name}" is not a picture.`, { param: name });
}

/** A long text is left as it is: pictures are looked for later, and numbers are short. */
function coerce(name: string, text: string | LongText | TakenPicture | undefined): unknown {
  if (documents.has(name) && (typeof text === 'string' || text instanceof LongText)) return documentOrText(name, text);
  if (typeof text !== 'string') return text;
  if (wholeNumbers.has(name) && /^-?\d{1,15}$/.test(text)) return Number(text);
  // Python's HTTP clients write a capital letter.
  if (booleans.has(name) && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  return text;
}

/** A list or an object under the rules of a JSON body. What is neither is left for validation, which says what it should be. */
function documentOrText(name: string, text: string | LongText): unknown {
  const slices = typeof text === 'string' ? [Buffer.from(text)] : text.text.slices;
  const scanner = createJsonScanner({ maxSkeletonBytes: maxDocumentBytes, maxDepth: maxDocumentDepth });
  try {
    for (const slice of slices) void scanner.feed(slice);
    const document = scanner.end();
    return typeof document === 'object' && document !== null ? document : text;
  } catch (error) {
    if (!(error instanceof JsonScanError)) throw error;
    if (error.reason === 'syntax') return text;
    throw new GatewayError('invalid_value', error.message, { param: name });
  }
}
