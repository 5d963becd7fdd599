import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  base64Head,
  base64Length,
  decodeBase64,
  decodeBase64Bytes,
  decodedLength,
  encodeBase64,
  encodeBase64Bytes,
  InvalidBase64,
  isPlainBase64,
} from '../../../src/images/base64.ts';
import type { ByteText } from '../../../src/images/payload.ts';
import { bytewise, cut, cuts, gather } from '../body/pieces.ts';

const pictures = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

/** What Node itself makes of these few bytes. */
const reference = (bytes: Uint8Array): Buffer => Buffer.from(Buffer.from(bytes).toString('base64'));

function textOf(slices: readonly Uint8Array[], escaped = false): ByteText {
  return { slices, byteLength: Buffer.concat(slices).byteLength, escaped };
}

/** The letters as lenient writers write them. */
const writings: Readonly<Record<string, (letters: string) => string>> = {
  plain: (letters) => letters,
  'without padding': (letters) => letters.replaceAll('=', ''),
  'in the alphabet for URLs': (letters) => letters.replaceAll('+', '-').replaceAll('/', '_'),
  'in lines of 76': (letters) => letters.replaceAll(/.{76}/g, '$&\r\n'),
  'with blanks everywhere': (letters) => letters.replaceAll(/./g, ' $&\t'),
};

/** The letters as writers of JSON escape them. */
const escapings: Readonly<Record<string, (letters: string) => string>> = {
  'slashes (PHP)': (letters) => letters.replaceAll('/', '\\/'),
  'plus and equals signs (.NET, Gson)': (letters) => letters.replaceAll('+', '\\u002B').replaceAll('=', '\\u003d'),
  'line ends': (letters) => letters.replaceAll(/.{60}/g, '$&\\r\\n'),
};

describe('encodeBase64', () => {
  it('writes what Node writes, however the bytes come', async () => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, async (bytes, positions) => {
        const expected = reference(bytes);
        expect(await gather(encodeBase64(cut(bytes, positions)))).toEqual(expected);
        expect(await gather(encodeBase64(bytewise(bytes)))).toEqual(expected);
        expect(Buffer.from(encodeBase64Bytes(bytes))).toEqual(expected);
        expect(base64Length(bytes.byteLength)).toBe(expected.byteLength);
      }),
    );
  });

  it('converts a large picture piece by piece', async () => {
    const bytes = Buffer.alloc(1_000_001, 'a picture');
    const sizes: number[] = [];
    for await (const piece of encodeBase64([bytes])) sizes.push(piece.byteLength);
    expect(sizes.length).toBeGreaterThan(5);
    expect(Math.max(...sizes)).toBeLessThan(200_000);
    expect((await gather(encodeBase64([bytes]))).equals(reference(bytes))).toBe(true);
  });
});

describe('decodeBase64', () => {
  it.each(Object.entries(writings))('reads text that is %s', async (_, write) => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, async (bytes, positions) => {
        const text = Buffer.from(write(reference(bytes).toString()));
        const slices = cut(text, positions);
        expect(await gather(decodeBase64(slices))).toEqual(bytes);
        expect(await gather(decodeBase64(bytewise(text)))).toEqual(bytes);
        expect(Buffer.from(decodeBase64Bytes(text))).toEqual(bytes);
        expect(decodedLength(textOf(slices))).toBe(bytes.byteLength);
      }),
    );
  });

  it.each(Object.entries(escapings))('reads text with JSON’s escapes for %s when told of them', async (_, escape) => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, async (bytes, positions) => {
        const text = Buffer.from(escape(reference(bytes).toString()));
        const slices = cut(text, positions);
        expect(await gather(decodeBase64(slices, { escaped: true }))).toEqual(bytes);
        expect(Buffer.from(decodeBase64Bytes(text, { escaped: true }))).toEqual(bytes);
        expect(decodedLength(textOf(slices, true))).toBe(bytes.byteLength);
      }),
    );
  });

  it.each([
    'A',
    'QUJDR',
    '=',
    '====',
    'Q===',
    'QQ===',
    'QUI==',
    'QUJD=',
    'QQ==QQ==',
    'QQ=Q',
    'QU"D',
    'QUJ\\',
    'é',
    '\0',
    'QUJD\\/',
    ',',
  ])('refuses %j', async (text) => {
    const bytes = Buffer.from(text);
    await expect(gather(decodeBase64([bytes]))).rejects.toBeInstanceOf(InvalidBase64);
    await expect(gather(decodeBase64(bytewise(bytes)))).rejects.toBeInstanceOf(InvalidBase64);
    expect(() => decodeBase64Bytes(bytes)).toThrow(InvalidBase64);
    expect(() => decodedLength(textOf([bytes]))).toThrow(InvalidBase64);
  });

  it.each(['\\u0022', '\\"', '\\x', '\\u00', '\\'])('refuses the escape %j', async (text) => {
    const bytes = Buffer.from(`QUJD${text}`);
    await expect(gather(decodeBase64([bytes], { escaped: true }))).rejects.toBeInstanceOf(InvalidBase64);
  });

  it('refuses every byte that is no letter, at every place of a quantum', () => {
    const letters = new Set(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n'));
    for (let byte = 0; byte < 256; byte += 1) {
      if (letters.has(byte)) continue;
      for (let at = 0; at < 8; at += 1) {
        const text = Buffer.from('QUJDQUJD');
        text[at] = byte;
        expect(() => decodeBase64Bytes(text)).toThrow(InvalidBase64);
        expect(() => decodedLength(textOf([text]))).toThrow(InvalidBase64);
      }
    }
  });
});

/** What is no base64 at all is not plain either. */
function isPlain(text: ByteText): boolean {
  try {
    return isPlainBase64(text);
  } catch (error) {
    if (error instanceof InvalidBase64) return false;
    throw error;
  }
}

describe('isPlainBase64', () => {
  it('tells the text that can go out as it is', () => {
    const plain = (text: string): boolean => isPlainBase64(textOf(bytewise(Buffer.from(text))));
    expect(['', 'QUJD', 'QUI=', 'QQ==', '+/+/'].map(plain)).toEqual([true, true, true, true, true]);
    expect(['QUI', 'QQ', '-_-_', 'QU JD   ', 'QUJD\r\n\r\n'].map(plain)).toEqual([false, false, false, false, false]);
    expect(isPlainBase64(textOf([Buffer.from('QUJD')], true))).toBe(false);
  });

  it('sees every byte that is no letter, wherever it stands and however the text was cut', () => {
    fc.assert(
      fc.property(pictures, cuts, fc.nat(), fc.nat(255), (bytes, positions, place, byte) => {
        const text = reference(bytes);
        expect(isPlainBase64(textOf(cut(text, positions)))).toBe(true);
        const letters = text.indexOf('=') < 0 ? text.byteLength : text.indexOf('=');
        // An equals sign before padding is padding.
        if (letters === 0 || byte === 0x3d) return;
        text[place % letters] = byte;
        const isLetter = /^[A-Za-z0-9+/]$/.test(String.fromCharCode(byte));
        expect(isPlain(textOf(cut(text, positions)))).toBe(isLetter);
      }),
    );
  });
});

describe('base64Head', () => {
  it('decodes what can be told of a beginning', () => {
    expect(Buffer.from(base64Head(Buffer.from('QUJDREVG'))).toString()).toBe('ABCDEF');
    expect(Buffer.from(base64Head(Buffer.from('QUJDRE'))).toString()).toBe('ABC');
    expect(base64Head(Buffer.from('https://example.com/'))).toHaveLength(0);
  });
});
