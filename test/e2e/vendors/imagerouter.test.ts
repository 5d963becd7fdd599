import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { formatOf } from '../../fixtures/pictures.ts';
import { imagerouterSuite, startFakeImagerouter, withoutCredits } from '../../fixtures/vendors/fake-imagerouter.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';

vendorSuite(imagerouterSuite);

describe('imagerouter’s own ways', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeImagerouter();
    const config = { connection: imagerouterSuite.connection(fake) };
    gateway = await startGateway({ config: gatewayConfig([{ id: 'router', provider: 'imagerouter', config }]) });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('makes several pictures in as many requests, told in seconds though it said milliseconds', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'router/test/test',
      prompt: 'a lighthouse',
      n: 2,
      response_format: 'b64_json',
    });
    expect(picturesOf(response).map(formatOf)).toEqual(['webp', 'webp']);
    expect(response.created).toBe(1_769_286_389);
    expect(fake.to(/generations$/)).toHaveLength(2);
  });

  it('passes on that a picture is not to be kept', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'router/test/test',
      prompt: 'a lighthouse',
      // Not one of OpenAI's.
      response_format: 'b64_ephemeral' as 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    expect(fake.last(/generations$/).members).toMatchObject({ response_format: 'b64_ephemeral' });
  });

  it('finds a failure in an answer that came as a success', async () => {
    fake.next(withoutCredits);
    const generating = openAiClient(gateway).images.generate({ model: 'router/test/test', prompt: 'a lighthouse' });
    expect(await apiError(generating)).toMatchObject({ status: 502, code: 'upstream_auth_failed' });
  });
});
