import { expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { fireworksKontextSuite, fireworksSuite } from '../../fixtures/vendors/fake-fireworks.ts';

vendorSuite(fireworksSuite);
vendorSuite(fireworksKontextSuite);

it('fireworks draws with the SDXL family in sizes that it knows', async () => {
  const fake = await fireworksSuite.start();
  const entity = { id: 'one', provider: 'fireworks', config: { connection: fireworksSuite.connection(fake) } };
  const gateway = await startGateway({ config: gatewayConfig([entity]) });
  try {
    const ask = { model: 'one/stable-diffusion-xl-1024-v1-0', response_format: 'b64_json' } as const;
    const { images } = openAiClient(gateway);
    const response = await images.generate({ ...ask, prompt: 'a lighthouse', size: '1792x1024', quality: 'hd' });
    expect(picturesOf(response)).toHaveLength(1);
    expect(fake.last(/image_generation/).members).toEqual({
      prompt: 'a lighthouse',
      width: 1344,
      height: 768,
      steps: 50,
    });
    const refused = await apiError(images.generate({ ...ask, prompt: 'something forbidden' }));
    expect(refused).toMatchObject({ status: 400, code: 'content_policy_violation' });
  } finally {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  }
});
