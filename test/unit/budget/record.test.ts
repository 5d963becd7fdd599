import { beforeEach, describe, expect, it } from 'vitest';
import { recordCall } from '../../../src/budget/record.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { LedgerRow } from '../../../src/stores/ledger.ts';
import type { Store } from '../../../src/stores/store.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import { makeAttempt, makeCall, makeExchange, makeRoute, makeTarget } from '../../fixtures/exchange.ts';
import { priceQuestion } from '../../fixtures/prices.ts';
import { recordingLog } from '../runtime/recording-log.ts';

const nowMs = Date.parse('2026-11-18T12:00:00Z');
const answered = { kind: 'answered', status: 200, error: undefined } as const;

let store: Store;
/** Ends of the pauses that somebody waits for. */
let pauses: (() => void)[];
const clock: Clock = {
  now: () => nowMs,
  monotonic: () => 0,
  sleep: () => Promise.reject(new Error('This test did not expect to wait.')),
  timer(_milliseconds, end) {
    pauses.push(end);
    return { cancel() {} };
  },
};

beforeEach(async () => {
  store = await memoryStore.open('', clock);
  pauses = [];
});

const rows = async (): Promise<readonly LedgerRow[]> => (await store.rows({ limit: 10 })).rows;

describe('recordCall', () => {
  it('writes the row of a call that no stage has kept', async () => {
    const slots = { caller: makeCaller(), call: makeCall({ parameters: { n: 2 } }), candidates: [makeTarget()] };
    const attempts = [makeAttempt({ images: 2, costNanoUsd: 5 })];
    await recordCall(makeExchange(slots, { attempts, startedAtMs: nowMs - 1500 }), answered, { store, clock });
    expect(await rows()).toMatchObject([
      { requestId: 'request-1', consumer: 'web-app', images: 2, costNanoUsd: 5, state: 'recorded', latencyMs: 1500 },
    ]);
  });

  it('has the session and the end user that authenticate knows, else the end user that the call names', async () => {
    const slots = { call: makeCall({ parameters: { user: 'of-the-call' } }) };
    const told = { ...makeCaller(), endUser: 'of-the-header', session: 'session-9' };
    const attempts = [makeAttempt()];
    await recordCall(makeExchange({ ...slots, caller: told }, { attempts }), answered, { store, clock });
    await recordCall(makeExchange({ ...slots, caller: makeCaller() }, { attempts }), answered, { store, clock });
    expect(await rows()).toMatchObject([
      { endUser: 'of-the-header', session: 'session-9' },
      { endUser: 'of-the-call', session: null },
    ]);
  });

  it('says that it is an estimate when an answer was lost', async () => {
    const question = priceQuestion({ n: 3 });
    const attempts = [makeAttempt({ question, images: undefined, status: undefined })];
    const slots = { call: makeCall({ parameters: { n: 3 } }) };
    await recordCall(makeExchange(slots, { attempts }), { ...answered, kind: 'failed' }, { store, clock });
    expect(await rows()).toMatchObject([{ state: 'estimated', images: 3, costNanoUsd: null, entity: 'main' }]);
  });

  it.each([
    ['was never tried', makeExchange({})],
    ['stands in the ledger already', makeExchange({}, { attempts: [makeAttempt()], ledgerIds: new Set(['a']) })],
    ['makes no pictures', makeExchange({}, { attempts: [makeAttempt()], route: makeRoute({ operation: undefined }) })],
  ])('writes nothing of a request that %s', async (_what, exchange) => {
    await recordCall(exchange, answered, { store, clock });
    expect(await rows()).toEqual([]);
  });

  it('tries again when the books cannot be written to, and writes one row only', async () => {
    const log = recordingLog();
    let failures = 2;
    const flaky: Store = {
      ...store,
      async record(...args) {
        await store.record(...args);
        failures -= 1;
        // It was written, but nobody can tell.
        if (failures >= 0) throw new GatewayError('overloaded', 'Not now.', { cause: new Error('broken') });
      },
    };
    await recordCall(makeExchange({}, { attempts: [makeAttempt()], log }), answered, { store: flaky, clock });
    expect(await log.next('error')).toMatchObject({
      message: 'a call could not be recorded, trying again',
      fields: { reason: 'broken', row: { requestId: 'request-1', images: 1 } },
    });
    for (let tries = 0; tries < 2; tries += 1) {
      await expect.poll(() => pauses.length).toBe(1);
      pauses.shift()?.();
    }
    expect(await log.next('info')).toMatchObject({ message: 'a call was recorded late' });
    expect(await rows()).toHaveLength(1);
  });
});
