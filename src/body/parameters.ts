/** A header value of the form `value; name=value; name="value"`, as in Content-Type and Content-Disposition. */
export interface ParameterisedValue {
  /** Before the first semicolon, lower case. */
  readonly value: string;
  /** By lower-case name; `name*` is decoded and takes the place of `name`. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** RFC 9110 §5.6.6, and the star of RFC 8187. Blanks around the equals sign are bad form, but sent. */
const nameForm = /([^\s=;"*]+)(\*?)[ \t]*=[ \t]*/y;
const valueForm = /"((?:[^"\\]|\\.)*)"|([^\s;"]*)/sy;

/**
 * Reads such a value.
 * @param header as it came, one byte a character, which is how HTTP parsers hand headers over
 * @returns undefined when it is malformed, or names a parameter twice
 */
export function readParameters(header: string): ParameterisedValue | undefined {
  const plain = new Map<string, string>();
  const extended = new Map<string, string>();
  let at = header.indexOf(';');
  const value = (at === -1 ? header : header.slice(0, at)).trim().toLowerCase();
  while (at !== -1 && at < header.length) {
    at = afterBlanks(header, at + 1);
    // Nothing between two semicolons, or after the last.
    if (at === header.length || header[at] === ';') continue;
    const [name, star] = matchAt(nameForm, header, at) ?? [];
    if (name === undefined) return undefined;
    const [quoted, token] = matchAt(valueForm, header, nameForm.lastIndex) ?? [];
    const text = star === '*' ? decodeExtended(token) : decodePlain(unquote(quoted) ?? token ?? '');
    const target = star === '*' ? extended : plain;
    at = afterBlanks(header, valueForm.lastIndex);
    const ended = at === header.length || header[at] === ';';
    if (!ended || text === undefined || target.has(name.toLowerCase())) return undefined;
    target.set(name.toLowerCase(), text);
  }
  return { value, parameters: new Map([...plain, ...extended]) };
}

/** The groups of a sticky expression at a position. */
function matchAt(form: RegExp, text: string, at: number): readonly (string | undefined)[] | undefined {
  form.lastIndex = at;
  return form.exec(text)?.slice(1);
}

function afterBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

/** Only quotes and backslashes are ever meant to be escaped: `C:\pictures\a.png` is sent as it is by old browsers. */
function unquote(quoted: string | undefined): string | undefined {
  return quoted?.replaceAll(/\\(["\\])/g, '$1');
}

/** UTF-8 by RFC 7578 §5.1; old clients send other encodings, of which nothing is known. */
function decodePlain(binary: string): string {
  return decodeText(bytesOf(binary), 'utf-8') ?? binary;
}

/** RFC 8187: `UTF-8'en'%E2%82%AC.png`. */
function decodeExtended(text = ''): string | undefined {
  const [, charset, encoded] = /^([\w-]+)'[\w-]*'(.*)$/.exec(text) ?? [];
  if (charset === undefined || encoded === undefined) return undefined;
  const binary = encoded.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return decodeText(bytesOf(binary), charset);
}

function bytesOf(binary: string): Uint8Array {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Text in an encoding, by the label that it has on the web; undefined when there is no such, or the bytes are not in it. */
export function decodeText(bytes: Uint8Array, charset: string): string | undefined {
  try {
    return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    // What TextDecoder throws for an unknown label, and for bytes that do not fit.
    if (error instanceof RangeError || error instanceof TypeError) return undefined;
    throw error;
  }
}
