import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayConfig, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { report } from './figures.ts';

/** How many letters of a real key a wrong one of the same length begins with. */
const sharedPrefixes = [0, 8, 16, 24, 32, 40, 45];
/** Refusals of each wrong key. The classes take turns, so that whatever else the machine does meets all alike. */
const rounds = 6_000;

const realKey = `ph-${'0123456789abcdef'.repeat(3)}`.slice(0, 46);
let gateway: Gateway;

beforeAll(async () => {
  const many = Array.from({ length: 500 }, (_, index) => ({
    id: `app-${index}`,
    key: `ph-${index}-${'x'.repeat(40)}`,
  }));
  gateway = await startGateway({
    config: gatewayConfig([sandboxEntity()], {
      consumers: [{ id: 'web-app', key: realKey }, ...many],
    }),
  });
});
afterAll(() => gateway[Symbol.asyncDispose]());

it('the time of a refusal tells nothing about the keys that there are', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times = new Map<number, number[]>(sharedPrefixes.map((length) => [length, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const length of shuffled(sharedPrefixes)) {
      const wrong = realKey.slice(0, length) + 'z'.repeat(realKey.length - length);
      const microseconds = await refuse(wrong, agent);
      // The first ones warm everything up.
      if (round >= 500) times.get(length)?.push(microseconds);
    }
  }
  agent.destroy();
  const medians = Array.from(times, ([length, all]) => ({ length, median: median(all) }));
  const all = medians.map(({ median }) => median);
  const spread = Math.max(...all) - Math.min(...all);
  report('R25', 'refusal time by the letters shared with a real key', {
    spread: `${spread.toFixed(1)} µs`,
    medians: medians.map(({ length, median }) => `${length}: ${median.toFixed(0)}`).join(' '),
    refusals: rounds * sharedPrefixes.length,
  });
  expect(spread).toBeLessThanOrEqual(15);
});

/** Microseconds until a request with this key is refused. */
async function refuse(key: string, agent: Agent): Promise<number> {
  const startedAt = process.hrtime.bigint();
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request(`${gateway.url}/v1/models`, { agent, headers: { 'x-api-key': key } }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    })
      .on('error', reject)
      .end();
  });
  expect(status).toBe(401);
  return Number(process.hrtime.bigint() - startedAt) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function shuffled<Item>(list: readonly Item[]): readonly Item[] {
  return list
    .map((item) => ({ item, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
