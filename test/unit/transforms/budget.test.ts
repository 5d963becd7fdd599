import { beforeEach, describe, expect, it } from 'vitest';
import { createPriceBook } from '../../../src/budget/pricing.ts';
import { GatewayError } from '../../../src/errors.ts';
import { compilePattern } from '../../../src/pattern.ts';
import type { Attempt, ExchangeEnd, Slots } from '../../../src/pipeline/exchange.ts';
import type { Budget } from '../../../src/pipeline/settings.ts';
import type { Clock, StageEnv } from '../../../src/pipeline/stage.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { LedgerRow } from '../../../src/stores/ledger.ts';
import type { CounterState, ReservationTerms, Store } from '../../../src/stores/store.ts';
import { budget as budgetStage } from '../../../src/transforms/budget.ts';
import { stageContract } from '../../contract/stage-contract.ts';
import { makeBudget, makeCaller } from '../../fixtures/budget.ts';
import {
  makeAttempt,
  makeCall,
  makeEntity,
  makeExchange,
  makeOperation,
  makeStageEnv,
  makeTarget,
  type TestExchange,
} from '../../fixtures/exchange.ts';
import { priceQuestion } from '../../fixtures/prices.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const month = 'images/month/2026-11-01T00:00:00.000Z';
const lost = { status: undefined, images: undefined };

let nowMs: number;
let log: RecordingLog;
let store: Store;
/** Pauses that somebody is waiting for, each with the way to end it. */
let pauses: { readonly milliseconds: number; readonly end: () => void }[];
let paused: PromiseWithResolvers<void>;

const clock: Clock = {
  now: () => nowMs,
  monotonic: () => nowMs,
  sleep: () => Promise.reject(new Error('This test did not expect to wait.')),
  timer(milliseconds, end) {
    pauses.push({ milliseconds, end });
    paused.resolve();
    paused = Promise.withResolvers();
    return { cancel() {} };
  },
};

beforeEach(async () => {
  nowMs = Date.parse('2026-11-18T12:00:00Z');
  log = recordingLog();
  store = await memoryStore.open('', clock);
  pauses = [];
  paused = Promise.withResolvers();
});

const main = makeTarget();
const second = makeTarget({ entity: makeEntity({ id: 'second', providerNames: ['grok'] }), model: 'grok-imagine' });

type Handle = (exchange: TestExchange & Pick<Slots, 'caller' | 'call' | 'candidates'>) => Promise<void>;

/** Two models with prices that are easy to add up. */
const prices = createPriceBook([
  { entity: 'main', model: 'gpt-image-2', per_image: 0.2 },
  { entity: 'second', model: 'grok-imagine', per_image: 0.3 },
]);
const dollar = 1_000_000_000;

function createStage(budgets: readonly Budget[], env: Partial<StageEnv> = {}): Handle {
  const handle = budgetStage.create({}, makeStageEnv({ store, clock, log, ...env, catalogue: { budgets, prices } }));
  return async (exchange) => void (await handle(exchange));
}

interface CallOptions extends Partial<Pick<Slots, 'caller' | 'candidates'>> {
  readonly n?: number;
}

function request({ n, caller = makeCaller(), candidates = [main] }: CallOptions = {}): Parameters<Handle>[0] {
  return makeExchange({ caller, candidates, call: makeCall({ parameters: { n } }) }, { log });
}

/** A call from beginning to end. */
async function call(
  handle: Handle,
  options: CallOptions,
  attempts: readonly Partial<Attempt>[],
  end?: Partial<ExchangeEnd>,
): Promise<void> {
  const exchange = request(options);
  await handle(exchange);
  const question = priceQuestion({ n: options.n ?? 1 });
  exchange.attempts.push(...attempts.map((attempt) => makeAttempt({ question, ...attempt })));
  await exchange.finish(end);
}

const read = (name = 'all', rest = 'all'): Promise<CounterState> => store.read(`budget/${name}/${month}/${rest}`);

