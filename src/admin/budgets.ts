/** What budgets have counted, on the admin listener, and their way back to zero. */
import { alertMarksPrefix, counterPlace, readCounter, windowPrefix } from '../budget/counters.ts';
import { measures, type Measure } from '../budget/measures.ts';
import { showStanding, shownAmount, shownEnd, type ShownStanding } from '../budget/standing.ts';
import { createBudgetClock, type BudgetSpan } from '../budget/windows.ts';
import { GatewayError } from '../errors.ts';
import type { Budget } from '../pipeline/settings.ts';
import { formatDuration } from '../quantities.ts';
import type { BooksReader, Counter } from '../stores/ledger.ts';
import type { CounterState, Store } from '../stores/store.ts';

/** The budgets of the file in force, and the books that they are counted in. */
export interface BudgetBooks {
  readonly budgets: readonly Budget[];
  readonly store: Store;
}

/** Values of one budget and unit that an answer tells of at the most. */
const mostValues = 10_000;
const usualValues = 1_000;

/** Counters that are read, or put to zero, at a time. */
const pageSize = 500;

/** The answer of `GET /api/budgets?id=ID&value=VALUE&limit=N`. @throws GatewayError invalid_value, overloaded */
export async function answerBudgets(
  { budgets, store }: Pick<BudgetBooks, 'budgets'> & { readonly store: Pick<BooksReader, 'counters'> },
  query: URLSearchParams,
  nowMs: number,
): Promise<object> {
  checkNames(query, ['id', 'value', 'limit']);
  const id = query.get('id') ?? undefined;
  const value = query.get('value') ?? undefined;
  const limit = limitOf(query.get('limit'));
  if (id !== undefined && !budgets.some((budget) => budget.id === id)) throw invalid('id', `there is no budget ${id}`);
  const asked = budgets.filter(
    (budget) => (id === undefined || budget.id === id) && (value === undefined || budget.per !== undefined),
  );
  const shown: object[] = [];
  for (const budget of asked) shown.push(await describeBudget(budget, store, { value, limit, nowMs }));
  return { budgets: shown };
}

interface Wanted {
  readonly value: string | undefined;
  /** The most values. */
  readonly limit: number;
  readonly nowMs: number;
}

async function describeBudget(budget: Budget, store: Pick<BooksReader, 'counters'>, wanted: Wanted): Promise<object> {
  const { id, window, timeZone, per, onExceed } = budget;
  const span = createBudgetClock(window, timeZone)(wanted.nowMs);
  const counters: (ShownStanding & { readonly value: string | null })[] = [];
  let more = false;
  for (const { measure, limit } of limitsOf(budget)) {
    const states = await statesOf(budget, measure, span, store, wanted);
    more ||= states.size > wanted.limit;
    for (const [value, state] of [...states].slice(0, wanted.limit)) {
      counters.push({ value: value ?? null, ...showStanding(measure.unit, state, limit) });
    }
  }
  const isRolling = typeof window === 'object';
  return {
    id,
    window: isRolling ? null : window,
    rolling: isRolling ? formatDuration(window.rollingMs) : null,
    time_zone: isRolling ? null : timeZone,
    window_start: window === 'lifetime' ? null : new Date(span.startMs).toISOString(),
    window_end: shownEnd(span.endMs),
    per: per ?? null,
    on_exceed: onExceed,
    counters,
    more,
  };
}

function limitsOf(budget: Budget): readonly { readonly measure: Measure; readonly limit: number }[] {
  return measures.flatMap((measure) => {
    const limit = measure.limitOf(budget);
    return limit === undefined ? [] : [{ measure, limit }];
  });
}

/** What the counters of a window say, by value, one more at the most than is wanted. */
async function statesOf(
  budget: Budget,
  { unit }: Measure,
  span: BudgetSpan,
  store: Pick<BooksReader, 'counters'>,
  { value, limit }: Wanted,
): Promise<ReadonlyMap<string | undefined, CounterState>> {
  const states = new Map<string | undefined, CounterState>();
  // A counter at zero is not kept.
  if (budget.per === undefined || value !== undefined) states.set(value, { settled: 0, held: 0 });
  for await (const counter of countersOf(budget, unit, span, store, value)) {
    const { settled, held } = states.get(counter.value) ?? { settled: 0, held: 0 };
    states.set(counter.value, { settled: settled + counter.settled, held: held + counter.held });
    if (states.size > limit) break;
  }
  return states;
}

