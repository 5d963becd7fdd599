import { beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { createUpkeep, type StoreUpkeep } from '../../../src/runtime/upkeep.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store, UpkeepOptions } from '../../../src/stores/store.ts';
import { recordingLog, type RecordingLog } from './recording-log.ts';

let log: RecordingLog;
let store: Store;
let asked: UpkeepOptions[];
let outcome: 'works' | 'fails' | number;
/** The pause that the upkeep is in. */
let pause: { readonly milliseconds: number; readonly end: () => void } | undefined;

beforeEach(async () => {
  log = recordingLog();
  asked = [];
  outcome = 'works';
  pause = undefined;
  const memory = await memoryStore.open('', { now: () => 0 });
  store = {
    ...memory,
    healthy: () => outcome !== 'fails',
    async maintain(options) {
      asked.push(options);
      if (outcome === 'fails') throw new GatewayError('overloaded', 'Not now.', { cause: new Error('disk is full') });
      return { estimated: outcome === 'works' ? 0 : outcome };
    },
  };
});

function upkeepOf(given: () => Store = () => store): StoreUpkeep {
  return createUpkeep({
    log,
    store: given,
    options: () => ({ ledgerKeptMs: 42 }),
    clock: {
      timer(milliseconds, end) {
        pause = { milliseconds, end };
        return { cancel: () => void (pause = undefined) };
      },
    },
  });
}

async function nextPause(): Promise<number> {
  await expect.poll(() => pause).toBeDefined();
  return pause?.milliseconds ?? 0;
}

async function endPause(): Promise<number> {
  const { end } = pause ?? { end() {} };
  pause = undefined;
  end();
  return nextPause();
}

describe('the upkeep', () => {
  it('is done at the start and every few seconds, with what the file says then', async () => {
    const upkeep = upkeepOf();
    upkeep.start();
    expect(await nextPause()).toBe(5000);
    expect(await endPause()).toBe(5000);
    expect(asked).toEqual([{ ledgerKeptMs: 42 }, { ledgerKeptMs: 42 }]);
    expect(log.lines).toEqual([]);
    await upkeep.stop();
    expect(pause).toBeUndefined();
  });

  it('says once that the state fails, tries more often, and says when it works again', async () => {
    outcome = 'fails';
    const upkeep = upkeepOf();
    upkeep.start();
    expect(await nextPause()).toBe(1000);
    expect(await endPause()).toBe(1000);
    outcome = 'works';
    expect(await endPause()).toBe(5000);
    expect(log.lines.map(({ level, message, fields }) => ({ level, message, fields }))).toEqual([
      { level: 'error', message: 'the state cannot be written to', fields: { reason: 'disk is full' } },
      { level: 'info', message: 'the state can be written to again', fields: {} },
    ]);
    await upkeep.stop();
  });

  it('says what it had to settle', async () => {
    outcome = 3;
    const upkeep = upkeepOf();
    upkeep.start();
    await nextPause();
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { reservations: 3 } }]);
    await upkeep.stop();
  });

  it('is not troubled by a store that a reload has just closed', async () => {
    outcome = 'fails';
    const old = store;
    let current = old;
    const upkeep = upkeepOf(() => current);
    old.maintain = async () => {
      current = { ...old, maintain: async () => ({ estimated: 0 }), healthy: () => true };
      throw new Error('The state store is closed.');
    };
    upkeep.start();
    expect(await nextPause()).toBe(5000);
    expect(log.lines).toEqual([]);
    await upkeep.stop();
  });
});
