import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { holdBack, type Passed } from '../../../src/transforms/pass-through.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { answering, arriving, inPieces } from '../../fixtures/replies.ts';
import { cut, cuts, gather } from '../body/pieces.ts';

const large = randomPng(300_000).toString('base64');
const usage = {
  total_tokens: 4210,
  input_tokens: 50,
  output_tokens: 4160,
  input_tokens_details: { text_tokens: 40, image_tokens: 10 },
  output_tokens_details: { image_tokens: 4160, text_tokens: 0 },
};
const readUsage = {
  totalTokens: 4210,
  inputTokens: 50,
  outputTokens: 4160,
  inputTextTokens: 40,
  inputImageTokens: 10,
  outputTextTokens: 0,
  outputImageTokens: 4160,
};
const unseen = (): void => {
  throw new Error('Nothing was to pass here.');
};
/** What `holdBack` tells. */
function watching() {
  const told: Passed[] = [];
  return { told, onPassed: (passed: Passed) => void told.push(passed) };
}
const bytesOf = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

describe('a large answer in OpenAI’s form', () => {
  it('passes byte for byte, and tells of its pictures and usage once it has passed, in whatever pieces it comes', async () => {
    const documents = [
      { created: 1, size: '1024x1024', data: [{ b64_json: large }], usage },
      { usage, data: [{ revised_prompt: 'words', b64_json: large }], created: 1 },
    ].map(bytesOf);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...documents), cuts, async (document, positions) => {
        const { told, onPassed } = watching();
        const { passThrough } = await holdBack(arriving(cut(document, positions)), onPassed);
        expect(told).toEqual([]);
        const passed = passThrough?.();
        expect(passed?.length).toBe(document.byteLength);
        expect((await gather(passed ?? [])).equals(document)).toBe(true);
        expect(told).toEqual([{ images: 1, usage: readUsage }]);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    [[{ b64_json: large }, { b64_json: large }, { b64_json: large }], 3],
    [[{ b64_json: large, url: 'https://a.test/1.png' }], 1],
    [[{ b64_json: large }, { b64_json: png().toString('base64') }, { url: 'https://a.test/1.png' }], 3],
  ])('counts its pictures: case %#', async (data, images) => {
    const { told, onPassed } = watching();
    const { passThrough } = await holdBack(answering({ data }), onPassed);
    await gather(passThrough?.() ?? []);
    expect(told).toEqual([{ images, usage: undefined }]);
  });

  it('can be read from its first byte instead', async () => {
    const document = bytesOf({ data: [{ b64_json: large }], usage });
    const { told, onPassed } = watching();
    const { reply } = await holdBack(arriving(inPieces(document, 7000)), onPassed);
    expect(Buffer.from(await collect(reply.body)).equals(document)).toBe(true);
    expect(reply.body.length).toBe(document.byteLength);
    expect(told).toEqual([]);
  });

  it('is held back only as far as the beginning of its first picture', async () => {
    const arrivingReply = arriving(inPieces(bytesOf({ data: [{ b64_json: large }] }), 1024));
    await holdBack(arrivingReply, unseen);
    expect(arrivingReply.taken).toBeLessThan(8);
  });

  it('says that it broke off, and leaves the books as they are', async () => {
    const document = bytesOf({ data: [{ b64_json: large }], usage });
    const { told, onPassed } = watching();
    const { passThrough } = await holdBack(arriving(inPieces(document.subarray(0, -10), 7000)), onPassed);
    await expect(gather(passThrough?.() ?? [])).rejects.toMatchObject({ code: 'upstream_invalid_response' });
    expect(told).toEqual([]);
  });

  it('passes a failure of its connection on', async () => {
    const failure = new GatewayError('upstream_error', 'The connection broke.');
    const pieces = inPieces(bytesOf({ data: [{ b64_json: large }] }), 7000);
    const { passThrough } = await holdBack(arriving(pieces.slice(0, -1), failure), unseen);
    await expect(gather(passThrough?.() ?? [])).rejects.toBe(failure);
  });

  it('lets go of its connection when it is cancelled, or left early', async () => {
    const document = bytesOf({ data: [{ b64_json: large }] });
    for (const pick of ['passThrough', 'reply'] as const) {
      const [cancelled, left] = [arriving(inPieces(document, 7000)), arriving(inPieces(document, 7000))];
      const [first, second] = [await holdBack(cancelled, unseen), await holdBack(left, unseen)];
      (pick === 'reply' ? first.reply.body : first.passThrough?.())?.cancel();
      for await (const chunk of (pick === 'reply' ? second.reply.body : second.passThrough?.()) ?? []) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      expect([cancelled.cancelled, left.cancelled]).toEqual([true, true]);
    }
  });
});

describe('an answer that has to be read', () => {
  it.each([
    ['small pictures', JSON.stringify({ data: [{ b64_json: png().toString('base64') }] })],
    ['links', JSON.stringify({ data: [{ url: 'https://pictures.test/1.png' }] })],
    ['no pictures', JSON.stringify({ data: [] })],
    ['no JSON', '<html><body>Bad gateway</body></html>'],
    ['no JSON for long', '<html>'.padEnd(500_000, 'x')],
    ['a text that is no picture', JSON.stringify({ data: [{ b64_json: 'hello '.repeat(5000) }] })],
    ['base64 that is no picture', JSON.stringify({ data: [{ b64_json: Buffer.alloc(9000, 'a').toString('base64') }] })],
    [
      'long words before the first picture',
      JSON.stringify({ data: [{ revised_prompt: 'a '.repeat(4000), b64_json: large }] }),
    ],
    ['a picture elsewhere', JSON.stringify({ image: large, data: [{ b64_json: large }] })],
    [
      'many words before the first picture',
      JSON.stringify({ tags: Array.from({ length: 20_000 }, () => 'sea'), data: [{ b64_json: large }] }),
    ],
    ['nothing', ''],
  ])('is whole, with %s', async (_, text) => {
    const document = Buffer.from(text);
    const { told, onPassed } = watching();
    const reply = arriving(inPieces(document, 5000));
    const held = await holdBack(reply, onPassed);
    expect(held.passThrough).toBeUndefined();
    expect(reply.taken * 5000).toBeLessThanOrEqual(70_000);
    expect(Buffer.from(await collect(held.reply.body)).equals(document)).toBe(true);
    expect(told).toEqual([]);
  });

  it('fails as its connection does', async () => {
    const failure = new GatewayError('upstream_error', 'The connection broke.');
    await expect(holdBack(arriving([Buffer.from('{"data":[')], failure), unseen)).rejects.toBe(failure);
  });
});
