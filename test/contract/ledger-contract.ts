import { describe, expect, it } from 'vitest';
import type { LedgerRow, RowsQuery, UsageGroup, UsageKey } from '../../src/stores/ledger.ts';
import type { Store } from '../../src/stores/store.ts';
import { openRow, recordedRow, reservedRow, rowOutcome } from '../fixtures/ledger.ts';
import { hold, many, terms, type StorePlace } from './places.ts';

const at = (text: string): number => Date.parse(text);
const noon = at('2026-11-18T12:00:00Z');

/** What the ledger of every store must do. */
export function ledgerContract(newPlace: () => StorePlace): void {
  let nowMs = noon;

  /** A test with an empty store. */
  const withStore = (test: (store: Store) => Promise<void>) => async () => {
    nowMs = noon;
    const store = await newPlace().open({ now: () => nowMs });
    try {
      await test(store);
    } finally {
      await store.close();
    }
  };
  const rowsOf = async (store: Store, query: Partial<RowsQuery> = {}): Promise<readonly LedgerRow[]> =>
    (await store.rows({ limit: 1000, ...query })).rows;

  it(
    'has the row of a request from its reservation on, and what came of it when it is settled',
    withStore(async (store) => {
      const row = openRow({ session: 's', endUser: 'e', alias: 'best', quality: 'high' });
      await store.reserve('a', [hold('images', 1, 10)], terms({ row }));
      expect(await rowsOf(store)).toEqual([reservedRow(row)]);
      const outcome = rowOutcome({ entity: 'second', provider: 'grok', model: 'grok-imagine', images: 3, attempts: 2 });
      await store.settle('a', [3], outcome);
      const { estimated: _estimated, ...completion } = outcome;
      expect(await rowsOf(store)).toEqual([{ ...row, ...completion, savedNanoUsd: null, state: 'settled' }]);
    }),
  );

  it(
    'keeps a row without any hold, and holds without a row',
    withStore(async (store) => {
      await store.reserve('row', [], terms({ row: openRow() }));
      await store.reserve('hold', [hold('images', 1)], terms());
      await store.settle('row', []);
      await store.settle('hold', [1]);
      expect(await rowsOf(store)).toMatchObject([{ state: 'settled', images: 1, attempts: 0 }]);
    }),
  );

  it(
    'has no pictures and no cost for what is released, whatever was thought of before',
    withStore(async (store) => {
      await store.reserve('a', [hold('images', 4)], terms({ row: openRow({ images: 4 }) }));
      await store.release('a', rowOutcome({ status: 502 }));
      expect(await rowsOf(store)).toMatchObject([{ state: 'released', images: 0, costNanoUsd: 0, status: 502 }]);
    }),
  );

  it(
    'says where what was settled is only an estimate',
    withStore(async (store) => {
      await store.reserve('a', [hold('images', 4)], terms({ row: openRow({ images: 4 }) }));
      await store.settle('a', [4], rowOutcome({ images: 4, estimated: true }));
      expect(await rowsOf(store)).toMatchObject([{ state: 'estimated', images: 4 }]);
    }),
  );

  it(
    'has no row for a reservation that is refused',
    withStore(async (store) => {
      await store.reserve('a', [hold('images', 4, 3)], terms({ row: openRow() }));
      expect(await rowsOf(store)).toEqual([]);
    }),
  );

  it(
    'changes no row that is complete',
    withStore(async (store) => {
      await store.reserve('a', [hold('images', 1)], terms({ row: openRow() }));
      await store.settle('a', [1], rowOutcome());
      const before = await rowsOf(store);
      await store.settle('a', [9], rowOutcome({ images: 9 }));
      await store.release('a', rowOutcome());
      expect(await rowsOf(store)).toEqual(before);
    }),
  );

  it(
    'records what is over, once, however often that is tried',
    withStore(async (store) => {
      const row = recordedRow({ costNanoUsd: null });
      await Promise.all([store.record('a', row), store.record('a', row), store.record('b', recordedRow())]);
      await store.record('a', row);
      expect(await rowsOf(store)).toEqual([row, recordedRow()]);
    }),
  );

  it(
    'takes any text, cut where it is long',
    withStore(async (store) => {
      const texts = {
        endUser: 'a\0b',
        session: '\ud800',
        alias: '🏔'.repeat(200),
        model: `'; DROP TABLE ledger; --`,
        quality: '{"a":\\u0000}',
        size: '\u0001\u007f\r\n',
      };
      await store.reserve('a', [], terms({ row: openRow(texts) }));
      await store.settle('a', [], rowOutcome({ ...texts, quality: 'x'.repeat(1_000_000) }));
      const whole = {
        ...texts,
        endUser: 'a\ufffdb',
        session: '\ufffd',
        alias: '🏔'.repeat(128),
        quality: 'x'.repeat(256),
      };
      expect(await rowsOf(store)).toMatchObject([whole]);
      expect(await rowsOf(store, { equal: { endUser: 'a\0b' } })).toHaveLength(1);
    }),
  );

  it(
    'refuses a number that cannot be stored, and nothing else that is asked with it',
    withStore(async (store) => {
      const outcomes = await Promise.allSettled([
        store.record('good', recordedRow()),
        store.record('nan', recordedRow({ latencyMs: Number.NaN })),
        store.record('part', recordedRow({ costNanoUsd: 0.5 })),
        store.reserve('negative', [], terms({ row: openRow({ images: -1 }) })),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
      expect(await rowsOf(store)).toHaveLength(1);
    }),
  );

  describe('what nobody settles', () => {
    it(
      'is settled at the amounts held when its time is up, marked, and never settled again',
      withStore(async (store) => {
        const row = openRow({ images: 4, costNanoUsd: 160_000_000 });
        await store.reserve(
          'late',
          [hold('images', 4), hold('nano_usd', 160)],
          terms({ heldUntilMs: noon + 1000, row }),
        );
        await store.reserve('early', [hold('images', 1)], terms({ heldUntilMs: noon + 1001 }));
        nowMs = noon + 999;
        expect(await store.maintain({ ledgerKeptMs: undefined })).toEqual({ estimated: 0 });
        nowMs = noon + 1000;
        expect(await store.maintain({ ledgerKeptMs: undefined })).toEqual({ estimated: 1 });
        await store.settle('late', [1, 1], rowOutcome());
        await store.release('late');
        expect(await store.read('images')).toEqual({ settled: 4, held: 1 });
        expect(await store.read('nano_usd')).toEqual({ settled: 160, held: 0 });
        expect(await rowsOf(store)).toEqual([{ ...reservedRow(row), state: 'estimated' }]);
      }),
    );

    it(
      'is dealt with in bounded steps, however much it is',
      withStore(async (store) => {
        const heldUntilMs = noon + 1000;
        await Promise.all(many(1201, (index) => store.reserve(`r${index}`, [hold('images', 1)], { heldUntilMs })));
        nowMs = heldUntilMs;
        expect(await store.maintain({ ledgerKeptMs: undefined })).toEqual({ estimated: 1201 });
        expect(await store.read('images')).toEqual({ settled: 1201, held: 0 });
      }),
    );
  });

  describe('retention', () => {
    it(
      'forgets rows that are older than it, and no reservation',
      withStore(async (store) => {
        const day = 86_400_000;
        const ages = [0, 1, 2, 3, 4];
        for (const age of ages)
          await store.record(`r${age}`, recordedRow({ requestId: `r${age}`, atMs: noon - age * day }));
        await store.reserve('open', [], terms({ row: openRow({ requestId: 'open', atMs: noon - 9 * day }) }));
        await store.maintain({ ledgerKeptMs: undefined });
        expect(await rowsOf(store)).toHaveLength(6);
        await store.maintain({ ledgerKeptMs: 2 * day });
        expect((await rowsOf(store)).map(({ requestId }) => requestId)).toEqual(['open', 'r2', 'r1', 'r0']);
      }),
    );

    it(
      'forgets counters that have expired and hold nothing',
      withStore(async (store) => {
        const expiring = (counter: string) => [{ counter, amount: 1, limit: undefined, expiresAtMs: noon + 1000 }];
        for (const id of ['settled', 'open']) await store.reserve(id, expiring(id), terms());
        await store.settle('settled', [1]);
        nowMs = noon + 1000;
        await store.maintain({ ledgerKeptMs: undefined });
        expect(await store.read('settled')).toEqual({ settled: 0, held: 0 });
        expect(await store.read('open')).toEqual({ settled: 0, held: 1 });
      }),
    );
  });

  describe('usage', () => {
    const usage = async (
      store: Store,
      by: readonly UsageKey[],
      filter: Partial<RowsQuery> = {},
    ): Promise<readonly Partial<UsageGroup>[]> => {
      const groups = await store.usage({ ...filter, by, limit: 100 });
      return groups.map(({ key, requests, images, costNanoUsd }) => ({ key, requests, images, costNanoUsd }));
    };

    it(
      'adds up what is over, and counts what is open, estimated and without a price',
      withStore(async (store) => {
        await store.reserve('open', [], terms({ row: openRow({ images: 9 }) }));
        await store.record('lost', recordedRow({ state: 'estimated', images: 2, costNanoUsd: 5 }));
        await store.record('dear', recordedRow({ images: 3, costNanoUsd: null, inputTokens: 7, outputTokens: 8 }));
        expect(await store.usage({ by: [], limit: 1 })).toEqual([
          {
            key: [],
            requests: 3,
            open: 1,
            estimated: 1,
            images: 5,
            inputTokens: 7,
            outputTokens: 8,
            costNanoUsd: 5n,
            savedNanoUsd: 0n,
            unpriced: 1,
          },
        ]);
      }),
    );

    it(
      'adds up what was not spent, beyond what a number holds',
      withStore(async (store) => {
        const savedNanoUsd = Number.MAX_SAFE_INTEGER;
        await store.record('one', recordedRow({ costNanoUsd: 0, savedNanoUsd }));
        await store.record('other', recordedRow({ costNanoUsd: 0, savedNanoUsd }));
        await store.record('unknown', recordedRow({ costNanoUsd: 0 }));
        expect(await store.usage({ by: [], limit: 1 })).toMatchObject([{ savedNanoUsd: 2n * BigInt(savedNanoUsd) }]);
        expect((await rowsOf(store)).map((row) => row.savedNanoUsd)).toEqual([savedNanoUsd, savedNanoUsd, null]);
      }),
    );

    it(
      'is nothing when there is nothing',
      withStore(async (store) => {
        expect(await store.usage({ by: [], limit: 1 })).toEqual([]);
        expect(await store.usage({ by: ['model', 'day'], limit: 1 })).toEqual([]);
      }),
    );

    it(
      'has a group for each combination of values, what has none last',
      withStore(async (store) => {
        const rows: readonly Partial<LedgerRow>[] = [
          { consumer: 'b', model: 'x' },
          { consumer: 'a', model: 'y' },
          { consumer: null, model: 'x' },
          { consumer: 'a', model: 'x' },
          { consumer: 'a', model: 'x' },
          { consumer: 'B', model: 'x' },
        ];
        await Promise.all(
          rows.map(({ consumer = null, model = null }, index) =>
            store.record(`r${index}`, recordedRow({ consumer, model, costNanoUsd: 1 })),
          ),
        );
        expect(await usage(store, ['consumer', 'model'])).toEqual([
          { key: ['B', 'x'], requests: 1, images: 1, costNanoUsd: 1n },
          { key: ['a', 'x'], requests: 2, images: 2, costNanoUsd: 2n },
          { key: ['a', 'y'], requests: 1, images: 1, costNanoUsd: 1n },
          { key: ['b', 'x'], requests: 1, images: 1, costNanoUsd: 1n },
          { key: [null, 'x'], requests: 1, images: 1, costNanoUsd: 1n },
        ]);
      }),
    );

    it(
      'goes by every member that says who or what, and by days and months of UTC',
      withStore(async (store) => {
        await store.record('a', recordedRow({ atMs: at('2026-10-31T23:59:59.999Z'), session: 's', endUser: 'e' }));
        await store.record('b', recordedRow({ atMs: at('2026-11-01T00:00:00.000Z'), alias: 'best', quality: 'low' }));
        const keysBy = async (...by: readonly UsageKey[]) => (await usage(store, by)).map(({ key }) => key);
        expect(await keysBy('day')).toEqual([['2026-10-31'], ['2026-11-01']]);
        expect(await keysBy('month', 'session')).toEqual([
          ['2026-10', 's'],
          ['2026-11', null],
        ]);
        const keys: readonly UsageKey[] = [
          'user',
          'team',
          'endUser',
          'route',
          'alias',
          'entity',
          'provider',
          'operation',
          'size',
          'quality',
          'state',
        ];
        expect(await keysBy(...keys)).toEqual([
          ['alice', 'growth', 'e', 'generate', null, 'main', 'openai', 'generation', '1024x1024', null, 'recorded'],
          ['alice', 'growth', null, 'generate', 'best', 'main', 'openai', 'generation', '1024x1024', 'low', 'recorded'],
        ]);
      }),
    );

    it(
      'is that of the time and the values asked for',
      withStore(async (store) => {
        for (const hour of [10, 11, 12]) {
          await store.record(`r${hour}`, recordedRow({ atMs: at(`2026-11-18T${hour}:00:00Z`), images: hour }));
        }
        await store.record('other', recordedRow({ atMs: at('2026-11-18T11:00:00Z'), consumer: 'other', images: 100 }));
        const between = { sinceMs: at('2026-11-18T11:00:00Z'), untilMs: at('2026-11-18T12:00:00Z') };
        expect(await usage(store, [], between)).toMatchObject([{ images: 111 }]);
        expect(await usage(store, [], { ...between, equal: { consumer: 'web-app' } })).toMatchObject([{ images: 11 }]);
        expect(await usage(store, [], { equal: { consumer: 'nobody' } })).toEqual([]);
      }),
    );

    it(
      'is exact beyond what a number holds',
      withStore(async (store) => {
        const costNanoUsd = Number.MAX_SAFE_INTEGER;
        await Promise.all(many(3, (index) => store.record(`r${index}`, recordedRow({ costNanoUsd }))));
        expect(await usage(store, [])).toMatchObject([{ costNanoUsd: 27_021_597_764_222_973n }]);
      }),
    );

    it(
      'refuses more groups than were wanted',
      withStore(async (store) => {
        await Promise.all(many(3, (index) => store.record(`r${index}`, recordedRow({ model: `m${index}` }))));
        await expect(store.usage({ by: ['model'], limit: 2 })).rejects.toThrow(/more than 2 groups/);
      }),
    );
  });

  describe('its pages', () => {
    it(
      'follow each other in the order of time, without a gap or a repetition',
      withStore(async (store) => {
        const times = [5, 1, 3, 3, 3, 2, 4, 3];
        for (const [index, second] of times.entries()) {
          await store.record(`r${index}`, recordedRow({ requestId: `r${index}`, atMs: noon + second * 1000 }));
        }
        const seen: string[] = [];
        let after: string | undefined;
        let pages = 0;
        do {
          const page = await store.rows({ limit: 3, after });
          expect(page.rows.length).toBeLessThanOrEqual(3);
          seen.push(...page.rows.map(({ requestId }) => requestId));
          after = page.next;
          pages += 1;
        } while (after !== undefined);
        expect(seen).toEqual(['r1', 'r5', 'r2', 'r3', 'r4', 'r7', 'r6', 'r0']);
        expect(pages).toBe(3);
      }),
    );

    it(
      'hold only the rows asked for',
      withStore(async (store) => {
        await store.record('a', recordedRow({ requestId: 'a' }));
        await store.record('b', recordedRow({ requestId: 'b', atMs: noon + 1, state: 'estimated' }));
        expect(await rowsOf(store, { equal: { state: 'estimated' } })).toMatchObject([{ requestId: 'b' }]);
        expect(await rowsOf(store, { untilMs: noon + 1 })).toMatchObject([{ requestId: 'a' }]);
        expect(await rowsOf(store, { equal: { requestId: 'a', model: 'gpt-image-2' } })).toHaveLength(1);
      }),
    );

    it(
      'begin where a page has ended, and nowhere else',
      withStore(async (store) => {
        await expect(store.rows({ limit: 1, after: 'x' })).rejects.toThrow(/not the end of a page/);
      }),
    );
  });

  it(
    'lists counters by name, without those at zero',
    withStore(async (store) => {
      const holds = ['b/2', 'a/1', 'b/1', 'b-', 'zero'].map((counter) => ({ ...hold(counter, 1), expiresAtMs: noon }));
      await store.reserve('a', holds, terms());
      await store.settle('a', [1, 2, 3, 4, 0]);
      await store.reserve('b', [hold('b/1', 5)], terms());
      const all = await store.counters({ limit: 10 });
      expect(all.map(({ counter }) => counter)).toEqual(['a/1', 'b-', 'b/1', 'b/2']);
      expect(await store.counters({ prefix: 'b/', limit: 1 })).toEqual([
        { counter: 'b/1', settled: 3, held: 5, expiresAtMs: noon },
      ]);
      expect(await store.counters({ prefix: 'b/', after: 'b/1', limit: 10 })).toMatchObject([{ counter: 'b/2' }]);
    }),
  );
}
