import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { SlotName, Slots } from '../../../src/pipeline/exchange.ts';
import { jsonResponse } from '../../../src/pipeline/response.ts';
import { nestedPipeline, runStages, type CompiledStage, type RunningExchange } from '../../../src/pipeline/run.ts';
import { Halt, type AnyStageHandler } from '../../../src/pipeline/stage.ts';
import { makeCall, makeExchange, makeTarget } from '../../fixtures/exchange.ts';

const response = jsonResponse(200, { ok: true });
const frozen = (): number => 0;

describe('a pipeline', () => {
  it('runs its stages in the order of the list, each with what those above have filled', async () => {
    const seen: unknown[] = [];
    const exchange = running();
    await runStages(
      [
        stage('parse', { fills: ['call'] }, () => ({ call: makeCall({ prompt: 'a fox' }) })),
        stage('look', {}, ({ call }) => void seen.push(call.prompt)),
        stage('reword', { changes: ['call'] }, ({ call }) => ({
          call: { ...call, prompt: `${call.prompt}, at dusk` },
        })),
        stage('look', {}, async ({ call }) => void seen.push(call.prompt)),
        stage('answer', { fills: ['response'] }, async () => ({ response })),
      ],
      exchange,
      frozen,
    );
    expect(seen).toEqual(['a fox', 'a fox, at dusk']);
    expect(exchange.response).toBe(response);
  });

  it('ends at an early answer', async () => {
    const exchange = running();
    const early = jsonResponse(418, {});
    await runStages([stage('teapot', {}, () => new Halt(early)), never], exchange, frozen);
    expect(exchange.response).toBe(early);
  });

  it('lets an early answer take the place of one that is there', async () => {
    const exchange = running({ response });
    const early = jsonResponse(304, {});
    await runStages([stage('cached', {}, () => new Halt(early))], exchange, frozen);
    expect(exchange.response).toBe(early);
  });

  it('throws what a stage throws, and runs none below it', async () => {
    const refusal = new GatewayError('guard_blocked', 'Not that.');
    const thrown = runStages([stage('guard', {}, () => Promise.reject(refusal)), never], running(), frozen);
    await expect(thrown).rejects.toBe(refusal);
  });

  it('throws the reason of an abort between two stages', async () => {
    const controller = new AbortController();
    const reason = new GatewayError('client_closed_request', 'The client went away.');
    const leave = stage('leave', {}, () => controller.abort(reason));
    await expect(runStages([leave, never], running({}, controller.signal), frozen)).rejects.toBe(reason);
  });

  it('runs not even its first stage for a client that is gone', async () => {
    const reason = new Error('gone');
    await expect(runStages([never], running({}, AbortSignal.abort(reason)), frozen)).rejects.toBe(reason);
  });

  it.each([
    ['something else', (): object => ({ target: makeTarget() })],
    ['undefined in its place', (): object => ({ call: undefined })],
  ])('takes it for a bug of ours when a stage returns %s', async (_, handle) => {
    const exchange = running();
    const run = runStages([stage('parse', { fills: ['call'] }, handle), never], exchange, frozen);
    await expect(run).rejects.toMatchObject({
      code: 'internal_error',
      message: 'The stage parse did not fill call, which it declares.',
    });
  });

  it('keeps nothing that a stage returns without declaring it', async () => {
    const exchange = running();
    const handle = (): object => ({ call: makeCall(), target: makeTarget() });
    await runStages([stage('parse', { fills: ['call'] }, handle)], exchange, frozen);
    expect(Object.hasOwn(exchange, 'target')).toBe(false);
  });
});

describe('the time that stages take', () => {
  it('is counted for each of them, in the order in which they first ran', async () => {
    const exchange = running();
    const clock = tickingClock();
    const slow = stage('slow', {}, () => clock.pass(70));
    const quick = stage('quick', {}, () => clock.pass(2));
    await runStages([slow, quick, slow], exchange, clock.monotonic);
    expect([...exchange.timings]).toEqual([
      ['slow', 140],
      ['quick', 2],
    ]);
  });

  it('is counted for the stage that fails or answers early too', async () => {
    const clock = tickingClock();
    const failing = stage('failing', {}, () => {
      clock.pass(5);
      throw new Error('no');
    });
    const halting = stage('halting', {}, () => {
      clock.pass(3);
      return new Halt(response);
    });
    const [failed, halted] = [running(), running()];
    await expect(runStages([failing], failed, clock.monotonic)).rejects.toThrow('no');
    await runStages([halting], halted, clock.monotonic);
    expect([...failed.timings, ...halted.timings]).toEqual([
      ['failing', 5],
      ['halting', 3],
    ]);
  });
});

