/** X05, X06: masks in the vendor's form, and calls fanned out, whichever way the pictures came. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { dataUri, maskPng, png, sha256 } from '../fixtures/pictures.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';
import { stabilitySuite } from '../fixtures/vendors/fake-stability.ts';
import type { FakeVendor } from '../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../fixtures/vendors/grey-mask.ts';
import { quickPolls } from '../fixtures/vendors/quick-polls.ts';

let stability: FakeVendor;
let openAi: FakeOpenAi;
let host: PictureHost;
let gateway: Gateway;

const picture = png({ width: 24, height: 16 });
/** The upper half is to change: by its transparency, or by being white. */
const transparent = maskPng(24, 16);
const painted = sharp({ create: { width: 24, height: 8, channels: 3, background: '#ffffff' } })
  .extend({ bottom: 8, background: '#000000' })
  .png()
  .toBuffer();

beforeAll(async () => {
  [stability, openAi, host] = await Promise.all([stabilitySuite.start(), startFakeOpenAi(), startPictureHost()]);
  const config = { connection: stabilitySuite.connection(stability), options: { edition: { enabled: true } } };
  const entities = [{ id: 'white', provider: 'stability', config }, openAiEntity(openAi, { id: 'alpha' })];
  gateway = await startGateway({
    config: gatewayConfig(entities, { pipelines: { images: quickPolls }, image_urls: { allow: [host.origin] } }),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([stability.close(), openAi.close(), host.close()]);
});

/** The two bodies, with the pictures in one of the forms that each of them has. */
const bodies: readonly (readonly [string, (fields: object, image: Buffer, mask: Buffer) => Promise<Response>])[] = [
  ['JSON with data URIs', (fields, image, mask) => json({ ...fields, image: dataUri(image), mask: dataUri(mask) })],
  ['JSON with URLs', (fields, image, mask) => json({ ...fields, image: host.offer(image), mask: host.offer(mask) })],
  [
    'OpenAI’s JSON',
    (fields, image, mask) =>
      json({ ...fields, images: [{ image_url: dataUri(image) }], mask: { image_url: host.offer(mask) } }),
  ],
  ['a form with files', (fields, image, mask) => form(fields, file(image), file(mask))],
  ['a form with texts', (fields, image, mask) => form(fields, dataUri(image), host.offer(mask))],
];

const editsUrl = (): string => `${gateway.url}/v1/images/edits`;
const json = (members: object): Promise<Response> => postJson(editsUrl(), { prompt: 'a boat', ...members });
const file = (bytes: Buffer): File => new File([Uint8Array.from(bytes)], 'blob');
const form = (fields: object, image: string | File, mask: string | File): Promise<Response> => {
  const body = new FormData();
  body.append('mask', mask);
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  body.append('image', image);
  body.append('prompt', 'a boat');
  return fetch(editsUrl(), { method: 'POST', body });
};

describe.each(bodies)('%s', (_, send) => {
  it.each(['transparent', 'painted'] as const)('carries a %s mask to a vendor that wants white', async (kind) => {
    const mask = kind === 'painted' ? await painted : transparent;
    const answer = await send({ model: 'white/inpaint' }, picture, mask);
    await answer.arrayBuffer();
    expect(answer.status).toBe(200);
    const { files } = stability.last(/inpaint$/);
    const [image, sent] = ['image', 'mask'].map((name) => files.find((each) => each.name === name)?.data);
    expect(sha256(image ?? Buffer.alloc(0))).toBe(sha256(picture));
    expect(await maskEnds(sent ?? Buffer.alloc(0), picture)).toEqual([255, 0]);
  });

  it('carries a transparent mask to OpenAI byte by byte, and makes a painted one transparent', async () => {
    for (const mask of [transparent, await painted]) {
      const answer = await send({ model: 'alpha/gpt-image-2' }, picture, mask);
      await answer.arrayBuffer();
      expect(answer.status).toBe(200);
      const sent = openAi.last().pictures.find(({ name }) => name === 'mask');
      expect(sent?.mediaType).toBe('image/png');
      if (mask === transparent) expect(sent?.sha256).toBe(sha256(transparent));
    }
  });

  it('is fanned out, each part with the pictures and the mask', async () => {
    const before = stability.to(/inpaint$/).length;
    const hostBefore = host.requests.length;
    const answer = await send(
      { model: 'white/inpaint', n: 3, response_format: 'b64_json', seed: 7 },
      picture,
      transparent,
    );
    const { data } = await jsonOf(answer);
    expect([answer.status, data]).toEqual([200, [expect.anything(), expect.anything(), expect.anything()]]);
    const parts = stability.to(/inpaint$/).slice(before);
    expect(parts.map(({ members }) => String(members['seed'])).toSorted()).toEqual(['7', '8', '9']);
    for (const { files } of parts) {
      const [image, mask] = ['image', 'mask'].map((name) => files.find((each) => each.name === name)?.data);
      expect(sha256(image ?? Buffer.alloc(0))).toBe(sha256(picture));
      expect(await maskEnds(mask ?? Buffer.alloc(0), picture)).toEqual([255, 0]);
    }
    // What is behind a link is fetched once for all parts.
    const links = new Set(host.requests.slice(hostBefore));
    expect(host.requests.slice(hostBefore)).toHaveLength(links.size);
  });
});

it('a mask of another size becomes as large as the picture', async () => {
  const answer = await json({ model: 'white/inpaint', image: dataUri(picture), mask: dataUri(maskPng(240, 160)) });
  await answer.arrayBuffer();
  expect(answer.status).toBe(200);
  const sent = stability.last(/inpaint$/).files.find(({ name }) => name === 'mask')?.data;
  expect(await maskEnds(sent ?? Buffer.alloc(0), picture)).toEqual([255, 0]);
});

it('a picture behind a link is fetched once, whichever candidates are tried', async () => {
  const link = host.offer(picture);
  openAi.next({ status: 500, body: { error: { message: 'no', type: 'server_error', param: null, code: null } } });
  const answer = await json({
    model: 'alpha/gpt-image-2',
    fallbacks: ['white/inpaint'],
    image: link,
    mask: dataUri(transparent),
  });
  await answer.arrayBuffer();
  expect([answer.status, answer.headers.get('x-pinhole-attempts')]).toEqual([200, '2']);
  expect(host.requests.filter((path) => link.endsWith(path))).toHaveLength(1);
});
