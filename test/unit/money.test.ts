import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatUsd, parseUsd } from '../../src/money.ts';

it.each([
  [0, '0'],
  [1, '0.000000001'],
  [20_000_000, '0.02'],
  [1_500_000_000, '1.5'],
  [12_000_000_000, '12'],
  [Number.MAX_SAFE_INTEGER, '9007199.254740991'],
])('%i nano-dollars are shown as %s', (nano, shown) => {
  expect(formatUsd(nano)).toBe(shown);
});

it('an amount that is shown is the amount, to the last digit', () => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (nano) => {
      const [whole = '', fraction = ''] = formatUsd(nano).split('.');
      expect(BigInt(whole + fraction.padEnd(9, '0'))).toBe(BigInt(nano));
    }),
  );
});

it.each([
  ['0', 0],
  ['0.04', 40_000_000],
  ['.5', undefined],
  ['5.', 5_000_000_000],
  ['12', 12_000_000_000],
  ['0.30', 300_000_000],
  ['1e-7', 100],
  ['1.5E-8', 15],
  ['2e3', 2_000_000_000_000],
  ['0.000000001', 1],
  ['0.0000000010', 1],
  ['0.0000000001', undefined],
  ['1e-10', undefined],
  ['0e-999', 0],
  ['1e999', undefined],
  ['9007199.254740991', Number.MAX_SAFE_INTEGER],
  ['9007199.254740992', undefined],
  ['-1', undefined],
  ['1,5', undefined],
  ['', undefined],
  ['NaN', undefined],
  ['Infinity', undefined],
  [' 1', undefined],
])('%j dollars are %s nano-dollars', (text, nano) => {
  expect(parseUsd(text)).toBe(nano);
});

it('an amount that is read is the amount that was shown, also by way of a number of the file', () => {
  fc.assert(
    fc.property(fc.nat({ max: 10_000_000_000_000 }), (nano) => {
      expect(parseUsd(formatUsd(nano))).toBe(nano);
      expect(parseUsd(String(Number(formatUsd(nano))))).toBe(nano);
    }),
  );
});
