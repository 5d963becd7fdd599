import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { Attempt, Slots } from '../../../src/pipeline/exchange.ts';
import { anonymous } from '../../../src/pipeline/settings.ts';
import { Halt, type StageEnv } from '../../../src/pipeline/stage.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { idempotency } from '../../../src/transforms/idempotency.ts';
import { stageContract } from '../../contract/stage-contract.ts';
import { makeAttempt, makeCall, makeExchange, makeStageEnv, type TestExchange } from '../../fixtures/exchange.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const config = { keep: 86_400_000, max_answer_bytes: 1_000_000 };
/** Every pause is over at once. */
const clock: StageEnv['clock'] = {
  now: Date.now,
  monotonic: () => performance.now(),
  async sleep(_milliseconds, signal) {
    await setImmediate();
    signal.throwIfAborted();
  },
  timer: () => ({ cancel() {} }),
};
const down = (): Promise<never> => Promise.reject(new GatewayError('overloaded', 'The books are away.'));

let store: Store;
let log: RecordingLog;
let keys = 0;

beforeEach(async () => {
  store = await memoryStore.open('', clock);
  log = recordingLog();
});

type View = TestExchange & Pick<Slots, 'caller' | 'call'>;

function request(
  key: string | undefined,
  given: { readonly prompt?: string; readonly signal?: AbortSignal } = {},
): View {
  const { prompt = 'a lighthouse', signal = new AbortController().signal } = given;
  const headers = key === undefined ? {} : { 'idempotency-key': key };
  return makeExchange({ caller: anonymous, call: makeCall({ prompt }) }, { request: { headers }, signal, log });
}

function createStage(given: Partial<Omit<StageEnv, 'catalogue'>> = {}, onStateFailure: 'reject' | 'allow' = 'reject') {
  const env = makeStageEnv({ store, clock, log, ...given, catalogue: { onStateFailure } });
  return idempotency.create(config, env);
}

/** An exchange with the key that has sent something, and has ended in an error. */
async function failed(
  exchange: View,
  error: GatewayError,
  attempts: readonly Partial<Attempt>[],
): Promise<GatewayError> {
  await exchange.readyToSend();
  exchange.attempts.push(...attempts.map(makeAttempt));
  const shown = exchange.recorder()?.error(error) ?? error;
  exchange
    .recorder()
    ?.answer({ kind: 'body', status: shown.status, headers: {}, body: Buffer.from(shown.message) }, new Map());
  await exchange.finish({ kind: 'failed', status: shown.status, error: shown });
  return shown;
}

const refused = { status: 400, images: 0 };
const lost = { status: undefined, images: undefined };

describe('contract', () => {
  stageContract({
    definition: idempotency,
    config,
    env: makeStageEnv({
      clock,
      store: {
        ...makeStageEnv().store,
        claimKey: () => Promise.resolve({ kind: 'claimed' }),
      },
    }),
    exchange: (signal) => request(`key-${(keys += 1)}`, { signal }),
  });
});