describe('reserving', () => {
  it('holds what the call asks for until it is over', async () => {
    const handle = createStage([makeBudget()]);
    const exchange = request({ n: 3 });
    await handle(exchange);
    expect(await read()).toEqual({ settled: 0, held: 3 });
    exchange.attempts.push(makeAttempt({ images: 3 }));
    await exchange.finish();
    expect(await read()).toEqual({ settled: 3, held: 0 });
  });

  it('asks for the default of the entity, else for one, when the call does not say', async () => {
    const handle = createStage([makeBudget()]);
    const operations = { generation: makeOperation({ parameters: { n: 4 } }), edition: makeOperation() };
    await handle(request({ candidates: [makeTarget({ entity: makeEntity({ operations }) })] }));
    expect(await read()).toEqual({ settled: 0, held: 4 });
    await handle(request());
    expect(await read()).toEqual({ settled: 0, held: 5 });
  });

  it('counts nothing when no budget applies', async () => {
    const handle = createStage([makeBudget({ scope: { teams: new Set(['design']) } })]);
    await call(handle, {}, [{}]);
    expect(await read()).toEqual({ settled: 0, held: 0 });
  });

  it('says how long it may take: as long as the exchange, and until all tries to settle are over', async () => {
    let terms: ReservationTerms | undefined;
    const spying: Store = {
      ...store,
      reserve: (id, holds, given) => store.reserve(id, holds, (terms = given)),
    };
    await createStage([makeBudget()], { store: spying })(request());
    expect(terms?.heldUntilMs).toBe(nowMs + 300_000 + 600_000);
  });

  it('refuses a call for which there is no room, and says which budget, how much and until when', async () => {
    const handle = createStage([makeBudget({ id: 'wide', limitImages: 100 }), makeBudget({ id: 'growth-month' })]);
    await call(handle, { n: 8 }, [{ images: 8 }]);
    const exchange = request({ n: 3 });
    await expect(handle(exchange)).rejects.toMatchObject({
      code: 'budget_exceeded',
      status: 429,
      retry: false,
      retryAfterMs: undefined,
      message:
        'The budget `growth-month` has no room for this call of 3 images: 8 of 10 are used. ' +
        'Its window ends at 2026-12-01T00:00:00.000Z.',
    });
    await exchange.finish({ kind: 'failed', status: 429 });
    expect(await read('wide')).toEqual({ settled: 8, held: 0 });
    expect(await read('growth-month')).toEqual({ settled: 8, held: 0 });
  });

  it('starts from zero in a new window', async () => {
    const handle = createStage([makeBudget()]);
    await call(handle, { n: 10 }, [{ images: 10 }]);
    await expect(handle(request())).rejects.toThrow(/has no room/);
    nowMs = Date.parse('2026-12-01T00:00:00Z');
    await handle(request());
  });

  it('counts for each value by itself', async () => {
    const handle = createStage([makeBudget({ per: 'team' })]);
    await call(handle, { n: 10 }, [{ images: 10 }]);
    await expect(handle(request())).rejects.toThrow(/has no room/);
    await handle(request({ caller: makeCaller({ team: 'design' }) }));
    expect(await read('all', 'team/growth')).toEqual({ settled: 10, held: 0 });
    expect(await read('all', 'team/design')).toEqual({ settled: 0, held: 1 });
  });

  it('counts what was used in the time that has just passed, where the window rolls', async () => {
    const handle = createStage([makeBudget({ window: { rollingMs: 60 * 60_000 }, per: 'team' })]);
    const passMinutes = (minutes: number): number => (nowMs += minutes * 60_000);
    await call(handle, { n: 4 }, [{ images: 4 }]);
    passMinutes(30);
    await call(handle, { n: 5 }, [{ images: 5 }]);
    passMinutes(29);
    await expect(handle(request({ n: 2 }))).rejects.toMatchObject({
      code: 'budget_exceeded',
      message: 'The budget `all` has no room for this call of 2 images: 9 of 10 are used. It counts the last 1h.',
    });
    await handle(request({ n: 10, caller: makeCaller({ team: 'design' }) }));
    passMinutes(2);
    await call(handle, { n: 5 }, [{ images: 5 }]);
    await expect(handle(request())).rejects.toThrow(/10 of 10/);
    passMinutes(30);
    await handle(request({ n: 5 }));
    await expect(handle(request())).rejects.toThrow(/10 of 10/);
  });

  it('holds by a new limit for what was used before', async () => {
    await call(createStage([makeBudget({ limitImages: 10 })]), { n: 8 }, [{ images: 8 }]);
    await expect(createStage([makeBudget({ limitImages: 8 })])(request())).rejects.toThrow(/8 of 8/);
    await createStage([makeBudget({ limitImages: 9 })])(request());
  });

  it('starts from zero when its windows or its values change, and finds its counters again when they change back', async () => {
    const full = createStage([makeBudget()]);
    await call(full, { n: 10 }, [{ images: 10 }]);
    for (const changed of [{ window: 'day' }, { window: { rollingMs: 86_400_000 } }, { per: 'team' }] as const) {
      const handle = createStage([makeBudget(changed)]);
      await call(handle, { n: 10 }, [{ images: 10 }]);
      await expect(handle(request())).rejects.toThrow(/10 of 10/);
    }
    await expect(createStage([makeBudget()])(request())).rejects.toThrow(/10 of 10/);
  });

  it('lets exactly as many of many concurrent calls pass as there is room for, whatever becomes of them', async () => {
    const handle = createStage([makeBudget({ limitImages: 25 })]);
    const outcomes = await Promise.allSettled(Array.from({ length: 500 }, () => call(handle, {}, [{ images: 1 }])));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(25);
    expect(await read()).toEqual({ settled: 25, held: 0 });
  });

  it('gives all of the room to those that come after failed and abandoned calls', async () => {
    const handle = createStage([makeBudget({ limitImages: 25, abandoned: 'release' })]);
    for (let index = 0; index < 60; index += 1) {
      await call(handle, {}, [{ status: 500, images: 0 }], { kind: 'failed', status: 502 });
      await call(handle, {}, [{ ...lost, sent: false }], { kind: 'failed', status: 502 });
      await call(handle, {}, [lost], { kind: 'aborted', status: 499 });
    }
    for (let index = 0; index < 25; index += 1) await call(handle, {}, [{ images: 1 }]);
    expect(await read()).toEqual({ settled: 25, held: 0 });
  });

  it('fails the call before anything is sent when the store cannot be written to', async () => {
    const broken = { ...store, reserve: () => Promise.reject(new GatewayError('overloaded', 'The disk is full.')) };
    const handle = createStage([makeBudget()], { store: broken });
    const exchange = request();
    await expect(handle(exchange)).rejects.toMatchObject({ code: 'overloaded', status: 503 });
    await exchange.finish({ kind: 'failed', status: 503 });
    expect(log.lines).toEqual([]);
  });

  it('lets the call go on uncounted where the file says so, and leaves its row to others', async () => {
    const cause = new Error('database or disk is full');
    const broken = { ...store, reserve: () => Promise.reject(new GatewayError('overloaded', 'Not now.', { cause })) };
    const budgets = [makeBudget()];
    const env = makeStageEnv({ store: broken, clock, log, catalogue: { budgets, onStateFailure: 'allow' } });
    const exchange = request();
    await budgetStage.create({}, env)(exchange);
    expect(log.lines).toEqual([
      {
        level: 'error',
        message: 'a call goes on uncounted, since the state cannot be written to',
        fields: { reason: 'database or disk is full' },
      },
    ]);
    expect(exchange.ledgerIds.size).toBe(0);
    await exchange.finish();
    expect(log.lines).toHaveLength(1);
  });

  it('refuses by budgets all the same where the file lets calls go on without the state', async () => {
    const budgets = [makeBudget({ limitImages: 0 })];
    const env = makeStageEnv({ store, clock, log, catalogue: { budgets, onStateFailure: 'allow' } });
    await expect(budgetStage.create({}, env)(request())).rejects.toMatchObject({ code: 'budget_exceeded' });
  });

  it('gives the reservation back when the exchange ends before the store has answered', async () => {
    const answered = Promise.withResolvers<void>();
    const slow: Store = { ...store, reserve: (...args) => answered.promise.then(() => store.reserve(...args)) };
    const exchange = request();
    const handling = createStage([makeBudget()], { store: slow })(exchange);
    const finishing = exchange.finish({ kind: 'aborted', status: 499 });
    answered.resolve();
    await Promise.all([handling, finishing]);
    expect(await read()).toEqual({ settled: 0, held: 0 });
  });
});

