import { describe, expect, it } from 'vitest';
import { createSnapshotHolder } from '../../../src/runtime/snapshot.ts';
import { recordingLog } from './recording-log.ts';

function snapshot(name: string) {
  return {
    name,
    retired: 0,
    retire() {
      this.retired += 1;
    },
  };
}

function holder() {
  const log = recordingLog();
  return { log, snapshots: createSnapshotHolder<{ retire(): void | Promise<void> }>(log) };
}

describe('the snapshot holder', () => {
  it('has nothing to give before the first swap', () => {
    const { snapshots } = holder();
    expect(() => snapshots.current()).toThrow('No snapshot');
    expect(() => snapshots.acquire()).toThrow('No snapshot');
    expect(snapshots.leases()).toBe(0);
  });

  it('retires a snapshot without leases at the swap', () => {
    const { snapshots } = holder();
    const [first, second] = [snapshot('first'), snapshot('second')];
    snapshots.swap(first);
    snapshots.swap(second);
    expect([first.retired, second.retired]).toEqual([1, 0]);
    expect(snapshots.current()).toBe(second);
  });

  it('lets a lease keep its snapshot over swaps and retires it once, when the last lease ends', () => {
    const { snapshots } = holder();
    const [first, second, third] = [snapshot('first'), snapshot('second'), snapshot('third')];
    snapshots.swap(first);
    const one = snapshots.acquire();
    const two = snapshots.acquire();
    snapshots.swap(second);
    const three = snapshots.acquire();
    snapshots.swap(third);
    expect([one.value, two.value, three.value]).toEqual([first, first, second]);
    one.release();
    expect(first.retired).toBe(0);
    two.release();
    expect([first.retired, second.retired]).toEqual([1, 0]);
    three.release();
    expect([first.retired, second.retired, third.retired]).toEqual([1, 1, 0]);
  });

  it('counts a lease that is released twice once', () => {
    const { snapshots } = holder();
    const first = snapshot('first');
    snapshots.swap(first);
    const one = snapshots.acquire();
    const two = snapshots.acquire();
    snapshots.swap(snapshot('second'));
    one.release();
    one.release();
    expect([first.retired, snapshots.leases()]).toEqual([0, 1]);
    two.release();
    two.release();
    expect([first.retired, snapshots.leases()]).toEqual([1, 0]);
  });

  it('keeps a snapshot in force whose last lease ends', () => {
    const { snapshots } = holder();
    const first = snapshot('first');
    snapshots.swap(first);
    snapshots.acquire().release();
    expect(first.retired).toBe(0);
    expect(snapshots.acquire().value).toBe(first);
  });

  it('reports a snapshot that fails to retire, and goes on', async () => {
    const { snapshots, log } = holder();
    const failed = new Error('stuck');
    snapshots.swap({ retire: () => Promise.reject(failed) });
    const second = snapshot('second');
    snapshots.swap(second);
    expect(snapshots.current()).toBe(second);
    expect(await log.next('error')).toMatchObject({ fields: { error: failed } });
  });
});
