import { expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway } from '../../fixtures/gateway.ts';
import { openAiClient } from '../../fixtures/openai-client.ts';
import { jsonOf, postJson } from '../../fixtures/setting.ts';
import { lumaSuite, startFakeLuma } from '../../fixtures/vendors/fake-luma.ts';

vendorSuite(lumaSuite);

it('deletes the job at Luma when the caller leaves', async () => {
  const fake = await startFakeLuma();
  const entity = { id: 'luma', provider: 'luma', config: { connection: lumaSuite.connection(fake) } };
  const gateway = await startGateway({ config: gatewayConfig([entity]) });
  try {
    const caller = new AbortController();
    const call = openAiClient(gateway).images.generate(
      { model: 'luma/photon-1', prompt: 'an endless staircase' },
      { signal: caller.signal },
    );
    const refused = expect(call).rejects.toThrow('aborted');
    await fake.until(() => fake.requests.some(({ method }) => method === 'GET'));
    caller.abort();
    await refused;
    await fake.until(() => fake.last().method === 'DELETE');
    const look = fake.requests.find(({ method }) => method === 'GET');
    expect(fake.last().path).toBe(look?.path);
  } finally {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  }
});

it('hands no link on to Luma, which fetches by itself, before it is known to lead to the public web', async () => {
  const fake = await startFakeLuma();
  const connection = lumaSuite.connection(fake);
  const entity = { id: 'luma', provider: 'luma', config: { connection, options: { edition: { enabled: true } } } };
  const gateway = await startGateway({
    config: gatewayConfig([entity], { image_urls: { allow: ['*', fake.origin] } }),
  });
  try {
    // A private address, a name that nobody has, and an origin that only the gateway may trust.
    for (const image of ['https://10.0.0.1/a.png', 'https://pictures.invalid/a.png', `${fake.origin}/a.png`]) {
      const answer = await postJson(`${gateway.url}/v1/images/edits`, { prompt: 'a boat', image });
      expect(await jsonOf(answer)).toMatchObject({ error: { code: 'image_url_not_allowed', param: 'image' } });
    }
    expect(fake.requests).toEqual([]);
  } finally {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  }
});
