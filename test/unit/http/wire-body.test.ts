import { tmpdir } from 'node:os';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMultipart } from '../../../src/body/multipart.ts';
import { createSpool } from '../../../src/body/spool.ts';
import { writeWireBody, type WrittenBody } from '../../../src/http/wire-body.ts';
import type { Base64Payload, ImagePayload } from '../../../src/images/payload.ts';
import { PictureText, type WireJson, type WirePart } from '../../../src/pipeline/upstream.ts';
import { cut, cuts, gather, sourceOf, stream } from '../body/pieces.ts';

async function bytesOf(body: WrittenBody): Promise<Buffer> {
  const opened = body.open();
  const bytes = opened instanceof Uint8Array ? Buffer.from(opened) : await gather(opened);
  expect(body.byteLength).toBe(bytes.byteLength);
  return bytes;
}

function bytesPayload(text: string): ImagePayload {
  return { kind: 'bytes', bytes: Buffer.from(text) };
}

function base64Payload(text: string, positions: readonly number[] = [], escaped = false): Base64Payload {
  const slices = cut(Buffer.from(text), positions);
  return { kind: 'base64', text: { slices, byteLength: Buffer.byteLength(text), escaped } };
}

/** The document with its pictures as the strings that they are to become. */
function expected(value: WireJson): unknown {
  if (value instanceof PictureText) {
    if (value.payload.kind !== 'bytes') throw new Error('only bytes here');
    return value.prefix + Buffer.from(value.payload.bytes).toString('base64');
  }
  if (Array.isArray(value)) return value.map((item: WireJson) => expected(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]: [string, WireJson]) => [name, expected(member)]),
  );
}

const picture = fc
  .record({ content: fc.string(), prefix: fc.constantFrom('', 'data:image/png;base64,', 'a "quoted"\n prefix') })
  .map(({ content, prefix }) => new PictureText(bytesPayload(content), prefix));

const documents = fc.letrec<{ value: WireJson; list: WireJson; object: WireJson }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    picture,
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 4 }),
  object: fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }),
}));

describe('writeWireBody of JSON', () => {
  it('writes what JSON.stringify writes, with pictures in their places', async () => {
    await fc.assert(
      fc.asyncProperty(documents.value, async (value) => {
        const body = writeWireBody({ kind: 'json', value });
        expect(body.mediaType).toBe('application/json');
        expect((await bytesOf(body)).toString()).toBe(JSON.stringify(expected(value)));
        expect((await bytesOf(body)).toString()).toBe(JSON.stringify(expected(value)));
      }),
    );
  });

  it('keeps the order of members, and is one piece without a picture', () => {
    const opened = writeWireBody({ kind: 'json', value: { z: 1, a: [true, { y: null, b: 'x' }] } }).open();
    expect(opened).toBeInstanceOf(Uint8Array);
    expect(Buffer.from(opened as Uint8Array).toString()).toBe('{"z":1,"a":[true,{"y":null,"b":"x"}]}');
  });

  it('passes slices of base64 on without touching them', async () => {
    const payload = base64Payload('QUJDREVG', [4]);
    const opened = writeWireBody({ kind: 'json', value: { image: new PictureText(payload, 'data:,') } }).open();
    if (opened instanceof Uint8Array) throw new Error('expected a stream');
    const pieces: Uint8Array[] = [];
    for await (const piece of opened) pieces.push(piece);
    expect(pieces.map((piece) => Buffer.from(piece).toString())).toEqual(['{"image":"data:,', 'QUJD', 'REVG', '"}']);
    expect(pieces[1]).toBe(payload.text.slices[0]);
  });

  it('writes escaped and lenient base64 plainly, with its exact length', async () => {
    for (const payload of [base64Payload('QU\\/D\\nQQ', [3], true), base64Payload('QU_D QQ')]) {
      const bytes = await bytesOf(writeWireBody({ kind: 'json', value: [new PictureText(payload)] }));
      expect(bytes.toString()).toBe('["QU/DQQ=="]');
    }
  });

  it('refuses a picture whose base64 would break out of its string', () => {
    const value = { image: new PictureText(base64Payload('QUJD","model":"dear')) };
    expect(() => writeWireBody({ kind: 'json', value })).toThrow(expect.objectContaining({ code: 'invalid_image' }));
  });

  it('refuses a link that was not fetched', () => {
    const value = [new PictureText({ kind: 'link', url: 'https://example.com', trust: 'caller' })];
    expect(() => writeWireBody({ kind: 'json', value })).toThrow(TypeError);
  });
});

