/** X11: what pictures tell besides pixels stays by default, and goes where the file says so, on the way in and out. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectPayload } from '../../src/images/convert-payload.ts';
import { inspectPicture } from '../../src/images/inspect.ts';
import { withoutMetadata } from '../../src/images/strip.ts';
import {
  gatewayConfig,
  imagesPipeline,
  openAiEntity,
  openAiRoutes,
  type EntityDocument,
} from '../fixtures/gateway-config.ts';
import { runGateway } from '../fixtures/gateway.ts';
import { samples, signed, withPngChunks, pngChunk } from '../fixtures/picture-files.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { dataUri, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let host: PictureHost;
let photo: Buffer;
let drawn: Buffer;

const configFor = (entities: readonly EntityDocument[], strip: boolean, more: object = {}): object => {
  const nested = [
    'provider-transform',
    'dispatch',
    { plugin: 'response-normalise', config: { strip_metadata: strip } },
  ];
  const images = imagesPipeline.map((stage) => {
    if (stage === 'parse') return { plugin: 'parse', config: { strip_metadata: strip } };
    return typeof stage === 'string' ? stage : { plugin: 'fallback', config: { stages: nested } };
  });
  return gatewayConfig(entities, { pipelines: { images }, image_urls: { allow: [host.origin] }, ...more });
};

beforeAll(async () => {
  host = await startPictureHost();
  photo = await signed(6).jpeg().toBuffer();
  // As some providers mark what they have drawn.
  drawn = withPngChunks(await samples.png(), pngChunk('caBX', 'c2pa manifest'), pngChunk('tEXt', 'parameters\0a seed'));
  setting = await startSetting({ config: (fake) => configFor([openAiEntity(fake)], true) });
  setting.fake.draw(drawn);
});
afterAll(async () => {
  await setting.stop();
  await host.close();
});

const telling = /somebody|A camera|xmpmeta|c2pa|a seed/;
const editsUrl = (): string => `${setting.gateway.url}/v1/images/edits`;
const ways = (): readonly (readonly [string, () => Promise<Response>])[] => [
  ['a file', () => fetch(editsUrl(), { method: 'POST', body: formOf({ prompt: 'bluer', image: photo }) })],
  ['a data URI', () => postJson(editsUrl(), { prompt: 'bluer', image: dataUri(photo) })],
  ['a link', () => postJson(editsUrl(), { prompt: 'bluer', image: host.offer(photo) })],
];

async function* pieces(bytes: Buffer): AsyncIterable<Buffer> {
  yield bytes;
}

async function pixelsOf(bytes: Buffer): Promise<Buffer> {
  return sharp(bytes).raw().toBuffer();
}

describe('with strip_metadata', () => {
  it('an input picture reaches the vendor with its pixels and its orientation, and nothing else', async () => {
    const digests = new Set<string>();
    for (const [what, send] of ways()) {
      const answer = await send();
      await answer.arrayBuffer();
      expect([what, answer.status]).toEqual([what, 200]);
      const [received] = setting.fake.last().pictures;
      expect(received?.byteLength).toBeLessThan(photo.byteLength);
      digests.add(received?.sha256 ?? '');
    }
    const { edits } = await inspectPicture(pieces(photo));
    const stripped = await withoutMetadata({ kind: 'bytes', bytes: photo }, edits);
    const bytes = Buffer.from(await collectPayload(stripped, 1e6));
    expect([...digests]).toEqual([sha256(bytes)]);
    expect(bytes.toString('latin1')).not.toMatch(telling);
    expect([await pixelsOf(bytes), (await sharp(bytes).metadata()).orientation]).toEqual([await pixelsOf(photo), 6]);
  });

  it.each(['b64_json', 'url', undefined] as const)('an answer as %s tells nothing', async (format) => {
    const answer = await postJson(editsUrl(), {
      prompt: 'bluer',
      image: dataUri(photo),
      ...(format === undefined ? {} : { response_format: format }),
    });
    const { data } = await jsonOf(answer);
    const [picture]: readonly { readonly url?: string; readonly b64_json?: string }[] = Array.isArray(data) ? data : [];
    const bytes =
      picture?.url === undefined
        ? Buffer.from(picture?.b64_json ?? '', 'base64')
        : Buffer.from(await (await fetch(picture.url)).arrayBuffer());
    expect(bytes.toString('latin1')).not.toMatch(telling);
    expect(await pixelsOf(bytes)).toEqual(await pixelsOf(drawn));
  });

  it('nor do raw bytes, or the events of a stream', async () => {
    const raw = await postJson(editsUrl(), { prompt: 'bluer', image: dataUri(photo) }, { accept: 'image/*' });
    const bytes = Buffer.from(await raw.arrayBuffer());
    expect(bytes.toString('latin1')).not.toMatch(telling);
    const streamed = await postJson(editsUrl(), { prompt: 'bluer', image: dataUri(photo), stream: true });
    const [, base64 = ''] = /"b64_json":"([^"]+)"/.exec(await streamed.text()) ?? [];
    expect(Buffer.from(base64, 'base64').equals(bytes)).toBe(true);
  });

  it('a provider’s own link is fetched, and the picture hosted', async () => {
    const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, {
      model: 'dall-e-3',
      prompt: 'a lighthouse',
      response_format: 'url',
    });
    const { data } = await jsonOf(answer);
    const [picture]: readonly { readonly url?: string }[] = Array.isArray(data) ? data : [];
    expect(picture?.url).toMatch(new RegExp(`^${setting.gateway.url}/v1/images/files/`));
  });

  it('is refused for answers where nothing can be hosted', async () => {
    const [generate] = openAiRoutes(['openai-main']);
    const { code, stderr } = await runGateway({
      config: configFor([openAiEntity(setting.fake)], true, { routes: [generate] }),
    });
    expect(code).toBe(1);
    expect(stderr).toContain('it needs a route that serves hosted images');
  });
});

describe('without', () => {
  it('everything stays, on the way in and out', async () => {
    await setting.gateway.apply(configFor([openAiEntity(setting.fake)], false));
    for (const [what, send] of ways()) {
      const { data } = await jsonOf(await send());
      expect([what, setting.fake.last().pictures[0]?.sha256]).toEqual([what, sha256(photo)]);
      expect(data).toEqual([{ b64_json: drawn.toString('base64') }]);
    }
  });
});