describe('alerts', () => {
  const alertWebhook = { url: 'https://hooks.test/', headers: {}, secret: undefined, timeoutMs: 1_000 };

  function createAlerting(budgets: readonly Budget[]): { readonly handle: Handle; readonly posted: unknown[] } {
    const posted: unknown[] = [];
    const alerts = { post: (...[, , document]: Parameters<StageEnv['alerts']['post']>) => void posted.push(document) };
    const env = makeStageEnv({ store, clock, log, alerts, catalogue: { budgets, alertWebhook } });
    const handle = budgetStage.create({}, env);
    return { handle: async (exchange) => void (await handle(exchange)), posted };
  }

  it('are raised of what was used, when it is settled', async () => {
    const { handle, posted } = createAlerting([makeBudget({ alertAt: [80] })]);
    const exchange = request({ n: 9 });
    await handle(exchange);
    expect(posted).toEqual([]);
    exchange.attempts.push(makeAttempt({ images: 7 }));
    await exchange.finish();
    expect(posted).toEqual([]);
    await call(handle, { n: 1 }, [{ images: 1 }]);
    expect(posted).toMatchObject([{ budget: 'all', threshold: 80, used: 8, reason: 'used' }]);
  });

  it('are raised by a call that is refused, of the budget that refused it', async () => {
    const { handle, posted } = createAlerting([
      makeBudget({ id: 'wide', limitImages: 100, alertAt: [100] }),
      makeBudget({ id: 'narrow', alertAt: [80, 100] }),
    ]);
    const exchange = request({ n: 11 });
    await expect(handle(exchange)).rejects.toThrow(/narrow/);
    await exchange.finish({ kind: 'failed', status: 429 });
    expect(posted).toMatchObject([{ budget: 'narrow', threshold: 100, percent: 0, reason: 'refused' }]);
  });

  it('wait for the books to be there again', async () => {
    const { handle, posted } = createAlerting([makeBudget({ alertAt: [80] })]);
    const { read: readCounter } = store;
    let failures = 1;
    store.read = (...given) => {
      failures -= 1;
      return failures < 0 ? readCounter(...given) : Promise.reject(new GatewayError('overloaded', 'Not now.'));
    };
    await call(handle, { n: 8 }, [{ images: 8 }]);
    expect(posted).toEqual([]);
    pauses.shift()?.end();
    await expect.poll(() => posted).toMatchObject([{ threshold: 80 }]);
    expect(await readCounter(`budget/all/${month}/all`)).toEqual({ settled: 8, held: 0 });
  });
});

