import { GatewayError } from '../errors.ts';
import { readParameters, type ParameterisedValue } from './parameters.ts';

/** What the headers of a part of a form say: RFC 7578 §4. */
export interface PartHead {
  /** Never empty. */
  readonly name: string;
  /** Without folders; empty when the sender left it empty; undefined for a text field. */
  readonly fileName: string | undefined;
  /** As declared, lower case, without parameters. */
  readonly mediaType: string | undefined;
  readonly charset: string;
}

/** Names to values, as the parser of the headers hands them over: lower case to one or several. */
export type PartHeaders = Readonly<Record<string, readonly string[] | undefined>>;

/** Encodings that leave the bytes as they are; RFC 7578 §4.7 deprecates the header as such. */
const identityEncodings: ReadonlySet<string> = new Set(['7bit', '8bit', 'binary']);

/** @throws GatewayError invalid_multipart when these are no headers, or more than so many */
export function checkHeaders(headers: object, maxPairs: number): PartHeaders {
  if (!isPartHeaders(headers)) throw invalid('a part has malformed headers');
  const pairs = Object.values(headers).reduce((sum, values) => sum + (values?.length ?? 0), 0);
  if (pairs > maxPairs) throw invalid(`a part has more than ${maxPairs} headers`);
  return headers;
}

function isPartHeaders(headers: object): headers is PartHeaders {
  return Object.values(headers).every((values: unknown) => Array.isArray(values) && values.every(isString));
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** @throws GatewayError invalid_multipart; `param` names the part where it has a name */
export function readPartHead(headers: PartHeaders): PartHead {
  const disposition = read(headers, 'content-disposition');
  if (disposition?.value !== 'form-data') throw invalid('a part has no Content-Disposition of form-data');
  const name = unescape(disposition.parameters.get('name') ?? '');
  if (name === '') throw invalid('a part has no name');
  const type = read(headers, 'content-type', name);
  const encoding = read(headers, 'content-transfer-encoding', name)?.value ?? 'binary';
  if (!identityEncodings.has(encoding)) throw invalid('a part has a Content-Transfer-Encoding', name);
  const fileName = disposition.parameters.get('filename');
  return {
    name,
    fileName: fileName === undefined ? undefined : withoutFolders(unescape(fileName)),
    mediaType: type?.value,
    charset: type?.parameters.get('charset') ?? 'utf-8',
  };
}

/** @throws GatewayError invalid_multipart */
export function invalid(what: string, param?: string): GatewayError {
  return new GatewayError('invalid_multipart', `The form cannot be read: ${what}.`, { param });
}

function read(headers: PartHeaders, header: string, param?: string): ParameterisedValue | undefined {
  const values = headers[header];
  const [value] = values ?? [];
  if (value === undefined) return undefined;
  const parameters = values?.length === 1 ? readParameters(value) : undefined;
  if (parameters === undefined) throw invalid(`a part has a malformed ${header}`, param);
  return parameters;
}

/**
 * Browsers write quotes and line ends as `%22`, `%0D` and `%0A`; aiohttp writes everything so, `image%5B%5D` included.
 * A percent sign that begins nothing stands for itself.
 */
function unescape(text: string): string {
  if (!/%[0-9a-f]{2}/i.test(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

/** A name may come with folders, by old browsers or with intent. Nothing of them is to be believed. */
function withoutFolders(fileName: string): string {
  return fileName.split(/[/\\]/).at(-1) ?? '';
}
