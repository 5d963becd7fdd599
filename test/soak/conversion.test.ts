/** I14: a picture that is converted does not hold up other requests. */
import { setTimeout as pause } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { formatOf, type PictureFormat } from '../fixtures/pictures.ts';
import { startSetting, type Setting } from '../fixtures/setting.ts';
import { report } from './figures.ts';

/** Pictures are asked for at this pace, converted or not, so that nothing else differs between the two. */
const everyMs = 500;
const pictures = 60;

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({ config: (fake) => gatewayConfig([openAiEntity(fake)]) });
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

async function askFor(format: PictureFormat): Promise<void> {
  const answer = await openAiClient(setting.gateway).images.generate({
    model: 'dall-e-3',
    prompt: 'a lighthouse',
    response_format: 'b64_json',
    output_format: format,
  });
  expect(picturesOf(answer).map(formatOf)).toEqual([format]);
}

/** Milliseconds of small requests, one after the other, while pictures of 1024×1024 are asked for in this format. */
async function timingsBeside(format: PictureFormat): Promise<readonly number[]> {
  const state = { going: true };
  const load = (async () => {
    const asked: Promise<void>[] = [];
    for (let index = 0; index < pictures; index += 1) {
      asked.push(askFor(format));
      await pause(everyMs);
    }
    await Promise.all(asked);
  })().finally(() => {
    state.going = false;
  });
  const times: number[] = [];
  while (state.going) {
    const startedAtMs = performance.now();
    const answer = await fetch(`${setting.gateway.url}/v1/models`);
    await answer.arrayBuffer();
    times.push(performance.now() - startedAtMs);
    await pause(2);
  }
  await load;
  return times.toSorted((a, b) => a - b);
}

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
const shown = (milliseconds: number): string => `${milliseconds.toFixed(1)} ms`;

it('small requests take less than twice as long beside pictures that are converted', async () => {
  await timingsBeside('png');
  const plain = await timingsBeside('png');
  const converted = await timingsBeside('webp');
  const both = (share: number): string => `${shown(at(plain, share))} → ${shown(at(converted, share))}`;
  report('I14', 'small requests beside pictures that are converted, and beside the same that are not', {
    p50: both(0.5),
    p99: both(0.99),
    most: both(1),
    requests: `${String(plain.length)} → ${String(converted.length)}`,
  });
  expect(at(converted, 0.99)).toBeLessThan(2 * at(plain, 0.99));
});