describe('telling how budgets stand', () => {
  it('counts what this call has come to by now, and the most that others may come to', async () => {
    const handle = createStage([makeBudget({ id: 'team', per: 'team' })]);
    await call(handle, { n: 2 }, [{ images: 2 }]);
    await handle(request({ n: 3 }));
    const exchange = request({ n: 4 });
    await expect(handle(exchange)).resolves.toBeUndefined();
    exchange.attempts.push(makeAttempt({ images: 1 }));
    const [counted, ...others] = exchange.budgets;
    expect(counted).toMatchObject({ id: 'team', per: 'team', value: 'growth', unit: 'images', limit: 10 });
    expect(counted?.windowEndMs).toBe(Date.parse('2026-12-01'));
    expect(await counted?.used()).toBe(2 + 3 + 1);
    expect(others).toEqual([]);
  });

  it('is about those budgets alone that count a target which was tried', async () => {
    const grok = { models: { include: [compilePattern('grok-.*')], exclude: [] } };
    const handle = createStage([makeBudget(), makeBudget({ id: 'grok', scope: grok })]);
    const exchange = request({ candidates: [main, second] });
    await handle(exchange);
    exchange.attempts.push(makeAttempt());
    expect(await Promise.all(exchange.budgets.map(({ used }) => used()))).toEqual([1, undefined]);
  });

  it('says nothing when nothing could be reserved', async () => {
    const exchange = request({ n: 11 });
    await expect(createStage([makeBudget()])(exchange)).rejects.toThrow(/no room/);
    expect(exchange.budgets).toEqual([]);
  });
});

