import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { maskPng, png } from '../../fixtures/pictures.ts';
import { bedrockNovaSuite, bedrockSuite } from '../../fixtures/vendors/fake-bedrock.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(bedrockSuite);
vendorSuite(bedrockNovaSuite);

describe('bedrock’s masks', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await bedrockSuite.start();
    const config = { connection: bedrockSuite.connection(fake), options: { edition: { enabled: true } } };
    gateway = await startGateway({
      config: gatewayConfig([{ id: 'one', provider: 'bedrock', config }]),
      secrets: String(bedrockSuite.connection(fake)['token']).split(':'),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  const edit = async (model: string): Promise<Readonly<Record<string, unknown>>> => {
    const response = await openAiClient(gateway).images.edit({
      model: `one/${model}`,
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    return fake.last(/invoke$/).members;
  };
  const ends = (base64: unknown) => maskEnds(Buffer.from(String(base64), 'base64'), png());

  it('are white where Stable Image is to paint', async () => {
    const { mask } = await edit('us.stability.stable-image-inpaint-v1:0');
    expect(await ends(mask)).toEqual([255, 0]);
  });

  it('are black where Nova Canvas is to paint', async () => {
    const { inPaintingParams: params } = await edit('amazon.nova-canvas-v1:0');
    expect(await ends(Object(params)['maskImage'])).toEqual([0, 255]);
  });
});