/** The counters of a window that are not at zero, in the order of their values. */
async function* countersOf(
  budget: Budget,
  unit: string,
  span: BudgetSpan,
  store: Pick<BooksReader, 'counters'>,
  value: string | undefined,
): AsyncIterable<Counter & { readonly value: string | undefined }> {
  const place = value === undefined ? undefined : counterPlace(budget, unit, span, value);
  const prefix = place === undefined ? windowPrefix(budget, unit, span) : (place.range?.prefix ?? place.counter);
  for await (const counter of countersBelow(prefix, store)) {
    const label = readCounter(budget, unit, span, counter.counter);
    const isAsked = value === undefined || counter.counter === place?.counter || place?.range !== undefined;
    if (label?.counts === true && isAsked) yield { ...counter, value: value ?? label.value };
  }
}

async function* countersBelow(prefix: string, store: Pick<BooksReader, 'counters'>): AsyncIterable<Counter> {
  let after: string | undefined;
  do {
    const page: readonly Counter[] = await store.counters({ prefix, after, limit: pageSize });
    yield* page;
    after = page.length < pageSize ? undefined : page.at(-1)?.counter;
  } while (after !== undefined);
}

/** The answer of `POST /api/budgets/ID/reset?value=VALUE`. @throws GatewayError route_not_found, invalid_value, overloaded */
export async function resetBudget(
  { budgets, store }: BudgetBooks,
  id: string,
  query: URLSearchParams,
  nowMs: number,
): Promise<object> {
  const budget = budgets.find((each) => each.id === id);
  if (budget === undefined) throw new GatewayError('route_not_found', `There is no budget ${id}.`);
  checkNames(query, ['value']);
  const value = query.get('value') ?? undefined;
  if (value !== undefined && budget.per === undefined) {
    throw invalid('value', `the budget ${id} has one counter for all`);
  }
  const span = createBudgetClock(budget.window, budget.timeZone)(nowMs);
  const reset: { readonly value: string | null; readonly unit: string; readonly used: number | string }[] = [];
  for (const { measure } of limitsOf(budget)) {
    const used = await resetCounters(budget, measure.unit, span, store, value);
    for (const [name, amount] of used) {
      reset.push({ value: name ?? null, unit: measure.unit, used: shownAmount(measure.unit, amount) });
    }
  }
  return { id, reset };
}

/** Puts the use of a window to zero, and gives what it was by value. Alerts that were raised of it are news again. */
async function resetCounters(
  budget: Budget,
  unit: string,
  span: BudgetSpan,
  store: Store,
  value: string | undefined,
): Promise<ReadonlyMap<string | undefined, number>> {
  const counters = await listOf(countersOf(budget, unit, span, store, value));
  const marks = await listOf(countersBelow(alertMarksPrefix(budget, unit, span, value), store));
  const states = await resetAll(counters, store);
  await resetAll(marks, store);
  const used = new Map<string | undefined, number>();
  counters.forEach((counter, index) => {
    used.set(counter.value, (used.get(counter.value) ?? 0) + (states[index]?.settled ?? 0));
  });
  return used;
}

async function listOf<Value>(values: AsyncIterable<Value>): Promise<readonly Value[]> {
  const list: Value[] = [];
  for await (const value of values) list.push(value);
  return list;
}

async function resetAll(counters: readonly Counter[], store: Store): Promise<readonly CounterState[]> {
  const states: CounterState[] = [];
  for (let at = 0; at < counters.length; at += pageSize) {
    const page = counters.slice(at, at + pageSize);
    states.push(...(await Promise.all(page.map(({ counter }) => store.reset(counter)))));
  }
  return states;
}

function limitOf(text: string | null): number {
  if (text === null) return usualValues;
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= mostValues) return limit;
  throw invalid('limit', `it is a number from 1 to ${mostValues}`);
}

function checkNames(query: URLSearchParams, known: readonly string[]): void {
  const unknown = [...query.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid(unknown, `what is known here is ${known.join(', ')}`);
}

function invalid(param: string, reason: string): GatewayError {
  return new GatewayError('invalid_value', `The value of \`${param}\` is not understood: ${reason}.`, { param });
}
