import type { BudgetWindow, RollingWindow, WindowUnit } from '../pipeline/settings.ts';

/** One window of time: from its first millisecond up to but not including the first of the next. */
export interface WindowSpan {
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /** Milliseconds since 1970; infinite for a lifetime. */
  readonly endMs: number;
}

/** What a budget counts at one moment. */
export interface BudgetSpan extends WindowSpan {
  /** The part of a rolling window that is counted now, on a counter of its own; undefined: the window has one counter. */
  readonly bucket: WindowSpan | undefined;
  /** When nobody asks any more for what is counted now, in milliseconds since 1970; undefined: never. */
  readonly forgottenAtMs: number | undefined;
}

/** Parts of a rolling window. What was used counts for as long as the window says, and for up to one part longer. */
const buckets = 60;

/** A counter outlives its window: for reports, and for a system clock that is set back. */
const keptAfterWindowMs = 24 * 3_600_000;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const lifetime: WindowSpan = { startMs: 0, endMs: Number.POSITIVE_INFINITY };

/**
 * The window around a point in time, by the clock on the wall of a time zone. Days, weeks (from Monday), months and
 * years begin when that clock first shows midnight, or skips it; so a day may have 23 or 25 hours. Hours are counted
 * from the start of the day.
 * @throws RangeError when there is no such time zone
 */
export function windowAt(window: WindowUnit, timeZone: string, atMs: number): WindowSpan {
  if (window === 'lifetime') return lifetime;
  if (window !== 'hour') return calendarWindow(window, timeZone, atMs);
  const day = calendarWindow('day', timeZone, atMs);
  const startMs = atMs - ((atMs - day.startMs) % hourMs);
  return { startMs, endMs: Math.min(startMs + hourMs, day.endMs) };
}

/**
 * `windowAt` for one kind of window, which works the window out once and remembers it until it ends.
 * @throws RangeError when there is no such time zone
 */
export function createWindowClock(window: WindowUnit, timeZone: string): (nowMs: number) => WindowSpan {
  // A wrong zone is to be found when the clock is made, not with the first request.
  wallClock(timeZone);
  let current: WindowSpan | undefined;
  return function currentWindow(nowMs) {
    // The system's clock may also be set back.
    if (current === undefined || nowMs < current.startMs || nowMs >= current.endMs) {
      current = windowAt(window, timeZone, nowMs);
    }
    return current;
  };
}

/**
 * What a budget counts, by the time. A rolling window ends never, and begins with the first part that reaches into it.
 * @throws RangeError when there is no such time zone
 */
export function createBudgetClock(window: BudgetWindow, timeZone: string): (nowMs: number) => BudgetSpan {
  if (typeof window === 'object') return (nowMs) => rollingSpan(window, nowMs);
  const windowOf = createWindowClock(window, timeZone);
  return function currentSpan(nowMs) {
    const span = windowOf(nowMs);
    const forgottenAtMs = Number.isFinite(span.endMs) ? span.endMs + keptAfterWindowMs : undefined;
    return { ...span, bucket: undefined, forgottenAtMs };
  };
}

function rollingSpan({ rollingMs }: RollingWindow, nowMs: number): BudgetSpan {
  // Parts begin at multiples of their length, so that all gateways have the same.
  const bucketMs = Math.ceil(rollingMs / buckets);
  const startOf = (atMs: number): number => atMs - (atMs % bucketMs);
  const startMs = startOf(nowMs);
  return {
    startMs: startOf(Math.max(0, nowMs - rollingMs)),
    endMs: Number.POSITIVE_INFINITY,
    bucket: { startMs, endMs: startMs + bucketMs },
    // Another gateway's clock may be behind.
    forgottenAtMs: startMs + bucketMs + rollingMs + bucketMs,
  };
}

type CalendarWindow = Exclude<WindowUnit, 'hour' | 'lifetime'>;

/**
 * Works on boundaries rather than on dates: where a change of the clock shows the end of a day a second time, or
 * leaves out a whole day, windows still follow each other without a gap.
 */
function calendarWindow(window: CalendarWindow, timeZone: string, atMs: number): WindowSpan {
  const wall = wallClock(timeZone);
  const boundary = (steps: number): number => firstInstant(wall, boundaryOnWall(window, wall(atMs), steps));
  let startMs = boundary(0);
  for (let steps = 1; ; steps += 1) {
    const endMs = boundary(steps);
    if (endMs > atMs) return { startMs, endMs };
    startMs = endMs;
  }
}

/** What the wall shows when the window that contains `wallMs` begins, or the one so many steps later. */
function boundaryOnWall(window: CalendarWindow, wallMs: number, steps: number): number {
  const date = new Date(wallMs);
  const year = date.getUTCFullYear();
  const month = date.getUTCMonth();
  if (window === 'year') return Date.UTC(year + steps, 0);
  if (window === 'month') return Date.UTC(year, month + steps);
  if (window === 'day') return Date.UTC(year, month, date.getUTCDate() + steps);
  const daysSinceMonday = (date.getUTCDay() + 6) % 7;
  return Date.UTC(year, month, date.getUTCDate() - daysSinceMonday + 7 * steps);
}

/** What a clock on the wall shows at a point in time, written as the milliseconds at which a clock in UTC shows it. */
type WallClock = (instantMs: number) => number;

const wallClocks = new Map<string, WallClock>();

function wallClock(timeZone: string): WallClock {
  let clock = wallClocks.get(timeZone);
  if (clock === undefined) {
    clock = createWallClock(timeZone);
    wallClocks.set(timeZone, clock);
  }
  return clock;
}

function createWallClock(timeZone: string): WallClock {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return function wall(instantMs) {
    const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
    for (const { type, value } of format.formatToParts(instantMs)) parts[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second, new Date(instantMs).getUTCMilliseconds());
  };
}

/** When the clock first shows `wallMs` or more: at the change itself if that time is skipped, once if it comes twice. */
function firstInstant(wall: WallClock, wallMs: number): number {
  const offsetAt = (instantMs: number): number => wall(instantMs) - instantMs;
  // No zone is further than 14 hours from UTC, so these two are safely before and after, with one change between at most.
  const offsets = [offsetAt(wallMs - dayMs), offsetAt(wallMs + dayMs)];
  let before = wallMs - Math.max(...offsets);
  let found = wallMs - Math.min(...offsets);
  if (wall(before) >= wallMs) return before;
  while (found - before > 1) {
    const middle = Math.floor((before + found) / 2);
    if (wall(middle) >= wallMs) found = middle;
    else before = middle;
  }
  return found;
}
