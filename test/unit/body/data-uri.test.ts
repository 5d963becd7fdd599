import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDataUriReader, InvalidDataUri, isDataUri } from '../../../src/body/data-uri.ts';
import { createSpool } from '../../../src/body/spool.ts';
import { bytewise, cut, cuts } from './pieces.ts';

async function read(pieces: readonly Uint8Array[], maxBytes = 1_000_000): Promise<Buffer> {
  const spool = createSpool({
    directory: '/nonexistent',
    memoryBytes: 1_000_000,
    maxBytes,
    overflow: () => new RangeError('too large'),
  });
  const reader = createDataUriReader(spool);
  for (const piece of pieces) await reader.write(piece);
  const payload = await reader.finish();
  if (payload.kind !== 'bytes') throw new Error('a small picture went to a file');
  return Buffer.from(payload.bytes);
}

const heads = ['data:image/png;base64,', 'data:;base64,', 'DATA:image/svg+xml;charset=utf-8;BASE64,'];

describe('a data URI', () => {
  it('stands for the same bytes in whatever pieces it comes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...heads), fc.uint8Array(), cuts, async (head, bytes, positions) => {
        const text = Buffer.from(head + Buffer.from(bytes).toString('base64'));
        expect(await read(cut(text, positions))).toEqual(Buffer.from(bytes));
        expect(await read(bytewise(text))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it.each([
    ['another word', 'date:image/png;base64,aGk='],
    ['no base64', 'data:text/plain,hello'],
    ['base64 as a name', 'data:text/plain;base64=yes,aGk='],
    ['no comma', 'data:image/png;base64'],
    ['nothing', ''],
    ['a head without end', `data:${'x'.repeat(5000)};base64,aGk=`],
    ['letters that are not base64', 'data:;base64,aGk=!'],
    ['percent signs', 'data:;base64,aGk%3D'],
    ['base64 that is cut', 'data:;base64,aGkaa'],
    ['something after the padding', 'data:;base64,aGk=aGk='],
  ])('is refused with %s, in one piece and byte by byte', async (_, text) => {
    const bytes = Buffer.from(text);
    await expect(read([bytes])).rejects.toBeInstanceOf(InvalidDataUri);
    await expect(read(bytewise(bytes))).rejects.toBeInstanceOf(InvalidDataUri);
  });

  it('takes no more than the spool does', async () => {
    const text = Buffer.from(`data:;base64,${Buffer.alloc(101).toString('base64')}`);
    await expect(read([text], 100)).rejects.toThrow('too large');
    expect(await read([text], 101)).toHaveLength(101);
  });

  it('is told by its first letters', () => {
    const told = ['data:,', 'DATA:image', 'data:'].map((text) => isDataUri(Buffer.from(text)));
    const others = ['data', '', 'date:', ' data:', 'https://data:'].map((text) => isDataUri(Buffer.from(text)));
    expect([told, others]).toEqual([told.map(() => true), others.map(() => false)]);
  });
});
