/** The names of budgets' counters in the state store. */
import { hash } from 'node:crypto';
import type { Budget } from '../pipeline/settings.ts';
import { formatDuration } from '../quantities.ts';
import type { CounterRange } from '../stores/store.ts';
import type { BudgetSpan } from './windows.ts';

/** Where a budget counts. */
export interface CounterPlace {
  /** Of a rolling window, the counter of the part that is counted now. */
  readonly counter: string;
  /** The counters of a rolling window; undefined: there is one for the whole window. */
  readonly range: CounterRange | undefined;
}

/**
 * The counter of a budget, such as `budget/growth-month/images/month/2026-11-01T00:00:00.000Z/team/growth`. What changes
 * the meaning of the count is in its name; the limit is not, so a new limit holds for what was used before.
 * @param unit what is counted
 * @param value what `budgetValue` gave
 */
export function counterPlace(budget: Budget, unit: string, span: BudgetSpan, value: string | undefined): CounterPlace {
  const part = budget.per === undefined || value === undefined ? 'all' : `${budget.per}/${namePart(value)}`;
  return placeOf(`${windowPrefix(budget, unit, span)}${part}`, span);
}

function placeOf(name: string, { startMs, bucket }: BudgetSpan): CounterPlace {
  if (bucket === undefined) return { counter: name, range: undefined };
  const prefix = `${name}/`;
  return { counter: prefix + instant(bucket.startMs), range: { prefix, from: prefix + instant(startMs) } };
}

/**
 * The counter that says, at 1, that an alert was raised of a place in its window; of a rolling one, in the time that has
 * just passed. With another limit the same percentage is news again.
 */
export function alertMark({ counter, range }: CounterPlace, threshold: number, limit: number): CounterPlace {
  const what = `${threshold}/${limit}`;
  if (range === undefined) return { counter: `${alertPrefix}${counter}/${what}`, range: undefined };
  const prefix = `${alertPrefix}${range.prefix}${what}/`;
  const atPart = (name: string): string => prefix + name.slice(range.prefix.length);
  return { counter: atPart(counter), range: { prefix, from: atPart(range.from) } };
}

/** What the names of the marks begin with that belong to a place; without one, to all counters of a window. */
export function alertMarksPrefix(budget: Budget, unit: string, span: BudgetSpan, value: string | undefined): string {
  if (value === undefined) return alertPrefix + windowPrefix(budget, unit, span);
  const { counter, range } = counterPlace(budget, unit, span, value);
  return alertPrefix + (range?.prefix ?? `${counter}/`);
}

const alertPrefix = 'alert/';

/** What the name of a counter says of it. */
export interface CounterLabel {
  /** As `counterPlace` takes it. */
  readonly value: string | undefined;
  /** Whether it counts by now: parts of a rolling window may lie before it. */
  readonly counts: boolean;
}

/** @param counter one whose name begins with the `windowPrefix` of these; undefined when the budget has no such counter */
export function readCounter(budget: Budget, unit: string, span: BudgetSpan, counter: string): CounterLabel | undefined {
  const prefix = windowPrefix(budget, unit, span);
  const parts = counter.slice(prefix.length).split('/');
  const start = span.bucket === undefined ? undefined : parts.pop();
  const counts = start === undefined || start >= instant(span.startMs);
  if (budget.per === undefined) return parts.join('/') === 'all' ? { value: undefined, counts } : undefined;
  const [per, value] = parts;
  return per === budget.per && value !== undefined ? { value: decodeURIComponent(value), counts } : undefined;
}

/** What the names of all of a budget's counters of one unit and window begin with. */
export function windowPrefix({ id, window }: Budget, unit: string, { startMs }: BudgetSpan): string {
  const kind = typeof window === 'object' ? `rolling-${formatDuration(window.rollingMs)}` : window;
  const start = typeof window === 'object' || window === 'lifetime' ? [] : [instant(startMs)];
  return ['budget', encodeURIComponent(id), unit, kind, ...start, ''].join('/');
}

/** As long for every point in time, so that names are in the order of time. */
function instant(atMs: number): string {
  return new Date(atMs).toISOString();
}

const longestPart = 256;

/** What stands for a value that is too long. */
const digested = /^sha256:[0-9a-f]{64}$/;

/** A value that callers may choose, such as a model: bounded, and of characters that every store takes. */
function namePart(value: string): string {
  if (digested.test(value)) return value;
  const encoded = encodeURIComponent(value.toWellFormed());
  return encoded.length <= longestPart ? encoded : `sha256:${hash('sha256', value)}`;
}
