import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAdminHandler, type AdminSources } from '../../../src/admin/admin.ts';
import type { ReloadResult, ReloadTrigger } from '../../../src/config/reload.ts';
import { GatewayError } from '../../../src/errors.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { recordedRow } from '../../fixtures/ledger.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const noon = Date.parse('2026-11-18T12:00:00Z');

let server: Server;
let origin: string;

/** Reset for each test. */
let sources: AdminSources;
let log: RecordingLog;
let reloads: ReloadTrigger[];
let books: Store;
let result: ReloadResult;

beforeAll(async () => {
  server = createServer((request, response) =>
    createAdminHandler(sources)({ request, answer: { kind: 'response', response } }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(async () => {
  books = await memoryStore.open('', { now: () => noon });
  log = recordingLog();
  reloads = [];
  result = { kind: 'applied', revision: 2, diff: ['+ route edit'] };
  sources = {
    readiness: () => ({ ready: true, stateWorks: true }),
    books: () => books,
    now: () => noon,
    capabilities: (model) => ({ asked: model }),
    status: () => ({ ok: true, revision: 1 }),
    async reload(trigger) {
      reloads.push(trigger);
      return result;
    },
    token: () => '',
    log,
  };
});

describe('health', () => {
  it('is told as long as the process can answer, ready or not', async () => {
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: true }) };
    expect(await ask('/healthz')).toEqual([200, { status: 'ok' }]);
  });

  it('is told to probes that send HEAD, or a query', async () => {
    const head = await fetch(`${origin}/healthz`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(await ask('/healthz?verbose')).toEqual([200, { status: 'ok' }]);
  });
});

describe('readiness', () => {
  it('is whether requests are being taken', async () => {
    expect(await ask('/readyz')).toEqual([200, { status: 'ready' }]);
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: true }) };
    expect(await ask('/readyz')).toEqual([503, { status: 'not ready' }]);
  });

  it('says when the state does not work, whether or not that matters', async () => {
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: false }) };
    expect(await ask('/readyz')).toEqual([503, { status: 'not ready', state: 'failing' }]);
    sources = { ...sources, readiness: () => ({ ready: true, stateWorks: false }) };
    expect(await ask('/readyz')).toEqual([200, { status: 'ready', state: 'failing' }]);
  });
});

describe('the status', () => {
  it('is a JSON document, made anew for each answer', async () => {
    let asked = 0;
    sources = { ...sources, status: () => ({ asked: (asked += 1) }) };
    expect([await ask('/api/status'), await ask('/api/status')]).toEqual([
      [200, { asked: 1 }],
      [200, { asked: 2 }],
    ]);
  });

  it('that cannot be told is a bug of ours, which only the log explains', async () => {
    const bug = new TypeError('nothing is in force');
    sources = {
      ...sources,
      status() {
        throw bug;
      },
    };
    const [status, document] = await ask('/api/status');
    expect([status, document]).toMatchObject([500, { error: { code: 'internal_error', type: 'server_error' } }]);
    expect(JSON.stringify(document)).not.toContain('in force');
    expect(log.lines).toEqual([
      { level: 'error', message: 'the admin listener failed', fields: { path: '/api/status', error: bug } },
    ]);
  });
});

describe('usage', () => {
  beforeEach(async () => {
    const day = 86_400_000;
    await books.record('a', recordedRow({ requestId: 'a', atMs: noon - 40 * day, model: 'x', costNanoUsd: 1 }));
    await books.record('b', recordedRow({ requestId: 'b', atMs: noon - 2 * day, model: 'x', costNanoUsd: 17_000_000 }));
    await books.record('c', recordedRow({ requestId: 'c', atMs: noon - day, consumer: null, costNanoUsd: null }));
  });

  it('is added up by what is asked for, since then', async () => {
    expect(await ask('/api/usage?by=consumer,day&since=30d')).toEqual([
      200,
      {
        since: '2026-10-19T12:00:00.000Z',
        until: null,
        by: ['consumer', 'day'],
        usage: [
          { consumer: 'web-app', day: '2026-11-16', ...sums({ cost_usd: '0.017' }) },
          { consumer: null, day: '2026-11-17', ...sums({ cost_usd: '0', unpriced: 1 }) },
        ],
      },
    ]);
  });

  it('is one sum when nothing is said', async () => {
    const [, document] = await ask('/api/usage');
    expect(document).toMatchObject({ since: null, by: [], usage: [{ requests: 3, cost_usd: '0.017000001' }] });
  });

  it('is that of the rows chosen', async () => {
    const [, document] = await ask('/api/usage?model=x&until=2026-11-01');
    expect(document).toMatchObject({ until: '2026-11-01T00:00:00.000Z', usage: [{ requests: 1 }] });
  });

  it('is told row by row, page by page', async () => {
    const [, first] = await ask('/api/usage/rows?limit=2');
    expect(first).toMatchObject({ rows: [{ request_id: 'a', cost_usd: '0.000000001' }, { request_id: 'b' }] });
    const { next } = first as { readonly next: string };
    const [, second] = await ask(`/api/usage/rows?limit=2&after=${next}`);
    expect(second).toEqual({
      rows: [
        {
          at: '2026-11-17T12:00:00.000Z',
          request_id: 'c',
          consumer: null,
          user: 'alice',
          team: 'growth',
          session: null,
          end_user: null,
          route: 'generate',
          alias: null,
          entity: 'main',
          provider: 'openai',
          model: 'gpt-image-2',
          operation: 'generation',
          images: 1,
          size: '1024x1024',
          quality: null,
          input_tokens: null,
          output_tokens: null,
          cost_usd: null,
          state: 'recorded',
          status: 200,
          latency_ms: 1500,
          attempts: 1,
        },
      ],
      next: null,
    });
  });

  it.each([
    ['/api/usage?by=colour', 'by'],
    ['/api/usage?since=yesterday', 'since'],
    ['/api/usage?until=2026-13-01', 'until'],
    ['/api/usage?colour=red', 'colour'],
    ['/api/usage/rows?limit=0', 'limit'],
    ['/api/usage/rows?limit=1e9', 'limit'],
    ['/api/usage/rows?after=x', 'after'],
    ['/api/usage/rows?by=model', 'by'],
  ])('says what it does not understand: %s', async (path, param) => {
    expect(await ask(path)).toMatchObject([400, { error: { code: 'invalid_value', param } }]);
  });

  it('cannot be told while the books cannot be read', async () => {
    const broken = () => Promise.reject(new GatewayError('overloaded', 'Not now.'));
    books = { ...books, usage: broken, rows: broken };
    expect(await ask('/api/usage')).toMatchObject([503, { error: { code: 'overloaded' } }]);
    expect(await ask('/api/usage/rows')).toMatchObject([503, { error: { code: 'overloaded' } }]);
  });
});

