import { expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway } from '../../fixtures/gateway.ts';
import { openAiClient } from '../../fixtures/openai-client.ts';
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
