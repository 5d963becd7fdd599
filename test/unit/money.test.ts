import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatUsd } from '../../src/money.ts';

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