describe('writeWireBody of multipart', () => {
  const text = fc.string({ unit: 'binary' });
  const parts: fc.Arbitrary<WirePart> = fc.oneof(
    fc.record({
      kind: fc.constant('field' as const),
      name: fc.constantFrom('a', 'image[]', 'a"b\r\nc', 'ä'),
      value: text,
    }),
    fc.record({
      kind: fc.constant('file' as const),
      name: fc.constantFrom('image', 'mask[]'),
      fileName: fc.constantFrom('a.png', 'a"b.png', 'ä;\r\nX-Evil: 1.png'),
      mediaType: fc.constantFrom('image/png', 'image/svg+xml'),
      payload: text.map(bytesPayload),
    }),
  );

  it('writes what a reader reads back, each time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(parts, { maxLength: 5 }), cuts, async (sent, positions) => {
        const body = writeWireBody({ kind: 'multipart', parts: sent });
        const bytes = await bytesOf(body);
        expect((await bytesOf(body)).equals(bytes)).toBe(true);
        const source = sourceOf(stream(cut(bytes, positions)));
        const read = await readMultipart(source, body.mediaType, {
          limits: { fields: 9, fieldBytes: 9999, files: 9, fileBytes: 9999, parts: 9, headerPairs: 9 },
          openFile: () => {
            const chunks: Uint8Array[] = [];
            return {
              write: (chunk) => void chunks.push(chunk),
              finish: () => bytesPayload(Buffer.concat(chunks).toString()),
              discard() {},
            };
          },
        });
        const expected = sent.map((part) =>
          part.kind === 'field'
            ? { ...part, value: part.value.toWellFormed() }
            : {
                kind: 'file',
                name: part.name,
                fileName: part.fileName,
                declaredType: part.mediaType,
                content: part.payload,
              },
        );
        expect(read).toEqual(expected);
      }),
    );
  });

  it('writes base64 and files as the bytes that they stand for', async () => {
    const spool = createSpool({
      directory: tmpdir(),
      memoryBytes: 0,
      maxBytes: 99,
      overflow: () => new Error('large'),
    });
    await spool.write(Buffer.from('from a file'));
    const file = { kind: 'file', mediaType: 'image/png', fileName: 'a.png' } as const;
    const body = writeWireBody({
      kind: 'multipart',
      parts: [
        { ...file, name: 'image', payload: base64Payload('ZnJvbSBi\nYXNlNjQ') },
        { ...file, name: 'mask', payload: await spool.finish() },
      ],
    });
    const bytes = await bytesOf(body);
    expect(bytes.includes('Content-Type: image/png\r\n\r\nfrom base64\r\n--')).toBe(true);
    expect(bytes.includes('Content-Type: image/png\r\n\r\nfrom a file\r\n--')).toBe(true);
    await spool.discard();
  });

  it('lets no media type begin a header of its own', async () => {
    const part = { kind: 'file', name: 'a', fileName: 'a', payload: bytesPayload('') } as const;
    const body = writeWireBody({ kind: 'multipart', parts: [{ ...part, mediaType: 'image/png\r\nX-Evil: 1' }] });
    const written = (await bytesOf(body)).toString();
    expect(written).toContain('Content-Type: application/octet-stream\r\n');
    expect(written).not.toContain('X-Evil');
  });

  it('takes another boundary for each body', () => {
    const [one, other] = [0, 1].map(() => writeWireBody({ kind: 'multipart', parts: [] }).mediaType);
    expect(one).toMatch(/^multipart\/form-data; boundary=pinhole-[0-9a-f-]{36}$/);
    expect(one).not.toBe(other);
  });
});

describe('writeWireBody of nothing', () => {
  it('is empty and has no media type', async () => {
    const body = writeWireBody({ kind: 'none' });
    expect(body.mediaType).toBeUndefined();
    expect(await bytesOf(body)).toHaveLength(0);
  });
});
