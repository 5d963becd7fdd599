import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAdminHandler, type AdminSources } from '../../../src/admin/admin.ts';
import type { BlobStore } from '../../../src/blobs/blob-store.ts';
import { fileBlobStore } from '../../../src/blobs/file.ts';
import type { ReloadResult, ReloadTrigger } from '../../../src/config/reload.ts';
import { counterPlace } from '../../../src/budget/counters.ts';
import { createBudgetClock } from '../../../src/budget/windows.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Budget } from '../../../src/pipeline/settings.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { makeBudget } from '../../fixtures/budget.ts';
import { blobSettings, contentOf } from '../../fixtures/blobs.ts';
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
let blobs: BlobStore;
let budgets: readonly Budget[];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-admin-'));
  server = createServer((request, response) =>
    createAdminHandler(sources)({ request, answer: { kind: 'response', response } }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  blobs = await fileBlobStore.open(await mkdtemp(join(folder, 'images-')), blobSettings());
  books = await memoryStore.open('', { now: () => noon });
  log = recordingLog();
  budgets = [];
  reloads = [];
  result = { kind: 'applied', revision: 2, diff: ['+ route edit'] };
  sources = {
    readiness: () => ({ ready: true, stateWorks: true, limitsWork: true }),
    books: () => books,
    now: () => noon,
    explain: (given) => Promise.resolve({ asked: given }),
    capabilities: (model) => ({ asked: model }),
    status: () => ({ ok: true, revision: 1 }),
    async reload(trigger) {
      reloads.push(trigger);
      return result;
    },
    withBudgets: (use) => use({ budgets, store: books }),
    withImages: (use) => use(blobs),
    token: () => '',
    log,
  };
});

describe('health', () => {
  it('is told as long as the process can answer, ready or not', async () => {
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: true, limitsWork: true }) };
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
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: true, limitsWork: true }) };
    expect(await ask('/readyz')).toEqual([503, { status: 'not ready' }]);
  });

  it('says when the state does not work, whether or not that matters', async () => {
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: false, limitsWork: true }) };
    expect(await ask('/readyz')).toEqual([503, { status: 'not ready', state: 'failing' }]);
    sources = { ...sources, readiness: () => ({ ready: true, stateWorks: false, limitsWork: true }) };
    expect(await ask('/readyz')).toEqual([200, { status: 'ready', state: 'failing' }]);
    sources = { ...sources, readiness: () => ({ ready: false, stateWorks: true, limitsWork: false }) };
    expect(await ask('/readyz')).toEqual([503, { status: 'not ready', rate_limits: 'failing' }]);
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
          saved_usd: null,
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
  const numbers = {
    requests: 1,
    images: 1,
    saved_usd: '0',
    input_tokens: 0,
    output_tokens: 0,
    open: 0,
    estimated: 0,
    unpriced: 0,
  };
  return { ...numbers, ...given };
}