describe('settling', () => {
  const ends = { failed: { kind: 'failed', status: 502 }, aborted: { kind: 'aborted', status: 499 } } as const;

  it.each<[string, readonly Partial<Attempt>[], Partial<ExchangeEnd>, number]>([
    ['nothing when nothing was tried', [], ends.failed, 0],
    ['nothing when nothing was sent', [{ ...lost, sent: false }], ends.failed, 0],
    ['nothing when the provider refused', [{ status: 400, images: undefined }], ends.failed, 0],
    ['what came, though fewer than asked', [{ images: 2 }], {}, 2],
    ['what came, though more than asked', [{ images: 5 }], {}, 5],
    ['what came, though the client left while it was sent on', [{ images: 4 }], ends.aborted, 4],
    ['what was asked when the answer was lost', [lost], ends.failed, 4],
    ['what was asked when the client left', [lost], ends.aborted, 4],
    ['nothing when the client left before it was sent', [{ ...lost, sent: false }], ends.aborted, 0],
    ['a lost answer and that of the second try', [lost, { images: 4 }], {}, 8],
  ])('counts %s', async (_what, attempts, end, settled) => {
    await call(createStage([makeBudget({ limitImages: 4 })]), { n: 4 }, attempts, end);
    expect(await read()).toEqual({ settled, held: 0 });
  });

  it('goes by each budget’s own word on abandoned calls', async () => {
    const budgets = [makeBudget({ id: 'kind', abandoned: 'release' }), makeBudget({ id: 'strict' })];
    await call(createStage(budgets), { n: 2 }, [lost], ends.aborted);
    expect(await read('kind')).toEqual({ settled: 0, held: 0 });
    expect(await read('strict')).toEqual({ settled: 2, held: 0 });
  });

  it('counts what the provider had begun to answer when the client left, whatever is let go of', async () => {
    const begun = { status: 200, images: undefined, answeredAtMs: 1 };
    await call(createStage([makeBudget({ abandoned: 'release' })]), { n: 2 }, [begun], ends.aborted);
    expect(await read()).toEqual({ settled: 2, held: 0 });
  });

  it('counts an answer that was lost before the try which the client abandoned', async () => {
    const handle = createStage([makeBudget({ abandoned: 'release' })]);
    await call(handle, { n: 2 }, [lost, { ...lost, startedAtMs: 1, endedAtMs: 2 }], ends.aborted);
    expect(await read()).toEqual({ settled: 2, held: 0 });
  });
});

