import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildOnLease, createResources } from '../../../src/runtime/resources.ts';
import type { ResourceLease } from '../../../src/runtime/resources.ts';
import { recordingLog } from './recording-log.ts';

describe('shared values', () => {
  it('are created once for all leases and disposed when the last one is released', async () => {
    const resources = createResources(recordingLog());
    const disposed: number[] = [];
    let created = 0;
    const use = (lease: ResourceLease) =>
      lease.use(
        'pool',
        () => (created += 1),
        (value) => void disposed.push(value),
      );
    const [one, two] = [resources.lease(), resources.lease()];
    expect([use(one), use(two), use(one)]).toEqual([1, 1, 1]);
    await one.release();
    expect([disposed, resources.size()]).toEqual([[], 1]);
    await two.release();
    expect([disposed, resources.size()]).toEqual([[1], 0]);
  });

  it('are disposed newest first', async () => {
    const resources = createResources(recordingLog());
    const disposed: string[] = [];
    const lease = resources.lease();
    for (const key of ['pool', 'client', 'breaker']) {
      lease.use(
        key,
        () => key,
        (value) => void disposed.push(value),
      );
    }
    await lease.release();
    expect(disposed).toEqual(['breaker', 'client', 'pool']);
  });

  it('are not registered when their creation fails', () => {
    const resources = createResources(recordingLog());
    const lease = resources.lease();
    const fail = (): number => {
      throw new Error('no socket');
    };
    expect(() => lease.use('pool', fail)).toThrow('no socket');
    expect(resources.size()).toBe(0);
    expect(lease.use('pool', () => 1)).toBe(1);
  });

  it('are made anew when asked for while the old one is being disposed', async () => {
    const resources = createResources(recordingLog());
    const slow = Promise.withResolvers<void>();
    const first = resources.lease();
    first.use(
      'listener',
      () => 'old',
      () => slow.promise,
    );
    const releasing = first.release();
    const second = resources.lease();
    expect(second.use('listener', () => 'new')).toBe('new');
    slow.resolve();
    await releasing;
    const third = resources.lease();
    expect(third.use('listener', () => 'newer')).toBe('new');
  });

  it('whose disposal fails are reported and keep none of the others', async () => {
    const log = recordingLog();
    const resources = createResources(log);
    const lease = resources.lease();
    const disposed: string[] = [];
    lease.use(
      'good',
      () => 'good',
      (value) => void disposed.push(value),
    );
    lease.use(
      'bad',
      () => 'bad',
      () => Promise.reject(new Error('stuck')),
    );
    await lease.release();
    expect(disposed).toEqual(['good']);
    expect(log.lines).toMatchObject([{ level: 'error', fields: { resource: 'bad' } }]);
  });

  it('cannot be asked for through a released lease', async () => {
    const resources = createResources(recordingLog());
    const lease = resources.lease();
    await lease.release();
    expect(() => lease.use('pool', () => 1)).toThrow('released lease');
    expect(resources.size()).toBe(0);
  });

  it('are all disposed at the end, and what was being disposed is waited for', async () => {
    const resources = createResources(recordingLog());
    const disposed: string[] = [];
    const slow = Promise.withResolvers<void>();
    const [one, two] = [resources.lease(), resources.lease()];
    one.use(
      'slow',
      () => 'slow',
      async (value) => {
        await slow.promise;
        disposed.push(value);
      },
    );
    two.use(
      'held',
      () => 'held',
      (value) => void disposed.push(value),
    );
    void one.release();
    const closing = resources.close();
    slow.resolve();
    await closing;
    await two.release();
    expect(disposed).toEqual(['held', 'slow']);
  });
});

describe('something half-built', () => {
  it('gives back what only it had created, and the failure', async () => {
    const resources = createResources(recordingLog());
    const disposed: string[] = [];
    const share = (lease: ResourceLease, key: string) =>
      lease.use(
        key,
        () => key,
        (value) => void disposed.push(value),
      );
    await buildOnLease(resources, (lease) => share(lease, 'kept'));
    const building = buildOnLease(resources, (lease) => {
      share(lease, 'kept');
      share(lease, 'new');
      throw new Error('bad stage');
    });
    await expect(building).rejects.toThrow('bad stage');
    expect([disposed, resources.size()]).toEqual([['new'], 1]);
  });
});

/** A step of a random history: lease number such and such uses a key, or is released. */
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('use'), lease: fc.nat(4), key: fc.constantFrom('a', 'b', 'c') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release'), lease: fc.nat(4), key: fc.constant('') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('finish'), lease: fc.nat(4), key: fc.constant('') }) },
);

describe('any sequence of uses and releases', () => {
  it('disposes every value exactly once, never while it is held, and shares it as long as it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const resources = createResources(recordingLog());
        const values: { key: string; disposed: number }[] = [];
        const finishing: (() => void)[] = [];
        const leases = Array.from({ length: 5 }, () => ({ lease: resources.lease(), holds: new Set<unknown>() }));
        const held = (value: unknown) => leases.some(({ holds }) => holds.has(value));

        for (const { kind, lease: index, key } of steps) {
          const mine = leases[index];
          if (mine === undefined) continue;
          if (kind === 'use') {
            const expected = values.find((value) => value.key === key && value.disposed === 0 && held(value));
            const value = mine.lease.use(
              key,
              () => {
                const made = { key, disposed: 0 };
                values.push(made);
                return made;
              },
              (disposing) => {
                disposing.disposed += 1;
                if (held(disposing)) throw new Error('disposed while it is held');
                return new Promise<void>((resolve) => finishing.push(resolve));
              },
            );
            if (expected !== undefined) expect(value).toBe(expected);
            expect(value.disposed).toBe(0);
            mine.holds.add(value);
          } else if (kind === 'release') {
            mine.holds.clear();
            void mine.lease.release();
            leases[index] = { lease: resources.lease(), holds: new Set() };
          } else {
            finishing.shift()?.();
          }
          for (const value of values) expect(value.disposed).toBe(held(value) ? 0 : 1);
          expect(resources.size()).toBe(values.filter(held).length);
        }

        for (const { lease, holds } of leases) {
          holds.clear();
          void lease.release();
        }
        for (const finish of finishing) finish();
        await resources.close();
        for (const value of values) expect(value.disposed).toBe(1);
        expect(resources.size()).toBe(0);
      }),
    );
  });
});