describe('budgets', () => {
  const growth = makeBudget({ id: 'growth-month', limitImages: 50, per: 'team' });
  const rolling = makeBudget({ id: 'rolling', window: { rollingMs: 3_600_000 }, onExceed: 'warn' });

  /** Lets a budget count: what is over, or with `held` what is still under way. */
  async function count(budget: Budget, settled: number, value?: string, minutesAgo = 0, held = 0): Promise<void> {
    const span = createBudgetClock(budget.window, budget.timeZone)(noon - minutesAgo * 60_000);
    const { counter } = counterPlace(budget, 'images', span, value);
    const heldUntilMs = noon + 1000;
    const ids = [0, 1].map((each) => `${counter} ${settled} ${held} ${each}`);
    await books.reserve(ids[0] ?? '', [{ counter, amount: 1, limit: undefined, expiresAtMs: undefined }], {
      heldUntilMs,
    });
    await books.settle(ids[0] ?? '', [settled]);
    if (held === 0) return;
    await books.reserve(ids[1] ?? '', [{ counter, amount: held, limit: undefined, expiresAtMs: undefined }], {
      heldUntilMs,
    });
  }

  const listed = async (query = ''): Promise<unknown> => (await ask(`/api/budgets${query}`))[1];
  const reset = (path: string) => ask(`/api/budgets/${path}`, { method: 'POST' });

  it('are told with what their counters say in the window that is open', async () => {
    budgets = [growth, makeBudget({ id: 'all', window: 'lifetime', timeZone: 'Europe/Berlin' })];
    await count(growth, 40, 'growth', 0, 3);
    await count(growth, 7, 'a/b c');
    await count(growth, 9, 'growth', 60 * 24 * 30);
    await count({ ...growth, id: 'growth-month2' }, 9, 'growth');
    expect(await ask('/api/budgets')).toEqual([
      200,
      {
        budgets: [
          {
            id: 'growth-month',
            window: 'month',
            rolling: null,
            time_zone: 'UTC',
            window_start: '2026-11-01T00:00:00.000Z',
            window_end: '2026-12-01T00:00:00.000Z',
            per: 'team',
            on_exceed: 'block',
            counters: [
              { value: 'a/b c', unit: 'images', used: 7, held: 0, limit: 50, remaining: 43, percent: 14 },
              { value: 'growth', unit: 'images', used: 40, held: 3, limit: 50, remaining: 7, percent: 80 },
            ],
            more: false,
          },
          {
            id: 'all',
            window: 'lifetime',
            rolling: null,
            time_zone: 'Europe/Berlin',
            window_start: null,
            window_end: null,
            per: null,
            on_exceed: 'block',
            counters: [{ value: null, unit: 'images', used: 0, held: 0, limit: 10, remaining: 10, percent: 0 }],
            more: false,
          },
        ],
      },
    ]);
  });

  it('that roll are told with all that counts by now', async () => {
    budgets = [rolling];
    for (const [minutesAgo, settled] of [
      [62, 100],
      [59, 4],
      [30, 2],
      [0, 6],
    ] as const) {
      await count(rolling, settled, undefined, minutesAgo);
    }
    expect(await listed()).toMatchObject({
      budgets: [
        {
          window: null,
          rolling: '1h',
          time_zone: null,
          window_start: '2026-11-18T11:00:00.000Z',
          window_end: null,
          counters: [{ value: null, used: 12, held: 0, limit: 10, remaining: 0, percent: 120 }],
        },
      ],
    });
  });

  it('can be asked for one by one, value by value, and no more than are wanted', async () => {
    budgets = [growth, rolling];
    for (const value of ['growth', 'growth-2', 'x'.repeat(1000)]) await count(growth, 1, value);
    expect(await listed('?id=growth-month&limit=2')).toMatchObject({
      budgets: [{ counters: [{ value: 'growth' }, { value: 'growth-2' }], more: true }],
    });
    expect(await listed('?value=growth')).toMatchObject({
      budgets: [{ id: 'growth-month', counters: [{ value: 'growth', used: 1 }], more: false }],
    });
    expect(await listed('?value=nobody')).toMatchObject({ budgets: [{ counters: [{ value: 'nobody', used: 0 }] }] });
    expect(await listed('?id=growth-month')).toMatchObject({
      budgets: [{ counters: [{}, {}, { value: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), used: 1 }] }],
    });
  });

  it('start from zero when they are reset, but for calls under way', async () => {
    budgets = [growth];
    await count(growth, 40, 'growth', 0, 3);
    await count(growth, 7, 'design');
    expect(await reset('growth-month/reset?value=growth')).toEqual([
      200,
      { id: 'growth-month', reset: [{ value: 'growth', unit: 'images', used: 40 }] },
    ]);
    expect(await listed()).toMatchObject({
      budgets: [
        {
          counters: [
            { value: 'design', used: 7 },
            { value: 'growth', used: 0, held: 3 },
          ],
        },
      ],
    });
    expect(await reset('growth-month/reset')).toMatchObject([
      200,
      {
        reset: [
          { value: 'design', used: 7 },
          { value: 'growth', used: 0 },
        ],
      },
    ]);
  });

  it('that roll are reset in all their parts', async () => {
    budgets = [rolling];
    for (const minutesAgo of [59, 30, 0]) await count(rolling, 2, undefined, minutesAgo);
    expect(await reset('rolling/reset')).toEqual([
      200,
      { id: 'rolling', reset: [{ value: null, unit: 'images', used: 6 }] },
    ]);
    expect(await listed()).toMatchObject({ budgets: [{ counters: [{ used: 0 }] }] });
  });

  it('with a value that is too long to be shown are reset by what is shown in its place', async () => {
    budgets = [growth];
    await count(growth, 4, 'x'.repeat(1000));
    const [, document] = await ask('/api/budgets');
    const shown = /sha256:[0-9a-f]{64}/.exec(JSON.stringify(document))?.[0] ?? '';
    expect(await reset(`growth-month/reset?value=${shown}`)).toMatchObject([200, { reset: [{ used: 4 }] }]);
  });

  it.each([
    ['GET', '/api/budgets?limit=0', 400, 'limit'],
    ['GET', '/api/budgets?limit=10001', 400, 'limit'],
    ['GET', '/api/budgets?id=montly', 400, 'id'],
    ['GET', '/api/budgets?colour=red', 400, 'colour'],
    ['POST', '/api/budgets/rolling/reset?value=x', 400, 'value'],
    ['POST', '/api/budgets/rolling/reset?team=x', 400, 'team'],
    ['POST', '/api/budgets/montly/reset', 404, null],
    ['POST', '/api/budgets//reset', 404, null],
    ['GET', '/api/budgets/rolling/reset', 405, null],
    ['POST', '/api/budgets', 405, null],
  ])('say what is not understood: %s %s', async (method, path, status, param) => {
    budgets = [rolling];
    expect(await ask(path, { method })).toMatchObject([status, { error: { param } }]);
  });

  it('cannot be told while the books cannot be read', async () => {
    budgets = [growth];
    books = { ...books, counters: () => Promise.reject(new GatewayError('overloaded', 'Not now.')) };
    expect(await ask('/api/budgets')).toMatchObject([503, { error: { code: 'overloaded' } }]);
  });
});

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

