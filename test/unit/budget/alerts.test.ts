import { beforeEach, describe, expect, it } from 'vitest';
import { createAlertWatch, type AlertWatch } from '../../../src/budget/alerts.ts';
import { counterPlace } from '../../../src/budget/counters.ts';
import { createBudgetClock } from '../../../src/budget/windows.ts';
import { resetBudget } from '../../../src/admin/budgets.ts';
import type { AlertWebhook, Budget } from '../../../src/pipeline/settings.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { makeBudget } from '../../fixtures/budget.ts';
import { makeStageEnv } from '../../fixtures/exchange.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const webhook: AlertWebhook = { url: 'https://hooks.test/a', headers: {}, secret: undefined, timeoutMs: 1_000 };

let nowMs: number;
let store: Store;
let log: RecordingLog;
let posted: { readonly id: string; readonly document: unknown }[];

beforeEach(async () => {
  nowMs = Date.parse('2026-11-18T12:00:00Z');
  store = await memoryStore.open('', { now: () => nowMs });
  log = recordingLog();
  posted = [];
});

/** What one gateway of several has. */
function createWatch(alertWebhook: AlertWebhook | undefined = webhook): AlertWatch {
  const { clock } = makeStageEnv();
  return createAlertWatch(
    makeStageEnv({
      store,
      log,
      clock: { ...clock, now: () => nowMs },
      alerts: { post: (_webhook, id, document) => void posted.push({ id, document }) },
      catalogue: { alertWebhook },
    }),
  );
}

const team = makeBudget({ id: 'growth-month', per: 'team', alertAt: [50, 80, 100] });

function subjectOf(budget: Budget, value = budget.per === undefined ? undefined : 'growth') {
  const span = createBudgetClock(budget.window, budget.timeZone)(nowMs);
  return {
    ...counterPlace(budget, 'images', span, value),
    budget,
    value,
    span,
    unit: 'images',
    limit: budget.limitImages ?? 0,
  };
}

let uses = 0;
/** Uses some of a budget. */
async function use(budget: Budget, amount: number, value?: string): Promise<void> {
  uses += 1;
  const { counter } = subjectOf(budget, value);
  const hold = { counter, amount, limit: undefined, expiresAtMs: undefined };
  await store.reserve(`use ${uses}`, [hold], { heldUntilMs: nowMs + 1_000 });
  await store.settle(`use ${uses}`, [amount]);
}

/** The thresholds of the alerts that were raised since the last look. */
const raised = (): unknown[] => posted.splice(0).map(({ document }) => (document as { threshold: unknown }).threshold);