function sums(given: object): object {
  const numbers = { requests: 1, images: 1, input_tokens: 0, output_tokens: 0, open: 0, estimated: 0, unpriced: 0 };
  return { ...numbers, ...given };
}

describe('a reload', () => {
  it.each([
    [200, { kind: 'applied', revision: 2, diff: ['+ route edit'] }],
    [200, { kind: 'unchanged', revision: 1 }],
    [422, { kind: 'refused', problems: [{ file: 'gateway.yaml', line: 3, column: 5, message: 'no' }] }],
  ] as const)('is answered with %i and what came of it', async (status, given) => {
    result = given;
    expect(await ask('/api/reload', { method: 'POST' })).toEqual([status, given]);
    expect(reloads).toEqual(['api']);
  });

  it('is asked for with POST only', async () => {
    const answer = await fetch(`${origin}/api/reload`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await answer.json()).toMatchObject({ error: { code: 'method_not_allowed' } });
    expect(reloads).toEqual([]);
  });

  it('may come with a body, which nobody reads', async () => {
    const body = JSON.stringify({ please: 'x'.repeat(100_000) });
    expect((await ask('/api/reload', { method: 'POST', body }))[0]).toBe(200);
  });
});

describe('the token', () => {
  const token = 'admin-token-55f1';

  beforeEach(() => {
    sources = { ...sources, token: () => token };
  });

  it.each([
    [undefined, 'missing_api_key'],
    ['', 'missing_api_key'],
    ['Bearer', 'missing_api_key'],
    [`Basic ${token}`, 'missing_api_key'],
    [`Bearer ${token}x`, 'invalid_api_key'],
    [`Bearer ${token.slice(1)}`, 'invalid_api_key'],
    [`Bearer ${token.toUpperCase()}`, 'invalid_api_key'],
  ])('is wanted, and %j is none', async (authorization, code) => {
    const headers = authorization === undefined ? {} : { authorization };
    for (const init of [{ headers }, { headers, method: 'POST' }]) {
      const path = init.method === 'POST' ? '/api/reload' : '/api/status';
      const [status, document] = await ask(path, init);
      expect([status, document]).toMatchObject([401, { error: { code, type: 'authentication_error' } }]);
      expect(JSON.stringify(document)).not.toContain(token);
    }
    expect(reloads).toEqual([]);
    expect(log.lines).toEqual([]);
  });

  it.each(['Bearer', 'bearer', 'BEARER '])('opens the door: %s', async (scheme) => {
    expect((await ask('/api/status', { headers: { authorization: `${scheme} ${token}` } }))[0]).toBe(200);
  });

  it('is not wanted from probes', async () => {
    expect([(await ask('/healthz'))[0], (await ask('/readyz'))[0]]).toEqual([200, 200]);
  });

  it('is asked for before anything is said about methods', async () => {
    expect((await ask('/api/reload', { method: 'DELETE' }))[0]).toBe(401);
  });

  it('is the one in force at the time of the request', async () => {
    const headers = { authorization: `Bearer ${token}` };
    sources = { ...sources, token: () => 'rotated' };
    expect((await ask('/api/status', { headers }))[0]).toBe(401);
    sources = { ...sources, token: () => '' };
    expect((await ask('/api/status'))[0]).toBe(200);
  });
});

describe('any other path', () => {
  it.each(['/', '/healthz/', '/api', '/API/status', '/v1/models', '/%68ealthz', '/constructor'])(
    'is not there: %s',
    async (path) => {
      expect(await ask(path)).toMatchObject([404, { error: { code: 'route_not_found' } }]);
    },
  );
});

async function ask(path: string, init: RequestInit = {}): Promise<[number, unknown]> {
  const answer = await fetch(origin + path, init);
  expect(answer.headers.get('content-type')).toBe('application/json');
  return [answer.status, await answer.json()];
}
