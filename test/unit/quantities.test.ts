import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/quantities.ts';

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['10s', 10_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['30d', 2_592_000_000],
    ['1500', 1500],
    ['0', 0],
  ])('%s', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each([
    '',
    '10',
    '10 s',
    '-1s',
    '1.5s',
    's',
    '1w',
    '1S',
    '1e3',
    '10s ',
    '1h30m',
    '999999999999999d',
    'constructor',
  ])('has the form of one only if it is one: %j', (text) => {
    expect(parseDuration(text)).toBe(text === '10' ? 10 : undefined);
  });

  it('are read back as they are written', () => {
    fc.assert(
      fc.property(fc.nat(), (milliseconds) => {
        expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
      }),
    );
  });
});

describe('sizes', () => {
  it.each([
    ['64KiB', 65_536],
    ['100MiB', 104_857_600],
    ['1GiB', 1_073_741_824],
    ['5MB', 5_000_000],
    ['1kB', 1000],
    ['1KB', 1000],
    ['7B', 7],
    ['1024', 1024],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'KiB', '1 KiB', '1kib', '1TB', '-1', '1.5MiB', '999999999999999GiB'])('not %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('are read back as they are written', () => {
    fc.assert(
      fc.property(fc.nat(), (bytes) => {
        expect(parseSize(formatSize(bytes))).toBe(bytes);
      }),
    );
  });
});
