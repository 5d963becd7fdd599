import { describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { payloadBytes } from '../../../src/images/convert-payload.ts';
import type { ReusedAnswer } from '../../../src/pipeline/exchange.ts';
import type { BodyResponse, ImagesResponse } from '../../../src/pipeline/response.ts';
import { beginFlight, type Landing } from '../../../src/transforms/flight.ts';
import { makeAttempt, makeCall, makeExchange, makeStageEnv, type TestExchange } from '../../fixtures/exchange.ts';

const live = new AbortController().signal;
const made: BodyResponse = { kind: 'body', status: 200, headers: { 'x-a': 'b' }, body: Buffer.from('picture') };

/** A flight whose exchange and timers are the test's. */
interface Given {
  readonly signal?: AbortSignal;
  readonly extras?: ImagesResponse['extras'];
  readonly reused?: ReusedAnswer;
}

function start(given: Given = {}) {
  const timers: (() => void)[] = [];
  const { clock } = makeStageEnv();
  const env = makeStageEnv({
    clock: {
      ...clock,
      timer(_milliseconds, callback) {
        timers.push(callback);
        return { cancel: () => void timers.splice(timers.indexOf(callback), 1) };
      },
    },
  });
  let outlived = false;
  let closed = 0;
  const { signal = live, extras = [], reused } = given;
  const exchange: TestExchange = makeExchange(
    {
      call: makeCall(),
      response: { kind: 'images', form: 'b64_json', framing: 'json', extras, passThrough: false } as const,
    },
    { signal, reused, outliveClient: () => void (outlived = true) },
  );
  const call = makeCall();
  const view = Object.assign(exchange, { call });
  const flight = beginFlight(view, 1000, env, () => void (closed += 1));
  return {
    exchange,
    flight,
    timers,
    outlived: () => outlived,
    closed: () => closed,
    answer: (response: BodyResponse = made) => exchange.recorder()?.answer(response, new Map()),
  };
}

const textOf = async (landing: Landing): Promise<string> =>
  landing.kind === 'answer' ? Buffer.from(await collect(payloadBytes(landing.answer.body))).toString() : landing.kind;

describe('a flight', () => {
  it('changes nothing for who makes the call while nobody joins, and is over once the answer goes out', async () => {
    const { exchange, flight, outlived, closed, answer } = start();
    expect(answer()).toBe(made);
    expect([outlived(), closed()]).toEqual([false, 1]);
    expect(flight.join()).toBeUndefined();
    await exchange.finish();
  });

  it('gives its answer to all who have joined, until the last has let go of it', async () => {
    const { exchange, flight, outlived, answer } = start();
    const seats = [flight.join(), flight.join()];
    expect(outlived()).toBe(true);
    answer();
    // The answer is on its way, and may still be had.
    seats.push(flight.join());
    exchange.attempts.push(makeAttempt({ costNanoUsd: 7 }));
    await exchange.finish();
    expect(flight.join()).toBeUndefined();
    for (const seat of seats) {
      const landing = await seat?.wait(live);
      if (landing?.kind !== 'answer') throw new TypeError('no answer');
      expect(await textOf(landing)).toBe('picture');
      expect(landing.origin).toEqual({ entity: 'main', provider: 'openai', model: 'gpt-image-2', savedNanoUsd: 7 });
      await seat?.leave();
    }
  });

  it('hands on what the cache had, as made by whom it was made', async () => {
    const reused = { kind: 'hit', entity: 'before', provider: 'luma', model: 'photon-1', savedNanoUsd: 9 } as const;
    const { exchange, flight, answer } = start({ reused });
    const seat = flight.join();
    answer();
    await exchange.finish();
    const { kind: _hit, ...origin } = reused;
    expect(await seat?.wait(live)).toMatchObject({ kind: 'answer', origin });
    await seat?.leave();
  });

  it('is for one alone when the answer is an older one under a key', async () => {
    const { exchange, flight, answer } = start();
    const seat = flight.join();
    answer({ ...made, headers: { 'x-pinhole-idempotent-replay': 'true' } });
    await exchange.finish();
    expect(await seat?.wait(live)).toEqual({ kind: 'alone' });
    await seat?.leave();
  });

  it('is not waited for any longer when its answer goes out too slowly', async () => {
    const { exchange, flight, timers, closed, answer } = start();
    const seats = [flight.join(), flight.join()];
    const waiting = seats.map(async (seat) => seat?.wait(live));
    expect(timers).toHaveLength(0);
    answer();
    await expect.poll(() => timers).toHaveLength(2);
    const due = timers.slice();
    for (const timer of due) timer();
    expect(await Promise.all(waiting)).toEqual([{ kind: 'late' }, { kind: 'late' }]);
    expect(timers).toHaveLength(0);
    // The next one of them begins another flight, for all who come from now on.
    expect([flight.join(), closed()]).toEqual([undefined, 1]);
    await exchange.finish();
  });

  it('is left by who is gone, and goes on', async () => {
    const { exchange, flight, answer } = start();
    const leaving = new AbortController();
    const [seat, other] = [flight.join(), flight.join()];
    const waiting = seat?.wait(leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await seat?.leave();
    answer();
    await exchange.finish();
    expect((await other?.wait(live))?.kind).toBe('answer');
  });

  it('cannot be joined when who makes the call is gone', () => {
    expect(start({ signal: AbortSignal.abort() }).flight.join()).toBeUndefined();
  });

  it('lets each make a call of its own where the answer tells of its own call', async () => {
    const { exchange, flight, answer } = start({ extras: ['cost'] });
    const seat = flight.join();
    expect(answer()).toBe(made);
    expect(await seat?.wait(live)).toEqual({ kind: 'alone' });
    await exchange.finish();
  });

  it('ends in an error for all, or in one after which another may try', async () => {
    const error = new GatewayError('upstream_error', 'It failed.');
    const refused = new GatewayError('invalid_value', 'No such size.');
    const lost = makeAttempt({ status: undefined, images: undefined });
    const seen = makeAttempt({ status: 500, images: 0 });
    for (const [thrown, attempt, landing] of [
      [error, lost, { kind: 'error', error }],
      [refused, seen, { kind: 'error', error: refused }],
      [error, seen, { kind: 'failed', error, sent: true }],
      [error, undefined, { kind: 'failed', error, sent: false }],
      [refused, undefined, { kind: 'failed', error: refused, sent: false }],
    ] as const) {
      const { exchange, flight, answer } = start();
      const seat = flight.join();
      if (attempt !== undefined) exchange.attempts.push(attempt);
      answer({ kind: 'body', status: thrown.status, headers: {}, body: Buffer.from('an error') });
      await exchange.finish({ kind: 'failed', status: thrown.status, error: thrown });
      expect(await seat?.wait(live)).toEqual(landing);
    }
  });
});
