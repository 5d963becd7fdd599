/** A provider that fails altogether, under load: what its breaker costs the calls, and how soon it is back. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { healthOf } from '../fixtures/health.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic, type TrafficReport } from '../fixtures/traffic.ts';
import { report } from './figures.ts';

const clients = 64;
const openForMs = 2000;

let main: FakeOpenAi;
let spare: FakeOpenAi;
let gateway: Gateway;

beforeAll(async () => {
  main = await startFakeOpenAi();
  spare = await startFakeOpenAi();
  gateway = await startGateway({
    config: gatewayConfig(
      [
        openAiEntity(main, { id: 'main', health: { open_for: openForMs } }),
        openAiEntity(spare, { id: 'spare', name: 'Spare' }),
      ],
      {
        aliases: {
          both: { targets: ['main/gpt-image-1', 'spare/gpt-image-1'] },
          alone: { targets: ['spare/gpt-image-1'] },
        },
      },
    ),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await main.close();
  await spare.close();
});

async function call(model: string): Promise<string> {
  const answer = await postJson(`${gateway.url}/v1/images/generations`, { model, prompt: 'a lighthouse' });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`status ${String(answer.status)}: ${text}`);
  return answer.headers.get('x-pinhole-entity') ?? '';
}

async function measure(model: string, calls: number): Promise<TrafficReport> {
  const traffic = startTraffic(clients, async () => void (await call(model)));
  await traffic.pass(calls);
  return traffic.stop();
}

it('a provider that fails altogether costs others nothing, and is back when it works', async () => {
  // Pictures take a while; without that only the speed of this machine would be measured.
  spare.always({ delayMs: 100 });
  await measure('alone', 1000);
  const alone = await measure('alone', 3000);

  main.always({ status: 503, body: { error: { message: 'overloaded' } } });
  await measure('both', clients);
  expect((await healthOf(gateway, 'main')).state).not.toBe('closed');
  const before = main.requests.length;
  const outage = await measure('both', 3000);
  const wasted = main.requests.length - before;

  const traffic = startTraffic(clients, async () => void (await call('both')));
  main.always(undefined);
  const recoveredAtMs = performance.now();
  const served = main.billed;
  await main.until(() => main.billed > served, 10 * openForMs);
  const backAfterMs = Math.round(performance.now() - recoveredAtMs);
  await gateway.until((status) =>
    JSON.stringify(status).includes('"id":"main","provider":"openai","active":true,"health":{"state":"closed"'),
  );
  const { failures } = await traffic.stop();
  const ratio = Math.round((100 * outage.p50Ms) / alone.p50Ms) / 100;
  report('G1', 'an outage behind a breaker', {
    'alone p50 ms': alone.p50Ms,
    'outage p50 ms': outage.p50Ms,
    ratio,
    'calls wasted': wasted,
    'back after ms': backAfterMs,
  });
  expect([...alone.failures, ...outage.failures, ...failures]).toEqual([]);
  expect(ratio).toBeLessThanOrEqual(1.2);
  expect(backAfterMs).toBeLessThanOrEqual(openForMs + 500);
});
