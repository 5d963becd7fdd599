import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coalesce } from '../../../src/config/coalesce.ts';

describe('coalesced calls', () => {
  it('get, in any order of calls and ends, the result of a run that started after them, and runs never overlap', async () => {
    const pause = fc.nat(6);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ pause, length: pause }), { maxLength: 40 }), async (calls) => {
        let started = 0;
        let running = 0;
        const ask = coalesce(async (length: number) => {
          started += 1;
          const number = started;
          running += 1;
          expect(running).toBe(1);
          await turns(length);
          running -= 1;
          return number;
        });
        const results: Promise<void>[] = [];
        for (const call of calls) {
          const before = started;
          results.push(ask(call.length).then((number) => expect(number).toBeGreaterThan(before)));
          await turns(call.pause);
        }
        await Promise.all(results);
        expect(started).toBeLessThanOrEqual(calls.length);
      }),
    );
  });

  it('that come in a burst cost two runs, the second one with the last argument', async () => {
    const runs: string[] = [];
    const ask = coalesce(async (argument: string) => {
      runs.push(argument);
      await turns(3);
    });
    await Promise.all(['a', 'b', 'c', 'd'].map(ask));
    expect(runs).toEqual(['a', 'd']);
  });

  it('are served after a run that failed', async () => {
    let runs = 0;
    const ask = coalesce<void, number>(async () => {
      runs += 1;
      await turns(1);
      if (runs === 1) throw new Error('broken');
      return runs;
    });
    const [first, second] = [ask(), ask()];
    await expect(first).rejects.toThrow('broken');
    expect(await second).toBe(2);
  });
});

/** So many turns of the microtask queue. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
}
