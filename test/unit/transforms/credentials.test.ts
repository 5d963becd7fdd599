import { beforeEach, describe, expect, it } from 'vitest';
import { bytesSource, collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Entity } from '../../../src/pipeline/settings.ts';
import type { UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { Secret } from '../../../src/secret.ts';
import { createCredentials, type Credentials } from '../../../src/transforms/credentials.ts';
import { makeEntity, makeStageEnv } from '../../fixtures/exchange.ts';

const token = new Secret('long-lived');
const { signal } = new AbortController();
const request: WireRequest = { method: 'POST', url: 'https://tokens.test/', headers: {}, body: { kind: 'none' } };

const provider: Provider = {
  ...makeEntity().provider,
  exchange: {
    request: (given) => Promise.resolve(given.reveal() === 'ready' ? undefined : request),
    async read({ body }) {
      return { token: new Secret(Buffer.from(await collect(body)).toString()), lifetimeMs: 3_600_000 };
    },
  },
  fault: ({ status }) => Promise.resolve(new GatewayError('invalid_value', `refused with ${status}`)),
};

let nowMs: number;
let trades: PromiseWithResolvers<UpstreamReply>[];
let entity: Entity;
let credentials: Credentials;

beforeEach(() => {
  nowMs = 1_000_000;
  trades = [];
  entity = makeEntity({
    provider,
    client: {
      send() {
        const trade = Promise.withResolvers<UpstreamReply>();
        trades.push(trade);
        return trade.promise;
      },
    },
  });
  const env = makeStageEnv();
  credentials = createCredentials({ ...env, clock: { ...env.clock, now: () => nowMs } });
});

const reply = (text: string, status = 200): UpstreamReply => ({
  status,
  headers: {},
  body: bytesSource(Buffer.from(text)),
});

async function valid(): Promise<string | undefined> {
  return (await credentials.valid(entity, token, signal))?.reveal();
}

async function traded(answer: UpstreamReply): Promise<string | undefined> {
  const waiting = valid();
  while (trades.length === 0) await Promise.resolve();
  trades.shift()?.resolve(answer);
  return waiting;
}

describe('a credential that is traded', () => {
  it('is kept until shortly before its end', async () => {
    expect(await traded(reply('first'))).toBe('first');
    nowMs += 3_600_000 - 60_001;
    expect(await valid()).toBe('first');
    nowMs += 2;
    expect(await traded(reply('second'))).toBe('second');
    expect(await valid()).toBe('second');
  });

  it('is traded once for all who wait for it', async () => {
    const waiting = Promise.all([valid(), valid(), valid()]);
    while (trades.length === 0) await Promise.resolve();
    trades[0]?.resolve(reply('one'));
    expect(await waiting).toEqual(['one', 'one', 'one']);
    expect(trades).toHaveLength(1);
  });

  it('is traded anew when it was refused', async () => {
    expect(await traded(reply('first'))).toBe('first');
    credentials.forget(entity, token);
    expect(await traded(reply('second'))).toBe('second');
  });

  it('that cannot be had is the gateway’s problem, and asked for again next time', async () => {
    await expect(traded(reply('no', 400))).rejects.toMatchObject({
      code: 'upstream_auth_failed',
      cause: { message: 'refused with 400' },
    });
    expect(await traded(reply('now'))).toBe('now');
  });

  it('is not waited for any longer than the call lasts', async () => {
    const controller = new AbortController();
    const waiting = credentials.valid(entity, token, controller.signal);
    const left = new GatewayError('client_closed_request', 'The client went away.');
    controller.abort(left);
    await expect(waiting).rejects.toBe(left);
    while (trades.length === 0) await Promise.resolve();
    trades[0]?.resolve(reply('for the next'));
    expect(await valid()).toBe('for the next');
  });

  it('may be ready as it is', async () => {
    expect((await credentials.valid(entity, new Secret('ready'), signal))?.reveal()).toBe('ready');
    expect(trades).toEqual([]);
  });
});

it('a credential of a provider without such a trade is used as it is', async () => {
  const plain = makeEntity();
  expect(await credentials.valid(plain, token, signal)).toBe(token);
  expect(await credentials.valid(plain, undefined, signal)).toBeUndefined();
});
