import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { runGateway, startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { maskPng, png } from '../../fixtures/pictures.ts';
import { comfyuiSuite } from '../../fixtures/vendors/fake-comfyui.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../../fixtures/vendors/grey-mask.ts';
import { quickPolls } from '../../fixtures/vendors/quick-polls.ts';

vendorSuite(comfyuiSuite);

describe('comfyui, called through the gateway,', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await comfyuiSuite.start();
    const options = { generation: { model: 'sdxl' }, edition: { enabled: true, model: 'inpaint' } };
    const config = { connection: comfyuiSuite.connection(fake), options };
    gateway = await startGateway({
      config: gatewayConfig([{ id: 'own', provider: 'comfyui', config }], { pipelines: { images: quickPolls } }),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  const edit = async (more: { mask?: File } = {}) =>
    openAiClient(gateway).images.edit({
      model: 'own/inpaint',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      ...more,
    });

  it('paints anew what is white in the mask, which is uploaded beside the picture', async () => {
    const mask = await toFile(maskPng(), 'mask.png', { type: 'image/png' });
    expect(picturesOf(await edit({ mask }))).toHaveLength(1);
    const [picture, sent = Buffer.alloc(0)] = comfyuiSuite.inputsOf?.(fake.last(/^\/prompt$/)) ?? [];
    expect(picture?.equals(png())).toBe(true);
    expect(await maskEnds(sent, png())).toEqual([255, 0]);
  });

  it('asks for a mask before anything is uploaded, where the workflow needs one', async () => {
    const before = fake.requests.length;
    expect(await apiError(edit())).toMatchObject({ status: 400, code: 'missing_required_parameter', param: 'mask' });
    expect(fake.requests).toHaveLength(before);
  });

  it('gives a picture each time, also for the same words again', async () => {
    const generate = () => openAiClient(gateway).images.generate({ model: 'own/sdxl', prompt: 'a cat', n: 2 });
    for (const _ of [1, 2, 3]) expect(picturesOf(await generate())).toHaveLength(2);
  });

  it('is interrupted when the caller leaves', async () => {
    const caller = new AbortController();
    const call = openAiClient(gateway).images.generate(
      { model: 'own/sdxl', prompt: 'an endless staircase' },
      { signal: caller.signal },
    );
    const refused = expect(call).rejects.toThrow('aborted');
    const looks = fake.to(/^\/history\//).length;
    await fake.until(() => fake.to(/^\/history\//).length > looks);
    const [, id] = /^\/history\/(.+)$/.exec(fake.last(/^\/history\//).path) ?? [];
    caller.abort();
    await refused;
    await fake.until(() => fake.to(/^\/interrupt$/).some(({ complete }) => complete));
    expect(fake.last(/^\/interrupt$/).members).toEqual({ prompt_id: id });
  });

  it('has the placeholders of its workflows checked when the file is loaded', async () => {
    const graph = { '1': { class_type: 'CLIPTextEncode', inputs: { text: '{promt}' } } };
    const connection = { ...comfyuiSuite.connection(fake), workflows: { own: { generation: graph } } };
    const { code, stderr } = await runGateway({
      config: gatewayConfig([{ id: 'own', provider: 'comfyui', config: { connection } }]),
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:\d+:\d+ `\{promt\}` is none of/);
  });
});