describe('a request', () => {
  it('without a key is left alone, and none of it is written down', async () => {
    const exchange = request(undefined);
    expect(await createStage({ store: makeStageEnv().store })(exchange)).toBeUndefined();
    expect(exchange.recorder()).toBeUndefined();
  });

  it('takes its key once, however many candidates it has', async () => {
    const stage = createStage();
    const exchange = request('a');
    await stage(exchange);
    expect(await stage(exchange)).toBeUndefined();
  });

  it('takes the key over from one that has given it back while it waited', async () => {
    const stage = createStage();
    const first = request('a');
    const second = request('a');
    await stage(first);
    const waiting = stage(second);
    const busy = new GatewayError('rate_limit_exceeded', 'Slow down.', { retryAfterMs: 10 });
    expect(await failed(first, busy, [refused])).toBe(busy);
    expect(await waiting).toBeUndefined();
    expect(second.recorder()).toBeDefined();
  });

  it('stops waiting when its client leaves', async () => {
    const stage = createStage();
    await stage(request('a'));
    const leaving = new AbortController();
    const reason = new Error('left');
    const waiting = stage(request('a', { signal: leaving.signal }));
    leaving.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('sends nothing when another one has its key meanwhile', async () => {
    const exchange = request('a');
    const thief: Store = { ...store, sendKey: () => Promise.resolve(false) };
    await createStage({ store: thief })(exchange);
    await expect(exchange.readyToSend()).rejects.toMatchObject({ code: 'overloaded', retry: true });
  });

  it('frees its key when it ends before anything was sent', async () => {
    const stage = createStage();
    const exchange = request('a');
    await stage(exchange);
    await exchange.finish({ kind: 'failed', status: 400, error: new GatewayError('guard_blocked', 'No.') });
    expect(await stage(request('a', { prompt: 'another' }))).toBeUndefined();
  });
});

describe('an error', () => {
  const cases: readonly [string, GatewayError, readonly Partial<Attempt>[], 'stays' | 'passes'][] = [
    ['of the request', new GatewayError('content_policy_violation', 'No.'), [refused], 'stays'],
    ['of a credential', new GatewayError('upstream_auth_failed', 'No.'), [{ status: 401, images: 0 }], 'passes'],
    ['that may pass', new GatewayError('upstream_error', 'No.'), [{ status: 500, images: 0 }], 'passes'],
    ['of a quota', new GatewayError('rate_limit_exceeded', 'No.', { retry: false }), [refused], 'passes'],
    ['after nothing was sent', new GatewayError('invalid_value', 'No.'), [{ sent: false, ...lost }], 'passes'],
    ['after an answer was lost', new GatewayError('upstream_timeout', 'No.'), [lost], 'stays'],
    [
      'after one of two was lost',
      new GatewayError('upstream_error', 'No.'),
      [lost, { status: 503, images: 0 }],
      'stays',
    ],
    ['after a picture was made', new GatewayError('overloaded', 'No.'), [{}], 'stays'],
    ['in an answer without pictures', new GatewayError('upstream_invalid_response', 'No.'), [{ images: 0 }], 'stays'],
  ];

  it.each(cases)('%s: $3', async (_name, error, attempts, fate) => {
    const stage = createStage();
    const exchange = request('a');
    await stage(exchange);
    const shown = await failed(exchange, error, attempts);
    const again = await stage(request('a'));
    if (fate === 'passes') {
      expect(shown).toBe(error);
      expect(again).toBeUndefined();
      return;
    }
    expect(shown.retry).toBe(false);
    if (error.retry) expect(shown.message).toMatch(/may have been billed/);
    if (!(again instanceof Halt) || again.response.kind !== 'body') throw new Error('nothing was replayed');
    expect(again.response.status).toBe(error.status);
    expect(again.response.headers).toMatchObject({ 'x-pinhole-idempotent-replay': 'true' });
  });
});

describe('a state that cannot be written to', () => {
  it('is a refusal before anything is sent, or none, as the file says', async () => {
    const away: Store = { ...store, claimKey: down };
    await expect(createStage({ store: away })(request('a'))).rejects.toMatchObject({ code: 'overloaded' });
    const exchange = request('a');
    expect(await createStage({ store: away }, 'allow')(exchange)).toBeUndefined();
    expect(exchange.recorder()).toBeUndefined();
    expect(log.lines.map(({ message }) => message)).toEqual([
      'a call goes on without its key, since the state cannot be written to',
    ]);
  });

  it('just before the call is sent keeps it from being sent, or not, as the file says', async () => {
    const away: Store = { ...store, sendKey: down };
    const [strict, easy] = [request('a'), request('b')];
    await createStage({ store: away })(strict);
    await expect(strict.readyToSend()).rejects.toMatchObject({ code: 'overloaded' });
    await createStage({ store: away }, 'allow')(easy);
    await easy.readyToSend();
  });

  it('makes no second call of one that is known to be under way', async () => {
    await createStage()(request('a'));
    let asked = 0;
    const away: Store = { ...store, claimKey: (...claim) => ((asked += 1) > 1 ? down() : store.claimKey(...claim)) };
    await expect(createStage({ store: away }, 'allow')(request('a'))).rejects.toMatchObject({ code: 'overloaded' });
  });
});
