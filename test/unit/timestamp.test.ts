import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTimestamp } from '../../src/timestamp.ts';

describe('a moment', () => {
  it.each([
    ['2027-01-31', '2027-01-31T00:00:00.000Z'],
    ['2027-01-31T12:30Z', '2027-01-31T12:30:00.000Z'],
    ['2027-01-31T12:30:15+01:00', '2027-01-31T11:30:15.000Z'],
    ['2027-12-31T23:30:00-05:30', '2028-01-01T05:00:00.000Z'],
  ])('%s is %s', (text, iso) => {
    expect(parseTimestamp(text)).toBe(Date.parse(iso));
  });

  it.each(['2027-02-30', '2027-00-10', '2027-01-00', '2027-01-31T12:60Z', '2027-01-31T12:00:00+24:00', 'now'])(
    'is not %s',
    (text) => {
      expect(parseTimestamp(text)).toBeUndefined();
    },
  );

  it('is read as the platform reads it', () => {
    const dates = fc.date({ min: new Date('1970-01-01'), max: new Date('2999-12-31'), noInvalidDate: true });
    fc.assert(
      fc.property(dates, (date) => {
        const text = date.toISOString();
        expect(parseTimestamp(text)).toBe(Math.floor(date.getTime() / 1000) * 1000);
        expect(parseTimestamp(text.slice(0, 10))).toBe(Date.parse(text.slice(0, 10)));
      }),
    );
  });
});