describe('alerts', () => {
  it('are raised when the use has reached their percentage, once each', async () => {
    const watch = createWatch();
    const seen: unknown[][] = [];
    for (const amount of [4, 1, 2, 1, 1, 1]) {
      await use(team, amount);
      await watch.look(subjectOf(team), 'used');
      seen.push(raised());
    }
    expect(seen).toEqual([[], [50], [], [80], [], [100]]);
  });

  it('say which counter of which budget stands how, in the log and to the webhook', async () => {
    await use(team, 8);
    await createWatch().look(subjectOf(makeBudget({ ...team, alertAt: [80] })), 'used');
    const told = {
      budget: 'growth-month',
      per: 'team',
      value: 'growth',
      unit: 'images',
      threshold: 80,
      percent: 80,
      used: 8,
      limit: 10,
      reason: 'used',
      window: 'month',
      rolling: null,
      window_start: '2026-11-01T00:00:00.000Z',
      window_end: '2026-12-01T00:00:00.000Z',
    };
    const [alert] = posted;
    expect(alert?.document).toEqual({
      type: 'budget.alert',
      id: alert?.id,
      at: '2026-11-18T12:00:00.000Z',
      ...told,
    });
    expect(log.lines).toEqual([{ level: 'warn', message: 'budget alert', fields: told }]);
  });

  it('are in the log alone where there is no webhook', async () => {
    await use(team, 10);
    await createAlertWatch(makeStageEnv({ store, log, catalogue: { alertWebhook: undefined } })).look(
      subjectOf(team),
      'used',
    );
    expect(posted).toEqual([]);
    expect(log.lines.map(({ fields }) => fields['threshold'])).toEqual([50, 80, 100]);
  });

  it('are raised by one of the gateways that share the books, however often they look, and by none after a restart', async () => {
    await use(team, 8);
    const watches = [createWatch(), createWatch(), createWatch()];
    await Promise.all([...watches, ...watches].map((watch) => watch.look(subjectOf(team), 'used')));
    expect(raised()).toEqual([50, 80]);
    nowMs += 3_600_000;
    await createWatch().look(subjectOf(team), 'used');
    expect(raised()).toEqual([]);
  });

  it('are raised for each value and in each window by itself', async () => {
    const watch = createWatch();
    for (const value of ['growth', 'design']) {
      await use(team, 5, value);
      await watch.look(subjectOf(team, value), 'used');
      expect(raised()).toEqual([50]);
    }
    nowMs = Date.parse('2026-12-01T00:00:00Z');
    await use(team, 5);
    await watch.look(subjectOf(team), 'used');
    expect(raised()).toEqual([50]);
  });

  it('are raised again in a rolling window when as long has passed', async () => {
    const rolling = makeBudget({ window: { rollingMs: 3_600_000 }, alertAt: [80] });
    const watch = createWatch();
    const seen: [number, number][] = [];
    for (let minutes = 0; minutes <= 130; minutes += 5) {
      await use(rolling, 2);
      await watch.look(subjectOf(rolling), 'used');
      const { length } = raised();
      if (length > 0) seen.push([minutes, length]);
      nowMs += 5 * 60_000;
    }
    expect(seen).toEqual([
      [15, 1],
      [80, 1],
    ]);
  });

  it('are raised anew by the percentage of another limit', async () => {
    const watch = createWatch();
    await use(team, 9);
    await watch.look(subjectOf(team), 'used');
    expect(raised()).toEqual([50, 80]);
    const wider = { ...team, limitImages: 18 };
    await watch.look(subjectOf(wider), 'used');
    expect(raised()).toEqual([50]);
  });

  it('are raised at 100 percent also when a call was refused, whatever is left', async () => {
    const watch = createWatch();
    await use(team, 9);
    await watch.look(subjectOf(team), 'refused');
    await watch.look(subjectOf(team), 'refused');
    expect(posted).toMatchObject([{ document: { threshold: 100, percent: 90, used: 9, reason: 'refused' } }]);
    raised();
    await use(team, 1);
    await watch.look(subjectOf(team), 'used');
    expect(raised()).toEqual([50, 80]);
  });

  it.each([
    ['a window of the calendar', team, 'growth'],
    ['a rolling window', { ...team, window: { rollingMs: 3_600_000 } }, undefined],
  ])('are raised again of what is used after a reset, in %s', async (_window, budget, value) => {
    const watch = createWatch();
    await use(budget, 8);
    await watch.look(subjectOf(budget), 'used');
    expect(raised()).toEqual([50, 80]);
    const query = new URLSearchParams(value === undefined ? {} : { value });
    await resetBudget({ budgets: [budget], store }, budget.id, query, nowMs);
    nowMs += 10_000;
    await use(budget, 6);
    await watch.look(subjectOf(budget), 'used');
    expect(raised()).toEqual([50]);
  });

  it('ask the books nothing where none are wanted, or all have been raised a moment ago', async () => {
    let reads = 0;
    const counting: Store = { ...store, read: (...given) => ((reads += 1), store.read(...given)) };
    const alerts = { post() {} };
    const watch = createAlertWatch(makeStageEnv({ store: counting, log, alerts, catalogue: {} }));
    await watch.look(subjectOf(makeBudget()), 'used');
    expect(reads).toBe(0);
    await use(team, 10);
    for (let look = 0; look < 5; look += 1) await watch.look(subjectOf(team), 'used');
    expect(reads).toBe(1);
  });
});
