/** R19: far more requests than can be served at once are refused in good form, or served, and leave nothing behind. */
import { request, Agent } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { summary } from '../fixtures/traffic.ts';
import { inMebibytes, mebibyte, report, settledRss, watchPeak } from './figures.ts';

const atOnce = 3000;

let fake: FakeOpenAi;

beforeAll(async () => {
  fake = await startFakeOpenAi();
  // Pictures take a while, so that all of them are there together.
  fake.always({ delayMs: 2000 });
});
afterAll(() => fake.close());

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
  readonly tookMs: number;
}

/** One call on a connection of its own. @throws Error when it is not answered */
function call({ url }: Gateway, agent: Agent): Promise<Answer> {
  const body = JSON.stringify({ prompt: 'a lighthouse' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    const sending = request(`${url}/v1/images/generations`, { method: 'POST', agent, headers });
    sending.on('error', reject).on('response', (answer) => {
      const pieces: Buffer[] = [];
      answer
        .on('data', (piece: Buffer) => pieces.push(piece))
        .on('error', reject)
        .on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            retryAfter: answer.headers['retry-after'],
            text: Buffer.concat(pieces).toString('utf8'),
            tookMs: performance.now() - startedAtMs,
          }),
        );
    });
    sending.end(body);
  });
}

/** @returns how often each status came */
async function burst(
  gateway: Gateway,
): Promise<{ readonly statuses: Readonly<Record<string, number>>; p50Ms: number; maxMs: number }> {
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity });
  const answers = await Promise.all(Array.from({ length: atOnce }, () => call(gateway, agent)));
  agent.destroy();
  const statuses: Record<string, number> = {};
  for (const { status, text, retryAfter } of answers) {
    statuses[status] = (statuses[status] ?? 0) + 1;
    const isGood =
      status === 200 ? text.includes('"b64_json"') : retryAfter !== undefined && text.startsWith('{"error":{');
    if (!isGood || ![200, 429, 503].includes(status))
      throw new Error(`${String(status)} ${String(retryAfter)} ${text.slice(0, 300)}`);
  }
  const { p50Ms, maxMs } = summary(answers.map(({ tookMs }) => tookMs));
  return { statuses, p50Ms, maxMs };
}

describe('R19: overload is shed, not crashed', () => {
  it.each<readonly [name: string, more: object, server: object]>([
    ['by default', {}, {}],
    ['with `max_requests: 100`', {}, { max_requests: 100 }],
    ['with a limit of 100 requests a minute', { rate_limits: 'process', limited: true }, {}],
  ])('3,000 requests at once, twice, %s', async (name, { limited, ...more }: { limited?: boolean }, server) => {
    const limit = { plugin: 'rate-limit', config: { requests: 100, window: '1m', per: 'route' } };
    const stages = [
      'parse',
      'route-resolve',
      'constrain',
      'budget',
      'provider-transform',
      'dispatch',
      'response-normalise',
    ];
    const gateway = await startGateway({
      config: gatewayConfig([openAiEntity(fake)], {
        server: { listen: '127.0.0.1:0', ...server },
        state: 'sqlite:./data/pinhole.db',
        budgets: [{ id: 'all', limit: { images: 1_000_000 }, window: 'lifetime' }],
        pipelines: { images: limited === true ? [limit, ...stages] : stages },
        ...more,
      }),
    });
    const idle = await settledRss(gateway);
    const first = await burst(gateway);
    const before = await settledRss(gateway);
    const watch = watchPeak(gateway);
    const second = await burst(gateway);
    const peak = await watch.stop();
    const after = await settledRss(gateway);
    report('R19', `3,000 requests at once, ${name}`, {
      first: JSON.stringify(first.statuses),
      second: JSON.stringify(second.statuses),
      'p50 ms': second.p50Ms,
      'max ms': second.maxMs,
      'MiB idle': inMebibytes(idle),
      'MiB after the first': inMebibytes(before),
      'MiB at the peak': inMebibytes(peak),
      'MiB after the second': inMebibytes(after),
    });
    await gateway[Symbol.asyncDispose]();
    expect(after - before).toBeLessThanOrEqual(60 * mebibyte);
  });
});