describe('the hosted images', () => {
  const picture = Buffer.from('a picture');
  const put = (expiresAtMs?: number) => blobs.put(contentOf(picture), 'image/png', { expiresAtMs });

  it('are listed with what there is to tell about them', async () => {
    const expiresAtMs = Math.ceil(Date.now() / 1000) * 1000 + 3_600_000;
    const [lasting, expiring] = [await put(), await put(expiresAtMs)];
    const created_at = expect.toSatisfy((time: string) => Math.abs(Date.parse(time) - Date.now()) < 60_000);
    const common = { media_type: 'image/png', bytes: picture.byteLength, created_at };
    expect(await ask('/api/images')).toEqual([
      200,
      {
        images: [
          { name: expiring, ...common, expires_at: new Date(expiresAtMs).toISOString() },
          { name: lasting, ...common, expires_at: null },
        ],
        next: null,
      },
    ]);
  });

  it('are listed page by page', async () => {
    const names = await Promise.all(Array.from({ length: 5 }, () => put()));
    const seen: string[] = [];
    let after = '';
    for (const count of [2, 2, 1]) {
      const [, page] = await ask(`/api/images?limit=2${after}`);
      const { images, next } = page as { images: { name: string }[]; next: string | null };
      expect(images).toHaveLength(count);
      seen.push(...images.map(({ name }) => name));
      expect(next).toBe(count < 2 ? null : images.at(-1)?.name);
      after = `&after=${next ?? ''}`;
    }
    expect(seen).toEqual(names.toSorted());
  });

  it.each(['0', '1001', '-1', '1.5', 'all', '', '99999'])('are not listed with the limit %j', async (limit) => {
    const [status, document] = await ask(`/api/images?limit=${limit}`);
    expect([status, document]).toMatchObject([400, { error: { code: 'invalid_value', param: 'limit' } }]);
  });

  it('are not listed after something that is no image', async () => {
    const [status, document] = await ask('/api/images?after=..%2F..%2Fetc');
    expect([status, document]).toMatchObject([400, { error: { code: 'invalid_value', param: 'after' } }]);
  });

  it('are deleted one by one', async () => {
    const [name, other] = [await put(), await put()];
    const gone = await fetch(`${origin}/api/images/${name}`, { method: 'DELETE' });
    expect([gone.status, await gone.text()]).toEqual([204, '']);
    expect(await ask(`/api/images/${name}`, { method: 'DELETE' })).toMatchObject([
      404,
      { error: { code: 'file_not_found' } },
    ]);
    expect((await blobs.list({ limit: 10 })).map((entry) => entry.name)).toEqual([other]);
  });

  it.each(['x', '..%2F..%2Fetc%2Fpasswd', `${'A'.repeat(32)}.png`, '%00'])(
    'are not deleted by the name %s',
    async (name) => {
      const answer = await ask(`/api/images/${name}`, { method: 'DELETE' });
      expect(answer).toMatchObject([404, { error: { code: 'file_not_found' } }]);
    },
  );

  it('are neither shown nor changed', async () => {
    const name = await put();
    for (const [path, method, allow] of [
      [`/api/images/${name}`, 'GET', 'DELETE'],
      [`/api/images/${name}`, 'PUT', 'DELETE'],
      ['/api/images', 'DELETE', 'GET'],
    ] as const) {
      const answer = await fetch(origin + path, { method });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, allow]);
    }
  });

  it('are told of and deleted with the token only', async () => {
    const name = await put();
    sources = { ...sources, token: () => 'admin-token-55f1' };
    expect((await ask('/api/images'))[0]).toBe(401);
    expect((await ask(`/api/images/${name}`, { method: 'DELETE' }))[0]).toBe(401);
    expect(await blobs.list({ limit: 10 })).toHaveLength(1);
  });
});

describe('any other path', () => {
  it.each([
    '/',
    '/healthz/',
    '/api',
    '/API/status',
    '/v1/models',
    '/%68ealthz',
    '/constructor',
    '/api/images/',
    '/api/images/a/b',
    '/api/images/%E0%A4%A',
  ])('is not there: %s', async (path) => {
    expect(await ask(path)).toMatchObject([404, { error: { code: 'route_not_found' } }]);
  });
});

async function ask(path: string, init: RequestInit = {}): Promise<[number, unknown]> {
  const answer = await fetch(origin + path, init);
  expect(answer.headers.get('content-type')).toBe('application/json');
  return [answer.status, await answer.json()];
}
