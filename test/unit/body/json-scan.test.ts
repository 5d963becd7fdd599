import { isUtf8 } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createJsonScanner,
  JsonScanError,
  LongText,
  scanJson,
  type JsonScanOptions,
  type LongTextSink,
} from '../../../src/body/json-scan.ts';
import { bytewise, cut, cuts, gather, stream } from './pieces.ts';

const roomy: JsonScanOptions = { maxSkeletonBytes: 1_000_000, maxDepth: 100, prototypeKeys: 'keep' };

/** A document with its long texts put back as strings. */
function withStrings(value: unknown): unknown {
  if (value instanceof LongText) return value.toText();
  if (Array.isArray(value)) return value.map(withStrings);
  if (typeof value !== 'object' || value === null) return value;
  const copy = {};
  for (const [name, member] of Object.entries(value)) {
    Object.defineProperty(copy, name, {
      value: withStrings(member),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return copy;
}

/** What JSON.parse makes of the bytes, or undefined when it refuses them. Long texts have no lone surrogates. */
function parsed(bytes: Buffer): { readonly document: unknown } | undefined {
  if (!isUtf8(bytes)) return undefined;
  try {
    return { document: JSON.parse(bytes.toString('utf8')) };
  } catch {
    return undefined;
  }
}

function scanned(pieces: readonly Uint8Array[], options: JsonScanOptions): { readonly document: unknown } | undefined {
  const scanner = createJsonScanner(options);
  try {
    for (const piece of pieces) expect(scanner.feed(piece)).toBeUndefined();
    return { document: withStrings(scanner.end()) };
  } catch (error) {
    if (error instanceof JsonScanError) return undefined;
    throw error;
  }
}

function reasonOf(text: string | Buffer, options: Partial<JsonScanOptions> = {}): string {
  const scanner = createJsonScanner({ ...roomy, ...options });
  try {
    void scanner.feed(Buffer.from(text));
    scanner.end();
  } catch (error) {
    if (error instanceof JsonScanError) return error.reason;
    throw error;
  }
  return 'accepted';
}

/** Bounds of long texts, so low that most strings are long. */
const longTexts = fc.integer({ min: 0, max: 9 });

/** Documents as clients write them: with and without blanks, non-ASCII as it is or escaped. */
const documents = fc
  .tuple(fc.jsonValue({ stringUnit: 'grapheme', maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'), fc.boolean())
  .map(([value, indent, escape]) => {
    const text = JSON.stringify(value, undefined, indent);
    const ascii = text.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
    return Buffer.from((escape ? ascii : text).replaceAll('/', '\\/'));
  });

const damages = fc.array(
  fc.tuple(
    fc.constantFrom('insert', 'replace', 'remove'),
    fc.nat(),
    fc.oneof(fc.constantFrom(...Buffer.from('{}[],:"\\ \n\0tfn0-+.eEu/')), fc.nat({ max: 255 })),
  ),
  { minLength: 1, maxLength: 3 },
);

function damaged(bytes: Buffer, damage: readonly (readonly [string, number, number])[]): Buffer {
  let result = bytes;
  for (const [kind, position, byte] of damage) {
    const at = position % (result.length + 1);
    const rest = result.subarray(kind === 'insert' ? at : at + 1);
    result = Buffer.concat([result.subarray(0, at), kind === 'remove' ? Buffer.of() : Buffer.of(byte), rest]);
  }
  return result;
}

describe('scanJson', () => {
  it('reads what JSON.parse reads, however it is cut', () => {
    fc.assert(
      fc.property(documents, cuts, longTexts, (bytes, positions, longTextBytes) => {
        const expected = parsed(bytes);
        expect(scanned(cut(bytes, positions), { ...roomy, longTextBytes })).toEqual(expected);
        expect(scanned(bytewise(bytes), { ...roomy, longTextBytes })).toEqual(expected);
        expect(scanned([bytes], roomy)).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('accepts and refuses what JSON.parse does when documents are damaged', () => {
    fc.assert(
      fc.property(documents, damages, cuts, longTexts, (whole, damage, positions, longTextBytes) => {
        const bytes = damaged(whole, damage);
        const expected = parsed(bytes);
        expect(scanned(cut(bytes, positions), { ...roomy, longTextBytes }) === undefined).toBe(expected === undefined);
        expect(scanned([bytes], roomy)).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });

  it.each(
    [
      ['', ' ', '\u{feff}', '{', '[1', '[1,', '{"a"', '{"a":', '{"a":1', '{"a":1,', '"', '"a', '"\\', '"\\"', '"\\u00'],
      [
        '[1,]',
        '{"a":1,}',
        '[,1]',
        '{,}',
        '{1:2}',
        "{'a':1}",
        '{"a" 1}',
        '{"a":1 "b":2}',
        '[1 2]',
        '[1}',
        '{"a":1]',
        '1 2',
        '{}x',
      ],
      [
        '01',
        '-',
        '+1',
        '.5',
        '1.',
        '1e',
        '1e+',
        '0x1',
        '--1',
        'NaN',
        'Infinity',
        'nul',
        'True',
        'nulll',
        'tru e',
        '1-',
      ],
      [
        '"\n"',
        '"\t"',
        '"\0"',
        '"\\x"',
        '"\\u12g4"',
        '"\\u 123"',
        '["\\U0041"]',
        '\0',
        '1\0',
        '[1]\f',
        '\u{a0}1',
        '/**/1',
        '\u{feff}\u{feff}1',
      ],
    ].flat(),
  )('refuses %j, be its strings long or short', (text) => {
    expect(reasonOf(text)).toBe('syntax');
    expect(reasonOf(text, { longTextBytes: 0 })).toBe('syntax');
  });

  it.each(
    [
      [
        '1',
        '-0',
        '0.5e-3',
        '1E400',
        '123456789012345678901234567890',
        'true',
        'null',
        '""',
        ' [ ] ',
        '{}',
        '\n{"":""}\r\n',
      ],
      [
        '"\\u0000"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
        '"\x7f"',
        '"\u2028"',
        '[[[[]]],{}]',
      ],
      ['{"a":1,"a":2}', '{"toString":1,"constructor":{"name":2}}'],
    ].flat(),
  )('reads %j as JSON.parse does', async (text) => {
    const expected: unknown = JSON.parse(text);
    expect(await scanJson(stream(bytewise(Buffer.from(text))), roomy)).toEqual(expected);
    expect(await scanJson(stream([Buffer.from(text)]), roomy)).toEqual(expected);
  });

  it('finds the end of a string after any run of backslashes, near and far', () => {
    const bits = fc.array(fc.constantFrom('\\\\', '\\"', 'x'.repeat(40), 'y'), { maxLength: 12 });
    fc.assert(
      fc.property(bits, cuts, longTexts, (inside, positions, longTextBytes) => {
        const bytes = Buffer.from(`["${inside.join('')}","z"]`);
        expect(scanned(cut(bytes, positions), { ...roomy, longTextBytes })).toEqual(parsed(bytes));
        expect(scanned([bytes], roomy)).toEqual(parsed(bytes));
      }),
    );
  });

  it('tolerates a byte order mark, also in pieces', async () => {
    const bytes = Buffer.from('\u{feff}{"a":1}');
    expect(await scanJson(stream(bytewise(bytes)), roomy)).toEqual({ a: 1 });
  });

  it('refuses bytes that are not UTF-8, in short and in long texts', () => {
    const bytes = Buffer.concat([Buffer.from('["'), Buffer.of(0xc3, 0x28), Buffer.from('"]')]);
    expect(reasonOf(bytes)).toBe('syntax');
    expect(reasonOf(bytes, { longTextBytes: 0 })).toBe('syntax');
    expect(reasonOf(Buffer.concat([Buffer.from('1 '), Buffer.of(0xe2, 0x82)]))).toBe('syntax');
  });

  it('refuses a control character anywhere in a long text', () => {
    for (let at = 0; at < 70; at += 1) {
      const text = Buffer.alloc(70, 'A');
      text[at] = 0x1f;
      expect(reasonOf(Buffer.concat([Buffer.from('"'), text, Buffer.from('"')]), { longTextBytes: 5 })).toBe('syntax');
    }
  });

  it('keeps long texts as bytes, without copying and without their escapes', async () => {
    const base64 = Buffer.alloc(20_000, 'QUJD');
    const document = Buffer.concat([
      Buffer.from('{"a":"'),
      base64,
      Buffer.from('","b":"\\/'),
      base64,
      Buffer.from('","c":"short"}'),
    ]);
    const value = await scanJson(stream([document]), roomy);
    const { a, b, c } = value as { a: LongText; b: LongText; c: string };
    expect(a).toBeInstanceOf(LongText);
    expect(a.text).toMatchObject({ byteLength: 20_000, escaped: false });
    expect(a.text.slices.every((slice) => slice.buffer === document.buffer)).toBe(true);
    expect((await gather(b.text.slices)).equals(Buffer.concat([Buffer.from('/'), base64]))).toBe(true);
    expect(c).toBe('short');
  });

  it('counts a text as long by its bytes in the document', async () => {
    const value = await scanJson(stream([Buffer.from('["12345678","123456789"]')]), { ...roomy, longTextBytes: 8 });
    expect(value).toEqual(['12345678', expect.any(LongText)]);
  });

  it('writes a lone surrogate in a long text as the replacement character', async () => {
    const value = await scanJson(stream([Buffer.from('"a\\ud800b\\udc00\\ud83d\\ude00\\ud83d"')]), {
      ...roomy,
      longTextBytes: 0,
    });
    expect((value as LongText).toText()).toBe('a\u{fffd}b\u{fffd}\u{1f600}\u{fffd}');
  });
});

describe('sinks of scanJson', () => {
  interface Recorded {
    readonly path: readonly (string | number)[];
    readonly head: string;
    readonly written: Buffer[];
    ended: 'no' | 'finished' | 'discarded';
  }

  function recorder(wait: boolean): { readonly all: Recorded[]; open: NonNullable<JsonScanOptions['onLongText']> } {
    const all: Recorded[] = [];
    return {
      all,
      open(path, head): LongTextSink {
        const recorded: Recorded = { path, head: Buffer.from(head).toString(), written: [], ended: 'no' };
        all.push(recorded);
        const after = <Value>(value: Value): Value | Promise<Value> =>
          wait ? new Promise((resolve) => setImmediate(resolve, value)) : value;
        return {
          write(slice) {
            recorded.written.push(Buffer.from(slice));
            return wait ? new Promise((resolve) => setImmediate(resolve)) : undefined;
          },
          finish() {
            recorded.ended = 'finished';
            return after(`#${all.indexOf(recorded)}`);
          },
          discard() {
            recorded.ended = 'discarded';
          },
        };
      },
    };
  }

  const document = Buffer.from('{"a":[1,{"b":"0123456789\\u00e9"},"x"],"c":"9876543210é","d":"0000000000"}');

  it.each([true, false])('put what they return in the place of the text (waiting: %s)', async (wait) => {
    await fc.assert(
      fc.asyncProperty(cuts, async (positions) => {
        const sinks = recorder(wait);
        const value = await scanJson(stream(cut(document, positions)), {
          ...roomy,
          longTextBytes: 4,
          onLongText: sinks.open,
        });
        expect(value).toEqual({ a: [1, { b: '#0' }, 'x'], c: '#1', d: '#2' });
        expect(sinks.all.map(({ path }) => path)).toEqual([['a', 1, 'b'], ['c'], ['d']]);
        expect(sinks.all.map(({ head }) => head)).toEqual(['0123', '9876', '0000']);
        const texts = sinks.all.map(({ written }) => Buffer.concat(written).toString());
        expect(texts).toEqual(['0123456789é', '9876543210é', '0000000000']);
        expect(sinks.all.every(({ ended }) => ended === 'finished')).toBe(true);
      }),
      { numRuns: wait ? 30 : 200 },
    );
  });

  it('are not asked for where they return undefined', async () => {
    const value = await scanJson(stream([document]), {
      ...roomy,
      longTextBytes: 4,
      onLongText: (path) => (path[0] === 'c' ? { write() {}, finish: () => 'taken' } : undefined),
    });
    expect(withStrings(value)).toEqual({ a: [1, { b: '0123456789é' }, 'x'], c: 'taken', d: '0000000000' });
  });

  it.each([true, false])('are discarded, finished or not, when the document is cut (waiting: %s)', async (wait) => {
    const sinks = recorder(wait);
    const options = { ...roomy, longTextBytes: 4, onLongText: sinks.open };
    const scan = scanJson(stream([document.subarray(0, -5)]), options);
    await expect(scan).rejects.toBeInstanceOf(JsonScanError);
    expect(sinks.all.map(({ ended }) => ended)).toEqual(['discarded', 'discarded', 'discarded']);
  });

  it('are discarded when the source fails, with the error of the source', async () => {
    const sinks = recorder(false);
    const failure = new Error('the client went away');
    const source = async function* (): AsyncIterable<Uint8Array> {
      yield document.subarray(0, 20);
      throw failure;
    };
    await expect(scanJson(source(), { ...roomy, longTextBytes: 4, onLongText: sinks.open })).rejects.toBe(failure);
    expect(sinks.all.map(({ ended }) => ended)).toEqual(['discarded']);
  });

  it('fail the scan with their own error, even when discarding fails too', async () => {
    const failure = new Error('no room');
    const sink: LongTextSink = {
      write: () => Promise.reject(failure),
      finish: () => undefined,
      discard: () => Promise.reject(new Error('worse')),
    };
    const scan = scanJson(stream([document]), { ...roomy, longTextBytes: 4, onLongText: () => sink });
    await expect(scan).rejects.toBe(failure);
  });

  it('tell where the scanner is inside of one', () => {
    const scanner = createJsonScanner({ ...roomy, longTextBytes: 4 });
    void scanner.feed(Buffer.from('{"data":[{"b64_json":"0123'));
    expect(scanner.inside).toBeUndefined();
    void scanner.feed(Buffer.from('4'));
    expect(scanner.inside).toEqual(['data', 0, 'b64_json']);
    void scanner.feed(Buffer.from('5"'));
    expect(scanner.inside).toBeUndefined();
  });
});

describe('bounds of scanJson', () => {
  it('stop a document with too much beside long texts, however it is cut', () => {
    const long = `"${'x'.repeat(500)}"`;
    const fits = Buffer.from(`{"a":${long},"b":1234,"c":${long}}`);
    const skeleton = fits.length - 1000;
    fc.assert(
      fc.property(cuts, (positions) => {
        const pieces = cut(fits, positions);
        const options = { ...roomy, longTextBytes: 100 };
        expect(scanned(pieces, { ...options, maxSkeletonBytes: skeleton })).toBeDefined();
        expect(scanned(pieces, { ...options, maxSkeletonBytes: skeleton - 1 })).toBeUndefined();
      }),
    );
    expect(reasonOf(fits, { longTextBytes: 100, maxSkeletonBytes: 10 })).toBe('too_large');
  });

  it.each([
    '{"kkkkkkkkkkkkkkkkkkkkkkkkkkk',
    '11111111111111111111111111111111',
    '"sssssssssssssssssssssssssssssss"',
    ' '.repeat(30),
  ])('hold for %j', (text) => {
    expect(reasonOf(text, { maxSkeletonBytes: 20 })).toBe('too_large');
  });

  it('stop a document that is nested too deep', () => {
    expect(reasonOf('[[{"a":[]}]]', { maxDepth: 4 })).toBe('accepted');
    expect(reasonOf('[[{"a":[[]]}]]', { maxDepth: 4 })).toBe('too_deep');
    expect(reasonOf('['.repeat(1_000_000), { maxDepth: 32 })).toBe('too_deep');
  });

  it('refuse names that mean a prototype, unless told to keep them', () => {
    const refuse = { prototypeKeys: undefined };
    expect(reasonOf('{"__proto__":1}', refuse)).toBe('forbidden_key');
    expect(reasonOf('[{"a":{"\\u005f_proto__":1}}]', refuse)).toBe('forbidden_key');
    expect(reasonOf('{"constructor":{"prototype":1}}', refuse)).toBe('forbidden_key');
    expect(reasonOf('{"constructor":{"a":1},"prototype":1}', refuse)).toBe('accepted');
  });

  it('never let a document set a prototype', async () => {
    const value = await scanJson(stream([Buffer.from('{"__proto__":{"admin":true}}')]), roomy);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value as object)).toEqual(['__proto__']);
  });

  it('refuse a name given twice when told to', () => {
    expect(reasonOf('{"a":1,"b":{"a":1},"a":2}', { duplicateKeys: 'refuse' })).toBe('duplicate_key');
    expect(reasonOf('{"a":1,"b":{"a":1}}', { duplicateKeys: 'refuse' })).toBe('accepted');
  });

  it('say nothing of the document in the error', () => {
    const scanner = createJsonScanner(roomy);
    expect(() => scanner.feed(Buffer.from('{"password":hunter2}'))).toThrow(
      'The document is not JSON: a value is neither a number nor true, false or null.',
    );
  });
});
