/** From the parts of a form to the members that the same request would have as JSON. */
import type { LongText } from '../body/long-text.ts';
import type { MultipartForm } from '../body/multipart.ts';
import { GatewayError } from '../errors.ts';
import type { CallMembers } from './call-members.ts';
import { TakenPicture } from './call-pictures.ts';

const wholeNumbers: ReadonlySet<string> = new Set(['n', 'output_compression', 'partial_images', 'seed']);
const booleans: ReadonlySet<string> = new Set(['stream']);
const documents: ReadonlySet<string> = new Set(['extra', 'fallbacks']);
/** Parts that may come more than once: each is one more of the list. */
const lists = /^(image|images|mask|fallbacks)(\[\d*\])?$/;

/** Text becomes what it means; text that means nothing of the kind is left for validation to refuse by name. */
export function formMembers(form: MultipartForm<string | LongText>): CallMembers {
  const members = new Map<string, unknown>();
  const add = (name: string, value: unknown): void => {
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
  for (const [name, text] of form.fields) add(name, coerce(name, text));
  for (const { name, payload } of form.files) {
    if (!/^(image|images|mask)(\[\d*\])?$/.test(name)) {
      throw new GatewayError('invalid_value', `The parameter "${name}" is not a picture.`, { param: name });
    }
    add(name, new TakenPicture(payload));
  }
  return Object.fromEntries(members);
}

/** A long text is left as it is: pictures are looked for later, and numbers are short. */
function coerce(name: string, text: string | LongText): unknown {
  if (typeof text !== 'string') return text;
  if (wholeNumbers.has(name) && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (booleans.has(name) && (text === 'true' || text === 'false')) return text === 'true';
  if (documents.has(name) && /^\s*[[{]/.test(text)) return jsonOrText(text);
  return text;
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Validation says what the member should have been.
    return text;
  }
}