describe('a nested list', () => {
  it('finds its own slots empty at each run, and what was given for it filled', async () => {
    const seen: unknown[] = [];
    const nested = nestedPipeline(
      [
        stage('look', {}, (slots) => void seen.push([slots.target.model, Object.hasOwn(slots, 'response')])),
        stage('answer', { fills: ['response'] }, () => ({ response })),
      ],
      frozen,
    );
    const exchange = running();
    await nested.run(exchange, { target: makeTarget({ model: 'first' }) });
    expect(exchange.response).toBe(response);
    await nested.run(exchange, { target: makeTarget({ model: 'second' }) });
    expect(seen).toEqual([
      ['first', false],
      ['second', false],
    ]);
  });

  it('finds what it changes as it was before, after a run that failed', async () => {
    const prompts: unknown[] = [];
    let runs = 0;
    const nested = nestedPipeline(
      [
        stage('reword', { changes: ['call'] }, ({ call }) => ({ call: { ...call, prompt: `${call.prompt}!` } })),
        stage('send', { fills: ['response'] }, ({ call }) => {
          prompts.push(call.prompt);
          runs += 1;
          if (runs < 3) throw new GatewayError('upstream_error', 'No luck.');
          return { response };
        }),
      ],
      frozen,
    );
    const exchange = running({ call: makeCall({ prompt: 'a fox' }) });
    await expect(nested.run(exchange)).rejects.toThrow('No luck.');
    await expect(nested.run(exchange)).rejects.toThrow('No luck.');
    await nested.run(exchange);
    expect(prompts).toEqual(['a fox!', 'a fox!', 'a fox!']);
    expect(exchange.call?.prompt).toBe('a fox!');
  });

  it('empties what the lists within it fill as well', async () => {
    const inner = nestedPipeline([stage('answer', { fills: ['response'] }, () => ({ response }))], frozen);
    const composite: CompiledStage = {
      ...stage('inner', {}, (exchange) => inner.run(exchange)),
      fills: ['response'],
    };
    const seen: boolean[] = [];
    const look = stage('look', {}, (slots) => void seen.push(Object.hasOwn(slots, 'response')));
    const outer = nestedPipeline([look, composite], frozen);
    const exchange = running();
    await outer.run(exchange);
    await outer.run(exchange);
    expect(seen).toEqual([false, false]);
  });

  it('ends at an early answer, with which the list around it goes on', async () => {
    const early = jsonResponse(200, { cached: true });
    const nested = nestedPipeline([stage('cached', {}, () => new Halt(early)), never], frozen);
    const seen: unknown[] = [];
    const exchange = running();
    await runStages(
      [
        stage('composite', {}, (given) => nested.run(given)),
        stage('decode', {}, ({ response }) => void seen.push(response)),
      ],
      exchange,
      frozen,
    );
    expect(seen).toEqual([early]);
  });

  it('has its times among those of the exchange', async () => {
    const clock = tickingClock();
    const nested = nestedPipeline([stage('send', {}, () => clock.pass(30))], clock.monotonic);
    const exchange = running();
    await nested.run(exchange);
    await nested.run(exchange);
    expect([...exchange.timings]).toEqual([['send', 60]]);
  });
});

const never = stage('never', {}, () => {
  throw new Error('this stage must not run');
});

/** A stage as it is when its pipeline is compiled. */
function stage(
  name: string,
  slots: { readonly fills?: readonly SlotName[]; readonly changes?: readonly SlotName[] },
  handle: AnyStageHandler,
): CompiledStage {
  const { fills = [], changes = [] } = slots;
  return { name, fills, changes, writes: [...fills, ...changes], handle };
}

function running(slots: Partial<Slots> = {}, signal: AbortSignal = new AbortController().signal): RunningExchange {
  return Object.assign(makeExchange(slots, { signal }), { timings: new Map<string, number>() });
}

/** A clock that stands still unless it is told how much time passes, in milliseconds. */
function tickingClock(): { monotonic(): number; pass(milliseconds: number): void } {
  let now = 1000;
  return { monotonic: () => now, pass: (milliseconds) => void (now += milliseconds) };
}
