import { describe, expect, it } from 'vitest';
import { createTurns } from '../../src/turns.ts';

/** Work that ends when the test says so. */
function work(log: string[], name: string) {
  const gate = Promise.withResolvers<string>();
  return {
    finish: () => gate.resolve(name),
    fail: () => gate.reject(new Error(name)),
    run: () => {
      log.push(name);
      return gate.promise;
    },
  };
}

describe('turns', () => {
  it('let so many work at the same time, and the others in the order in which they came', async () => {
    const log: string[] = [];
    const turns = createTurns(2);
    const jobs = ['a', 'b', 'c', 'd'].map((name) => work(log, name));
    const done = jobs.map((job) => turns.run(job.run));
    expect(log).toEqual(['a', 'b']);
    jobs[1]?.finish();
    expect(await done[1]).toBe('b');
    expect(log).toEqual(['a', 'b', 'c']);
    jobs[0]?.finish();
    await done[0];
    expect(log).toEqual(['a', 'b', 'c', 'd']);
    for (const job of jobs) job.finish();
    expect(await Promise.all(done)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('go on when work fails, whose failure is passed on', async () => {
    const log: string[] = [];
    const turns = createTurns(1);
    const [first, second] = [work(log, 'first'), work(log, 'second')];
    const failing = turns.run(first.run);
    const waiting = turns.run(second.run);
    first.fail();
    await expect(failing).rejects.toThrow('first');
    second.finish();
    expect(await waiting).toBe('second');
    expect(await turns.run(() => Promise.resolve('third'))).toBe('third');
  });
});
