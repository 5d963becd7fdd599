import { expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway } from '../../fixtures/gateway.ts';
import { openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { hiveFlatSuite, hiveSuite } from '../../fixtures/vendors/fake-hive.ts';

vendorSuite(hiveSuite);
vendorSuite(hiveFlatSuite);

it('finds Hive’s own models, whose names begin like its provider’s, and those of others', async () => {
  const fake = await hiveSuite.start();
  const entity = { id: 'main', provider: 'hive', config: { connection: hiveSuite.connection(fake) } };
  const gateway = await startGateway({ config: gatewayConfig([entity]) });
  try {
    const client = openAiClient(gateway);
    for (const model of ['hive/flux-schnell-enhanced', 'main/hive/sdxl-enhanced', 'stabilityai/sdxl']) {
      const request = { model, prompt: 'a lighthouse', response_format: 'b64_json' } as const;
      expect(picturesOf(await client.images.generate(request))).toHaveLength(1);
    }
    expect(fake.to(hiveSuite.pictures).map(({ path }) => path)).toEqual([
      '/api/v3/hive/flux-schnell-enhanced',
      '/api/v3/hive/sdxl-enhanced',
      '/api/v3/stabilityai/sdxl',
    ]);
  } finally {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  }
});
