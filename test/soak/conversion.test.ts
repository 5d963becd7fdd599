import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { report } from './figures.ts';
import sharp from 'sharp';

/** A picture that is converted is asked for by as many clients at a time. */
const converters = 4;
const probes = 400;

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({ config: (fake) => gatewayConfig([openAiEntity(fake), sandboxEntity()]) });
  const background = {
    width: 1024,
    height: 1024,
    channels: 3,
    background: '#456',
    noise: { type: 'gaussian', mean: 120, sigma: 25 },
  } as const;
  setting.fake.draw(await sharp({ create: background }).png().toBuffer());
});
afterAll(() => setting.stop());

/** Milliseconds of each of so many small requests, one after the other. */
async function timings(): Promise<readonly number[]> {
  const times: number[] = [];
  for (let index = 0; index < probes; index += 1) {
    const startedAt = performance.now();
    const answer = await fetch(`${setting.gateway.url}/v1/models`);
    await answer.arrayBuffer();
    times.push(performance.now() - startedAt);
  }
  return times.toSorted((a, b) => a - b);
}

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
const shown = (milliseconds: number): string => `${milliseconds.toFixed(1)} ms`;

/** Small requests while pictures of 1024×1024 are asked for, in this format. */
async function beside(
  format: string,
): Promise<{ readonly p50: number; readonly p99: number; readonly pictures: number }> {
  const state = { going: true, pictures: 0 };
  const load = Array.from({ length: converters }, async () => {
    while (state.going) {
      const body = { model: 'dall-e-3', prompt: 'a lighthouse', response_format: 'b64_json', output_format: format };
      const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, body);
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
      state.pictures += 1;
    }
  });
  const sorted = await timings();
  state.going = false;
  await Promise.all(load);
  return { p50: at(sorted, 0.5), p99: at(sorted, 0.99), pictures: state.pictures };
}

it('conversion of 1024×1024 pictures does not hold up small requests', async () => {
  await beside('png');
  const plain = await beside('png');
  const converted = await beside('webp');
  report('I14', 'small requests beside pictures that are converted, and beside the same that are not', {
    p50: `${shown(plain.p50)} → ${shown(converted.p50)}`,
    p99: `${shown(plain.p99)} → ${shown(converted.p99)}`,
    pictures: `${plain.pictures} → ${converted.pictures}`,
  });
  expect(converted.p99).toBeLessThan(Math.max(2 * plain.p99, 50));
});