describe('a budget in dollars', () => {
  const inDollars = (usd: number, more: Partial<Budget> = {}): Budget =>
    makeBudget({ limitImages: undefined, limitNanoUsd: usd * dollar, ...more });
  const spent = (): Promise<CounterState> => store.read('budget/all/usd/month/2026-11-01T00:00:00.000Z/all');
  const at = (target: typeof main, n: number) => ({
    entity: target.entity.id,
    model: target.model,
    question: priceQuestion({ n }),
  });

  it('holds the most that the dearest candidate may cost, and settles what it did cost', async () => {
    const handle = createStage([inDollars(1)]);
    const exchange = request({ n: 3, candidates: [main, second] });
    await handle(exchange);
    expect(await spent()).toEqual({ settled: 0, held: 0.9 * dollar });
    exchange.attempts.push(makeAttempt({ ...at(main, 3), images: 3, costNanoUsd: 0.6 * dollar }));
    await exchange.finish();
    expect(await spent()).toEqual({ settled: 0.6 * dollar, held: 0 });
  });

  it('counts a lost answer at the most that its request may have cost, unless the budget lets go of what is abandoned', async () => {
    const attempt = { ...at(main, 1), ...lost, mostNanoUsd: 0.2 * dollar };
    await call(createStage([inDollars(1)]), {}, [attempt], { kind: 'aborted', status: 499 });
    expect(await spent()).toEqual({ settled: 0.2 * dollar, held: 0 });
    await call(createStage([inDollars(1, { abandoned: 'release' })]), {}, [attempt], { kind: 'aborted', status: 499 });
    expect(await spent()).toEqual({ settled: 0.2 * dollar, held: 0 });
  });

  it('says in dollars why there is no room', async () => {
    const handle = createStage([inDollars(0.5)]);
    await call(handle, { n: 2 }, [{ ...at(main, 2), images: 2, costNanoUsd: 0.4 * dollar }]);
    await expect(handle(request())).rejects.toThrow(
      'The budget `all` has no room for this call of up to $0.2: $0.4 of $0.5 are used.',
    );
  });

  it('refuses a call to a model without a price, or lets it pass with a word in the log', async () => {
    const nobody = makeTarget({ model: 'nobody-knows-this' });
    await expect(createStage([inDollars(1)])(request({ candidates: [main, nobody] }))).rejects.toMatchObject({
      code: 'unpriced_model',
      param: 'model',
    });
    expect((await store.rows({ limit: 10 })).rows).toEqual([]);
    const env = makeStageEnv({
      store,
      clock,
      log,
      catalogue: { budgets: [inDollars(0)], prices, unpriced: 'allow' },
    });
    await budgetStage.create({}, env)(request({ candidates: [nobody] }));
    expect(log.lines).toMatchObject([{ level: 'warn', message: 'a call without a price is not counted in dollars' }]);
    // A budget of pictures does not ask what they cost.
    await createStage([makeBudget()])(request({ candidates: [nobody] }));
  });

  describe('asked for room for another try', () => {
    const failed = { ...at(main, 1), ...lost, mostNanoUsd: 0.2 * dollar };
    const tried = async (limit: number, attempt: Partial<Attempt>) => {
      const exchange = request({ candidates: [main, second] });
      await createStage([inDollars(limit)])(exchange);
      exchange.attempts.push(makeAttempt(attempt));
      const [gate, ...others] = exchange.gates;
      expect(others).toEqual([]);
      return { exchange, mayTry: await gate?.(second) };
    };

    it('has it already when the first try was not billed', async () => {
      const { exchange, mayTry } = await tried(0.3, { ...failed, status: 500, images: 0 });
      expect([mayTry, await spent()]).toEqual([true, { settled: 0, held: 0.3 * dollar }]);
      exchange.attempts.push(makeAttempt({ ...at(second, 1), costNanoUsd: 0.25 * dollar }));
      await exchange.finish();
      expect(await spent()).toEqual({ settled: 0.25 * dollar, held: 0 });
    });

    it('reserves what the first try may have used up, and gives back what is not needed', async () => {
      const { exchange, mayTry } = await tried(0.5, failed);
      expect([mayTry, await spent()]).toEqual([true, { settled: 0, held: 0.5 * dollar }]);
      exchange.attempts.push(makeAttempt({ ...at(second, 1), costNanoUsd: 0.25 * dollar }));
      await exchange.finish();
      expect(await spent()).toEqual({ settled: 0.45 * dollar, held: 0 });
    });

    it('says no when that does not fit, and the first try counts all the same', async () => {
      const { exchange, mayTry } = await tried(0.4, failed);
      expect([mayTry, await spent()]).toEqual([false, { settled: 0, held: 0.3 * dollar }]);
      await exchange.finish({ kind: 'failed', status: 502 });
      expect(await spent()).toEqual({ settled: 0.2 * dollar, held: 0 });
    });
  });
});

