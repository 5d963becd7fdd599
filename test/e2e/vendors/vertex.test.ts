import { generateKeyPairSync } from 'node:crypto';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { formatOf, maskPng, png } from '../../fixtures/pictures.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { serviceAccount, startFakeVertex, vertexSuite } from '../../fixtures/vendors/fake-vertex.ts';

vendorSuite(vertexSuite);

describe('vertex with a service account', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeVertex();
    const strange = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const entity = (id: string, account: object): { id: string; provider: string; config: object } => ({
      id,
      provider: 'vertex',
      config: {
        connection: {
          ...vertexSuite.connection(fake),
          token: JSON.stringify(account),
          token_url: `${fake.origin}/token`,
        },
        options: { edition: { enabled: true } },
      },
    });
    const strangeAccount = { ...serviceAccount, private_key: strange.export({ type: 'pkcs8', format: 'pem' }) };
    gateway = await startGateway({
      config: gatewayConfig([entity('vendor', serviceAccount), entity('stranger', strangeAccount)]),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('gets a token once, and uses it for several calls', async () => {
    for (const prompt of ['a lighthouse', 'a boat']) {
      const response = await openAiClient(gateway).images.generate({
        model: 'vendor/gemini-3.1-flash-image',
        prompt,
        response_format: 'b64_json',
      });
      expect(picturesOf(response)).toHaveLength(1);
    }
    expect(fake.to(/^\/token$/)).toHaveLength(1);
  });

  it('tells nothing of an account that is refused', async () => {
    const generating = openAiClient(gateway).images.generate({
      model: 'stranger/gemini-3.1-flash-image',
      prompt: 'a lighthouse',
    });
    const error = await apiError(generating);
    expect([error.status, error.code]).toEqual([502, 'upstream_auth_failed']);
    expect(error.message).not.toMatch(/JWT|my-project/);
  });

  it('edits what the mask leaves open, into JPEGs', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'vendor/imagen-3.0-capability-001',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      n: 2,
      output_format: 'jpeg',
      output_compression: 80,
      response_format: 'b64_json',
    });
    expect(picturesOf(response).map(formatOf)).toEqual(['jpeg', 'jpeg']);
    expect(fake.last().members['parameters']).toMatchObject({ editMode: 'EDIT_MODE_INPAINT_INSERTION' });
  });
});
