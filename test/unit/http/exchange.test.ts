import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openExchange, requestId, splitTarget, type OpenExchange } from '../../../src/http/exchange.ts';
import { anonymous } from '../../../src/pipeline/settings.ts';
import type { ExchangeEnd } from '../../../src/pipeline/exchange.ts';
import { makeExchange } from '../../fixtures/exchange.ts';
import { recordingLog } from '../runtime/recording-log.ts';

const end: ExchangeEnd = { kind: 'failed', status: 502, error: new Error('no luck') };

describe('an exchange', () => {
  it('begins with the anonymous caller and no other slot', () => {
    const { exchange } = open();
    expect(exchange.caller).toEqual(anonymous);
    expect(exchange).not.toHaveProperty('call');
    expect([exchange.attempts, [...exchange.responseHeaders], [...exchange.timings]]).toEqual([[], [], []]);
  });
});

describe('deferred work', () => {
  it('runs last in first out, one after the other, and is told how the exchange ended', async () => {
    const { exchange, finish } = open();
    const events: unknown[] = [];
    for (const name of ['first', 'second', 'third']) {
      exchange.defer(async (given) => {
        events.push(`${name} begins`, given);
        await Promise.resolve();
        events.push(`${name} ends`);
      });
    }
    expect(events).toEqual([]);
    await finish(end);
    const order = ['third', 'second', 'first'].flatMap((name) => [`${name} begins`, end, `${name} ends`]);
    expect(events).toEqual(order);
  });

  it('runs once', async () => {
    const { exchange, finish } = open();
    let runs = 0;
    exchange.defer(() => void (runs += 1));
    await Promise.all([finish(end), finish(end)]);
    await finish(end);
    expect(runs).toBe(1);
  });

  it('that fails is logged, and keeps none of the others from running', async () => {
    const log = recordingLog();
    const { exchange, finish } = open(log);
    const ran: string[] = [];
    exchange.defer(() => void ran.push('first'));
    exchange.defer(() => Promise.reject(new Error('rejected')));
    exchange.defer(() => void ran.push('third'));
    exchange.defer(() => {
      throw new Error('thrown');
    });
    await finish(end);
    expect(ran).toEqual(['third', 'first']);
    expect(log.lines.map(({ level, message, fields }) => [level, message, String(fields['error'])])).toEqual([
      ['error', 'deferred work failed', 'Error: thrown'],
      ['error', 'deferred work failed', 'Error: rejected'],
    ]);
  });

  it('may defer further work', async () => {
    const { exchange, finish } = open();
    const ran: string[] = [];
    exchange.defer(() => void ran.push('first'));
    exchange.defer(() => exchange.defer(() => void ran.push('further')));
    await finish(end);
    expect(ran).toEqual(['further', 'first']);
  });
});

describe('a request id', () => {
  const idFor = (given: string | undefined): string => {
    const request = new IncomingMessage(new Socket());
    if (given !== undefined) request.headers['x-request-id'] = given;
    return requestId(request);
  };

  it.each(['req_1', '2f4c0f4e-6a1b-4c3d-9e8f-001122334455', 'Root:1-5759e988.7', 'a'.repeat(128)])(
    'is the caller’s own if it is sane: %s',
    (given) => {
      expect(idFor(given)).toBe(given);
    },
  );

  it.each([undefined, '', 'a b', 'a"b', 'a\u{e9}', 'a=b', '<script>', 'a'.repeat(129)])(
    'is a new one otherwise: %j',
    (given) => {
      const [first, second] = [idFor(given), idFor(given)];
      expect(first).toMatch(/^req_[0-9a-f]{32}$/);
      expect(second).not.toBe(first);
    },
  );
});

describe('a request target', () => {
  it.each([
    ['/v1/models', '/v1/models', []],
    ['/v1/models?', '/v1/models', []],
    ['/v1/models/a%2Fb?x=1&x=2', '/v1/models/a%2Fb', ['x=1', 'x=2']],
    ['/search?q=a?b', '/search', ['q=a?b']],
    ['*', '*', []],
  ])('is split at its first question mark: %s', (target, path, query) => {
    const split = splitTarget(target);
    expect([split.path, Array.from(split.query, ([name, value]) => `${name}=${value}`)]).toEqual([path, query]);
  });
});

function open(log = recordingLog()): OpenExchange {
  const { id, startedAtMs, route, request, body, live, signal } = makeExchange({});
  const quiet = { keepAlive() {}, outliveClient() {} };
  return openExchange({ id, startedAtMs, route, request, body, live, signal, log, ...quiet });
}
