import { tmpdir } from 'node:os';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSpool } from '../../../src/body/spool.ts';
import { InvalidBase64 } from '../../../src/images/base64.ts';
import {
  collectPayload,
  payloadBase64,
  payloadBase64Length,
  payloadByteLength,
  payloadBytes,
  payloadHead,
} from '../../../src/images/convert-payload.ts';
import type { Base64Payload, FilePayload, ImagePayload } from '../../../src/images/payload.ts';
import { bytewise, cut, cuts, gather } from '../body/pieces.ts';

const pictures = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const lettersOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

function base64Payload(slices: readonly Uint8Array[], escaped = false): Base64Payload {
  return { kind: 'base64', text: { slices, byteLength: Buffer.concat(slices).byteLength, escaped } };
}

async function filePayload(bytes: Uint8Array): Promise<FilePayload> {
  const spool = createSpool({
    directory: tmpdir(),
    memoryBytes: -1,
    maxBytes: bytes.byteLength,
    overflow: () => new Error('too large'),
  });
  await spool.write(bytes);
  const payload = await spool.finish();
  if (payload.kind !== 'file') throw new Error('expected a file');
  return payload;
}

async function expectPicture(payload: ImagePayload, bytes: Buffer): Promise<void> {
  const letters = lettersOf(bytes);
  for (const _ of ['first', 'again']) {
    expect(await gather(payloadBytes(payload))).toEqual(bytes);
    expect((await gather(payloadBase64(payload))).toString()).toBe(letters);
  }
  expect(payloadByteLength(payload)).toBe(bytes.byteLength);
  expect(payloadBase64Length(payload)).toBe(letters.length);
  expect(Buffer.from(await collectPayload(payload, bytes.byteLength))).toEqual(bytes);
  expect(Buffer.from(await payloadHead(payload, 10))).toEqual(bytes.subarray(0, 10));
}

describe('payloads', () => {
  it('of bytes come in every form', async () => {
    await fc.assert(fc.asyncProperty(pictures, (bytes) => expectPicture({ kind: 'bytes', bytes }, bytes)));
  });

  it('of base64 come in every form, whatever the slices', async () => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, (bytes, positions) =>
        expectPicture(base64Payload(cut(Buffer.from(lettersOf(bytes)), positions)), bytes),
      ),
    );
  });

  it('of escaped base64 come in every form', async () => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, (bytes, positions) => {
        const text = lettersOf(bytes).replaceAll('/', '\\/').replaceAll(/.{20}/g, '$&\\n');
        return expectPicture(base64Payload(cut(Buffer.from(text), positions), true), bytes);
      }),
    );
  });

  it('of lenient base64 become plain base64, so that no picture can break out of a JSON string', async () => {
    await fc.assert(
      fc.asyncProperty(pictures, cuts, (bytes, positions) => {
        const text = lettersOf(bytes).replaceAll('=', '').replaceAll('+', '-').replaceAll(/.{20}/g, '$&\n');
        return expectPicture(base64Payload(cut(Buffer.from(text), positions)), bytes);
      }),
    );
  });

  it('of a file come in every form', async () => {
    await fc.assert(
      fc.asyncProperty(
        pictures.filter((bytes) => bytes.length > 0),
        async (bytes) => {
          const payload = await filePayload(bytes);
          await expectPicture(payload, bytes);
          await payload.file.close();
        },
      ),
      { numRuns: 20 },
    );
  });

  it('pass slices of plain base64 on untouched', async () => {
    const slices = bytewise(Buffer.from('QUJDREVGRw=='));
    const passed: Uint8Array[] = [];
    for await (const slice of payloadBase64(base64Payload(slices))) passed.push(slice);
    expect(passed).toHaveLength(slices.length);
    expect(passed.every((slice, index) => slice === slices[index])).toBe(true);
  });

  it.each(['QUJD"', 'QUJDR', '","model":"x'])('never let %j through', async (text) => {
    const payload = base64Payload([Buffer.from(text)]);
    expect(payloadByteLength(payload)).toBeUndefined();
    expect(payloadBase64Length(payload)).toBeUndefined();
    await expect(gather(payloadBytes(payload))).rejects.toBeInstanceOf(InvalidBase64);
    await expect(gather(payloadBase64(payload))).rejects.toBeInstanceOf(InvalidBase64);
  });

  it('do not let escapes bring in what base64 cannot hold', async () => {
    const payload = base64Payload([Buffer.from('QUJD\\",\\"model')], true);
    await expect(gather(payloadBase64(payload))).rejects.toBeInstanceOf(InvalidBase64);
  });

  it('are collected only up to the bound', async () => {
    const payload: ImagePayload = { kind: 'bytes', bytes: Buffer.alloc(11) };
    await expect(collectPayload(payload, 10)).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('of a link have to be fetched first', () => {
    const payload: ImagePayload = { kind: 'link', url: 'https://example.com/a.png', trust: 'caller' };
    expect(() => payloadBytes(payload)).toThrow(TypeError);
    expect(() => payloadBase64(payload)).toThrow(TypeError);
    expect(() => payloadByteLength(payload)).toThrow(TypeError);
  });

  it('show their head without the rest being read', async () => {
    const slices = [Buffer.from('QUJD'.repeat(10)), Buffer.from('"not base64"')];
    expect(Buffer.from(await payloadHead(base64Payload(slices), 6)).toString()).toBe('ABCABC');
  });
});
