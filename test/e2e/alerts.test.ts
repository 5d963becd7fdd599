import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFakeJudge, type FakeJudge, type JudgeRequest } from '../fixtures/fake-judge.ts';
import { gatewayConfig, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { callerKey, openAiClient } from '../fixtures/openai-client.ts';

const secret = 'alert-secret-7d20f1c2';

let hook: FakeJudge;

beforeEach(async () => {
  hook = await startFakeJudge();
});
afterEach(() => hook.close());

const config = (more: object = {}) =>
  gatewayConfig([sandboxEntity()], {
    state: 'sqlite:./data/pinhole.db',
    consumers: [{ id: 'web-app', key: callerKey, team: 'growth' }],
    budgets: [{ id: 'all', limit: { images: 10 }, window: 'lifetime', per: 'team', alert_at: [80, 100], ...more }],
    alerts: { webhook: { url: `${hook.origin}/webhook`, secret } },
  });

const generate = (gateway: Gateway, n: number) => openAiClient(gateway).images.generate({ prompt: 'one', n });
const told = (): unknown[] => hook.requests.map(({ document }) => document['threshold']);
const arrived = (count: number): Promise<void> =>
  hook.until(() => hook.requests.length >= count && hook.requests.at(count - 1)?.fate === 'answered');

function signatureOf({ headers, body }: JudgeRequest): string {
  const timestamp = String(headers['webhook-timestamp']);
  const digest = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');
  return `t=${timestamp},v1=${digest}`;
}

describe('a budget with alert_at', () => {
  it('tells a webhook, signed, and once, over reloads, kills and restarts', async () => {
    const first = await startGateway({ config: config(), secrets: [secret] });
    await generate(first, 7);
    await generate(first, 1);
    await arrived(1);
    const [alert] = hook.requests;
    if (alert === undefined) throw new Error('no alert');
    expect(alert.document).toMatchObject({
      type: 'budget.alert',
      budget: 'all',
      per: 'team',
      value: 'growth',
      unit: 'images',
      threshold: 80,
      percent: 80,
      used: 8,
      limit: 10,
      window_end: null,
    });
    expect(alert.headers['x-pinhole-signature']).toBe(signatureOf(alert));
    expect(alert.headers['webhook-id']).toBe(alert.document['id']);
    await first.output.line((line) => line['message'] === 'budget alert' && line['threshold'] === 80, 5000);

    await first.apply(config({ on_exceed: 'warn' }));
    await generate(first, 1);
    await first.kill();
    const second = await startGatewayIn(first.dir, { config: config(), secrets: [secret] });
    await generate(second, 1);
    await arrived(2);
    expect(told()).toEqual([80, 100]);
    expect(await second.stop()).toBe(0);
    expect(told()).toEqual([80, 100]);
  });

  it('tells it again, under the same id, until it is heard', async () => {
    await using gateway = await startGateway({ config: config(), secrets: [secret] });
    hook.next({ status: 503 });
    await generate(gateway, 8);
    await arrived(2);
    const [first, second] = hook.requests;
    expect(second?.document).toEqual(first?.document);
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  });

  it('goes on delivering over a reload', async () => {
    await using gateway = await startGateway({ config: config(), secrets: [secret] });
    hook.next({ status: 500 });
    await generate(gateway, 8);
    await arrived(1);
    await gateway.apply(gatewayConfig([sandboxEntity()], { consumers: [{ id: 'web-app', key: callerKey }] }));
    await arrived(2);
    expect(told()).toEqual([80, 80]);
  });

  it('does not keep a gateway from stopping, and then says what was not delivered', async () => {
    const server = { listen: '127.0.0.1:0', timeouts: { drain: '1s' } };
    const gateway = await startGateway({ config: { ...config(), server }, secrets: [secret] });
    hook.always({ status: 500 });
    await generate(gateway, 8);
    await arrived(1);
    const dropped = gateway.output.line((line) => line['message'] === 'an alert was not delivered', 10_000);
    expect(await gateway.stop()).toBe(0);
    expect(await dropped).toMatchObject({ level: 'error', document: { budget: 'all', threshold: 80 } });
  });
});
