import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { dataUri, png, sha256 } from '../../fixtures/pictures.ts';
import { postJson } from '../../fixtures/setting.ts';
import {
  openaiCompatibleSuite,
  ownWaysConnection,
  startOwnWays,
} from '../../fixtures/vendors/fake-openai-compatible.ts';
import { upstreamKey, type FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { inputsOf } from '../../fixtures/vendors/openai-images.ts';

vendorSuite(openaiCompatibleSuite);

describe('openai-compatible with a service that has words and ways of its own', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startOwnWays();
    const connection = { base_url: `${fake.origin}/v1`, token: upstreamKey, ...ownWaysConnection };
    const options = { edition: { enabled: true } };
    const entity = { id: 'own', provider: 'openai-compatible', config: { connection, options } };
    gateway = await startGateway({ config: gatewayConfig([entity]) });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('sends it its own words, the key where it belongs, and no more pictures than it makes at once', async () => {
    const before = fake.requests.length;
    const response = await openAiClient(gateway).images.generate({
      model: 'own/flux',
      prompt: 'a lighthouse',
      n: 3,
      quality: 'hd',
      style: 'vivid',
      user: 'u-1',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(3);
    const sent = fake.requests.slice(before).filter(({ method }) => method === 'POST');
    expect(new Set(sent.map(({ members }) => members['num_images']))).toEqual(new Set([1, 2]));
    expect(sent[0]?.members).toMatchObject({ model: 'flux', quality: 'hd', safety: { level: 2 } });
  });

  it('says what it has not sent', async () => {
    const body = { model: 'own/flux', prompt: 'a lighthouse', style: 'vivid', steps: 4, num_images: 9 };
    const answer = await postJson(`${gateway.url}/v1/images/generations`, body);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pinhole-dropped-params')?.split(', ').toSorted()).toEqual(['num_images', 'style']);
    expect(fake.last(/generations$/).members).toMatchObject({ steps: 4 });
    expect(fake.last(/generations$/).members).not.toHaveProperty('num_images');
  });

  it('sends it edits by JSON', async () => {
    const image = png({ colour: [1, 2, 3, 255] });
    const body = { model: 'own/flux', prompt: 'a boat', image: dataUri(image) };
    const answer = await postJson(`${gateway.url}/v1/images/edits`, body);
    expect(answer.status).toBe(200);
    expect(inputsOf(fake.last(/edits$/)).map(sha256)).toEqual([sha256(image)]);
  });
});