describe('the ledger', () => {
  const rows = async (): Promise<readonly LedgerRow[]> => (await store.rows({ limit: 100 })).rows;
  const usage = { inputTokens: 12, outputTokens: 1056, totalTokens: 1068 };

  it('has the call from its reservation on, with the most that it may come to', async () => {
    const handle = createStage([makeBudget()]);
    const parameters = { n: 3, size: '1024x1024', quality: 'high', user: 'end-user-7' };
    const call = makeCall({ parameters });
    const candidates = [makeTarget({ alias: 'best' }), second];
    await handle(makeExchange({ caller: makeCaller(), candidates, call }, { log, startedAtMs: nowMs - 5 }));
    expect(await rows()).toEqual([
      {
        requestId: 'request-1',
        atMs: nowMs - 5,
        consumer: 'web-app',
        user: 'alice',
        team: 'growth',
        session: null,
        endUser: 'end-user-7',
        route: 'generate',
        alias: 'best',
        entity: 'main',
        provider: 'openai',
        model: 'gpt-image-2',
        operation: 'generation',
        images: 3,
        size: '1024x1024',
        quality: 'high',
        inputTokens: null,
        outputTokens: null,
        // The dearer of the two.
        costNanoUsd: 0.9 * dollar,
        savedNanoUsd: null,
        state: 'reserved',
        status: null,
        latencyMs: null,
        attempts: 0,
      },
    ]);
  });

  it('has it also when no budget applies', async () => {
    const exchange = request();
    await createStage([])(exchange);
    expect(await rows()).toMatchObject([{ state: 'reserved', images: 1 }]);
    expect(exchange.ledgerIds.size).toBe(1);
    exchange.attempts.push(makeAttempt());
    await exchange.finish();
    expect(await rows()).toMatchObject([{ state: 'settled', images: 1 }]);
  });

  it('has nothing of a call that was refused', async () => {
    await expect(createStage([makeBudget({ limitImages: 0 })])(request())).rejects.toThrow(/no room/);
    expect(await rows()).toEqual([]);
  });

  it.each<[string, readonly Partial<Attempt>[], Partial<ExchangeEnd>, Partial<LedgerRow>]>([
    [
      'what came, with what the provider says that it costs',
      [{ images: 2, costNanoUsd: 80_000_000, usage }],
      {},
      { state: 'settled', images: 2, costNanoUsd: 80_000_000, inputTokens: 12, outputTokens: 1056, status: 200 },
    ],
    ['no cost where nobody told', [{ images: 2 }], {}, { state: 'settled', images: 2, costNanoUsd: null }],
    [
      'nothing of what the provider refused',
      [{ status: 400, images: 0 }],
      { kind: 'failed', status: 400 },
      { state: 'settled', images: 0, costNanoUsd: 0, status: 400, attempts: 1 },
    ],
    [
      'that nothing was sent',
      [{ ...lost, sent: false }],
      { kind: 'failed', status: 502 },
      { state: 'released', images: 0, costNanoUsd: 0, status: 502, attempts: 1 },
    ],
    ['that nothing was tried', [], { kind: 'failed', status: 500 }, { state: 'released', attempts: 0, status: 500 }],
    [
      'an estimate where the answer was lost',
      [lost],
      { kind: 'failed', status: 502 },
      { state: 'estimated', images: 4, costNanoUsd: null },
    ],
    [
      'an estimate where the client left, whatever the budget makes of it',
      [lost],
      { kind: 'aborted', status: 499 },
      { state: 'estimated', images: 4, status: 499 },
    ],
    [
      'all tries together under the name of the last',
      [
        { images: 4, costNanoUsd: 5 },
        { entity: 'second', provider: 'grok', model: 'grok-imagine', images: 4, costNanoUsd: 7 },
      ],
      {},
      { entity: 'second', provider: 'grok', model: 'grok-imagine', images: 8, costNanoUsd: 12, attempts: 2 },
    ],
  ])('has %s', async (_what, attempts, end, row) => {
    const handle = createStage([makeBudget({ abandoned: 'release' })]);
    await call(handle, { n: 4, candidates: [main, second] }, attempts, end);
    expect(await rows()).toMatchObject([row]);
  });
});

