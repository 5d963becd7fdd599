/**
 * What the books add to a request for a picture at 200 requests a second, on SQLite: the same call on a route with the stage
 * `budget` and on one without, in turn, through one gateway. `npx node bench/budget.ts [SECONDS]`, on a machine with nothing
 * else to do.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import { startFakeOpenAi } from '../test/fixtures/fake-openai.ts';
import { gatewayConfig, imagesPipeline, openAiEntity, openAiRoutes } from '../test/fixtures/gateway-config.ts';
import { startGateway } from '../test/fixtures/gateway.ts';
import { summary } from '../test/fixtures/traffic.ts';

const perSecond = 200;
const seconds = Number(process.argv[2] ?? 10);

const fake = await startFakeOpenAi();
const [generate] = openAiRoutes(['openai-main']);
const gateway = await startGateway({
  config: gatewayConfig([openAiEntity(fake)], {
    state: 'sqlite:./data/pinhole.db',
    budgets: [
      { id: 'all', limit: { usd: 1_000_000, images: 1_000_000_000 }, window: 'month' },
      { id: 'each', limit: { images: 1_000_000_000 }, window: 'day', per: 'model' },
    ],
    pipelines: { with: imagesPipeline, without: imagesPipeline.filter((stage) => stage !== 'budget') },
    routes: ['with', 'without'].map((pipeline) => ({ ...generate, id: pipeline, path: `/${pipeline}`, pipeline })),
  }),
});

const pool = new Pool(gateway.url);
const headers = { 'content-type': 'application/json' };
const body = JSON.stringify({ prompt: 'a lighthouse' });

const times = { with: [] as number[], without: [] as number[] };

async function call(route: keyof typeof times): Promise<void> {
  const startedAtMs = performance.now();
  const answer = await pool.request({ method: 'POST', path: `/${route}`, headers, body });
  await answer.body.dump();
  if (answer.statusCode !== 200) throw new Error(`status ${String(answer.statusCode)}`);
  times[route].push(performance.now() - startedAtMs);
}

/** Requests that come at a steady rate, whatever becomes of those before them. */
async function run(forSeconds: number): Promise<void> {
  const calls: Promise<void>[] = [];
  const startedAtMs = performance.now();
  for (let index = 0; index < perSecond * forSeconds; index += 1) {
    const waitMs = startedAtMs + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await pause(waitMs);
    calls.push(call(index % 2 === 0 ? 'with' : 'without'));
  }
  await Promise.all(calls);
}

// The code of a young process is slow.
await run(5);
times.with = [];
times.without = [];
await run(seconds);

for (const [route, values] of Object.entries(times)) {
  const { p50Ms, p99Ms, maxMs } = summary(values);
  console.log(`${route.padEnd(8)} median ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms`);
}
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
console.log(`the books add ${(median(times.with) - median(times.without)).toFixed(2)} ms at the median`);

await pool.close();
await gateway.stop();
await fake.close();
