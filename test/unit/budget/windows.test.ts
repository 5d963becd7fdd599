import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBudgetClock, createWindowClock, windowAt } from '../../../src/budget/windows.ts';
import type { WindowUnit } from '../../../src/pipeline/settings.ts';

const at = (text: string): number => Date.parse(text);

function span(window: WindowUnit, timeZone: string, now: string): readonly [string, string] {
  const { startMs, endMs } = windowAt(window, timeZone, at(now));
  return [new Date(startMs).toISOString(), new Date(endMs).toISOString()];
}

describe('windowAt', () => {
  it.each<[WindowUnit, string, string]>([
    ['hour', '2026-11-18T13:00:00.000Z', '2026-11-18T14:00:00.000Z'],
    ['day', '2026-11-18T00:00:00.000Z', '2026-11-19T00:00:00.000Z'],
    ['week', '2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z'],
    ['month', '2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
    ['year', '2026-01-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
  ])('finds the %s in UTC', (window, start, end) => {
    expect(span(window, 'UTC', '2026-11-18T13:37:11.123Z')).toEqual([start, end]);
  });

  it('counts Sunday to the week that began on Monday', () => {
    expect(span('week', 'UTC', '2026-11-22T23:59:59.999Z')[0]).toBe('2026-11-16T00:00:00.000Z');
  });

  it('never ends a lifetime', () => {
    expect(windowAt('lifetime', 'UTC', at('2026-11-18'))).toEqual({ startMs: 0, endMs: Infinity });
  });

  it('goes by the clock of the time zone', () => {
    expect(span('month', 'America/New_York', '2026-12-01T04:59:59Z')).toEqual([
      '2026-11-01T04:00:00.000Z',
      '2026-12-01T05:00:00.000Z',
    ]);
  });

  it.each([
    ['half an hour off', 'Asia/Kolkata', '2026-11-18T13:30:00.000Z', '2026-11-17T18:30:00.000Z'],
    ['three quarters off', 'Asia/Kathmandu', '2026-11-18T13:15:00.000Z', '2026-11-17T18:15:00.000Z'],
  ])('begins hours and days in a zone %s where its clock does', (_how, zone, hour, day) => {
    expect(span('hour', zone, '2026-11-18T13:37:00Z')[0]).toBe(hour);
    expect(span('day', zone, '2026-11-18T13:37:00Z')[0]).toBe(day);
  });

  it.each([
    ['23', '2026-03-29T12:00:00Z', 23],
    ['25', '2026-10-25T12:00:00Z', 25],
  ])('has a day of %s hours where the clock changes', (_hours, now, hours) => {
    const { startMs, endMs } = windowAt('day', 'Europe/Berlin', at(now));
    expect((endMs - startMs) / 3_600_000).toBe(hours);
  });

  it('makes the hour that the clock shows twice two windows', () => {
    expect(span('hour', 'Europe/Berlin', '2026-10-25T00:30:00Z')[0]).toBe('2026-10-25T00:00:00.000Z');
    expect(span('hour', 'Europe/Berlin', '2026-10-25T01:30:00Z')[0]).toBe('2026-10-25T01:00:00.000Z');
  });

  it('begins a day whose midnight is skipped at the change', () => {
    // Cairo went from 24 April 2026, 00:00 to 01:00.
    expect(span('day', 'Africa/Cairo', '2026-04-24T12:00:00Z')[0]).toBe('2026-04-23T22:00:00.000Z');
    expect(span('day', 'Africa/Cairo', '2026-04-23T21:59:59Z')[1]).toBe('2026-04-23T22:00:00.000Z');
  });

  it('begins a day whose midnight comes twice at the first', () => {
    // St John's put its clocks back from 00:01 to 23:01 on 7 November 2010.
    const midnight = '2010-11-07T02:30:00.000Z';
    expect(span('day', 'America/St_Johns', '2010-11-07T02:30:30Z')[0]).toBe(midnight);
    expect(span('day', 'America/St_Johns', '2010-11-07T03:00:00Z')[0]).toBe(midnight);
  });

  it('has no window for a day that a zone left out', () => {
    // Samoa had no 30 December 2011.
    expect(span('day', 'Pacific/Apia', '2011-12-30T09:59:59Z')).toEqual([
      '2011-12-29T10:00:00.000Z',
      '2011-12-30T10:00:00.000Z',
    ]);
    expect(span('day', 'Pacific/Apia', '2011-12-30T10:00:00Z')[1]).toBe('2011-12-31T10:00:00.000Z');
  });

  const anyWindow = fc.constantFrom<WindowUnit>('hour', 'day', 'week', 'month', 'year');
  const anyZone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'), 'UTC');
  const anyTime = fc.integer({ min: at('1975-01-01'), max: at('2060-01-01') });

  it('contains the time that was asked for, whatever the zone', () => {
    fc.assert(
      fc.property(anyWindow, anyZone, anyTime, (window, zone, now) => {
        const { startMs, endMs } = windowAt(window, zone, now);
        expect(startMs).toBeLessThanOrEqual(now);
        expect(endMs).toBeGreaterThan(now);
      }),
      { numRuns: 1000 },
    );
  });

  it('is the same from its first to its last millisecond, and meets its neighbours', () => {
    fc.assert(
      fc.property(
        anyWindow,
        anyZone,
        anyTime,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (window, zone, now, part) => {
          const found = windowAt(window, zone, now);
          const { startMs, endMs } = found;
          const within = Math.min(endMs - 1, startMs + Math.floor((endMs - startMs) * part));
          for (const other of [startMs, within, endMs - 1]) expect(windowAt(window, zone, other)).toEqual(found);
          expect(windowAt(window, zone, endMs).startMs).toBe(endMs);
          expect(windowAt(window, zone, startMs - 1).endMs).toBe(startMs);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('createWindowClock', () => {
  it('gives the window of each time, also when the clock is set back', () => {
    const windowOf = createWindowClock('day', 'Europe/Berlin');
    for (const now of [
      '2026-11-18T12:00:00Z',
      '2026-11-18T22:59:59Z',
      '2026-11-18T23:00:00Z',
      '2026-11-18T12:00:00Z',
    ]) {
      expect(windowOf(at(now))).toEqual(windowAt('day', 'Europe/Berlin', at(now)));
    }
  });

  it('works a window out once', () => {
    const windowOf = createWindowClock('month', 'UTC');
    expect(windowOf(at('2026-11-18'))).toBe(windowOf(at('2026-11-30')));
  });

  it('refuses a time zone that does not exist', () => {
    expect(() => createWindowClock('lifetime', 'Europe/Atlantis')).toThrow(RangeError);
  });
});

describe('createBudgetClock', () => {
  it('keeps counters of the calendar for a day, and those of a lifetime for ever', () => {
    const now = at('2026-11-18T13:37:11Z');
    expect(createBudgetClock('day', 'UTC')(now)).toEqual({
      startMs: at('2026-11-18'),
      endMs: at('2026-11-19'),
      bucket: undefined,
      forgottenAtMs: at('2026-11-20'),
    });
    expect(createBudgetClock('lifetime', 'UTC')(now)).toMatchObject({ bucket: undefined, forgottenAtMs: undefined });
  });

  it('counts what was used for as long as a rolling window is, and for at most a sixtieth longer', () => {
    const rollingSpans = fc.integer({ min: 1_000, max: 315_360_000_000 });
    const times = fc.integer({ min: at('2020-01-01'), max: at('2080-01-01') });
    fc.assert(
      fc.property(rollingSpans, times, fc.double({ min: 0, max: 1, noNaN: true }), (rollingMs, usedAt, fraction) => {
        const clock = createBudgetClock({ rollingMs }, 'UTC');
        const { bucket, forgottenAtMs = 0 } = clock(usedAt);
        if (bucket === undefined) throw new Error('no bucket');
        expect(bucket.startMs <= usedAt && usedAt < bucket.endMs).toBe(true);
        const counts = (now: number): boolean => bucket.startMs >= clock(now).startMs;
        expect(counts(usedAt + Math.floor(rollingMs * fraction))).toBe(true);
        expect(counts(usedAt + rollingMs + Math.ceil(rollingMs / 60))).toBe(false);
        expect(counts(forgottenAtMs)).toBe(false);
      }),
    );
  });

  it('begins parts at the same time for everybody, and counts those of clocks that are ahead', () => {
    const clock = createBudgetClock({ rollingMs: 3_600_000 }, 'UTC');
    expect(clock(at('2026-11-18T13:37:11Z')).bucket).toEqual(clock(at('2026-11-18T13:37:59Z')).bucket);
    expect(clock(at('2026-11-18T13:37:59Z')).endMs).toBe(Infinity);
  });
});