describe('several candidates', () => {
  const perProvider = makeBudget({ id: 'each', per: 'provider' });
  const grok = makeBudget({ id: 'grok', scope: { models: { include: [compilePattern('grok-.*')], exclude: [] } } });

  it('hold room on the budgets of all of them, and use those of the ones that were tried', async () => {
    const handle = createStage([makeBudget(), perProvider, grok]);
    const exchange = request({ n: 2, candidates: [main, second] });
    await handle(exchange);
    for (const counter of [read(), read('each', 'provider/openai'), read('each', 'provider/grok'), read('grok')]) {
      expect(await counter).toEqual({ settled: 0, held: 2 });
    }
    exchange.attempts.push(makeAttempt({ images: 2 }));
    await exchange.finish();
    expect(await read()).toEqual({ settled: 2, held: 0 });
    expect(await read('each', 'provider/openai')).toEqual({ settled: 2, held: 0 });
    expect(await read('each', 'provider/grok')).toEqual({ settled: 0, held: 0 });
    expect(await read('grok')).toEqual({ settled: 0, held: 0 });
  });

  it('are each counted where they belong when the second serves the call', async () => {
    const handle = createStage([makeBudget(), perProvider]);
    const candidates = [main, second];
    await call(handle, { n: 2, candidates }, [lost, { entity: 'second', model: 'grok-imagine', images: 1 }]);
    expect(await read()).toEqual({ settled: 3, held: 0 });
    expect(await read('each', 'provider/openai')).toEqual({ settled: 2, held: 0 });
    expect(await read('each', 'provider/grok')).toEqual({ settled: 1, held: 0 });
  });

  it('are reserved for once, though the stage runs again for each', async () => {
    const handle = createStage([makeBudget()]);
    const exchange = request({ n: 2, candidates: [main, second] });
    await handle(exchange);
    await handle(exchange);
    expect(await read()).toEqual({ settled: 0, held: 2 });
  });
});

describe('a budget that only warns', () => {
  it('counts without a limit, and says once that it is exceeded', async () => {
    const handle = createStage([makeBudget({ limitImages: 2, onExceed: 'warn' })]);
    await call(handle, { n: 2 }, [{ images: 2 }]);
    expect(log.lines).toEqual([]);
    for (let index = 0; index < 3; index += 1) await call(handle, { n: 2 }, [{ images: 2 }]);
    expect(await read()).toEqual({ settled: 8, held: 0 });
    expect(log.lines).toEqual([
      {
        level: 'warn',
        message: 'budget exceeded',
        fields: expect.objectContaining({ budget: 'all', used: 4, limit: 2 }),
      },
    ]);
  });

  it('warns again in the next window', async () => {
    const handle = createStage([makeBudget({ limitImages: 0, onExceed: 'warn' })]);
    await call(handle, {}, [{}]);
    nowMs = Date.parse('2026-12-01T00:00:00Z');
    await call(handle, {}, [{}]);
    expect(log.lines.map(({ message }) => message)).toEqual(['budget exceeded', 'budget exceeded']);
  });
});

describe('a store that cannot be written to when the call is over', () => {
  const overloaded = new GatewayError('overloaded', 'The disk is full.');

  it('is asked again until it settles', async () => {
    let failures = 3;
    const settled = Promise.withResolvers<void>();
    const flaky: Store = {
      ...store,
      async settle(...args) {
        failures -= 1;
        if (failures >= 0) throw overloaded;
        await store.settle(...args);
        settled.resolve();
      },
    };
    await call(createStage([makeBudget()], { store: flaky }), { n: 2 }, [{ images: 2 }]);
    expect(await log.next('error')).toMatchObject({ message: 'a reservation could not be settled, trying again' });
    expect(await read()).toEqual({ settled: 0, held: 2 });
    for (const milliseconds of [250, 500, 1000]) {
      if (pauses.length === 0) await paused.promise;
      const pause = pauses.shift();
      expect(pause?.milliseconds).toBe(milliseconds);
      pause?.end();
    }
    await settled.promise;
    await log.next('info');
    expect(await read()).toEqual({ settled: 2, held: 0 });
  });

  it('is given up when it is closed, and the log says so', async () => {
    const dying: Store = { ...store, settle: () => Promise.reject(new Error('The state store is closed.')) };
    await call(createStage([makeBudget()], { store: dying }), {}, [{}]);
    await log.next('error');
    pauses.shift()?.end();
    expect(await log.next('error')).toMatchObject({
      message: 'a reservation could not be settled, given up',
      fields: { amounts: [1], error: new Error('The state store is closed.') },
    });
  });
});

stageContract({
  definition: budgetStage,
  config: {},
  env: makeStageEnv({
    catalogue: { budgets: [makeBudget({ limitImages: 1000 })] },
    store: await memoryStore.open('', { now: () => 0 }),
  }),
  exchange: (signal) => makeExchange({ caller: makeCaller(), call: makeCall(), candidates: [main] }, { signal }),
});
