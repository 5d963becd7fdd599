import { expect, it } from 'vitest';
import { goDuration } from '../../../src/transforms/go-duration.ts';

it.each([
  [0, '0s'],
  [1, '1ms'],
  [999, '999ms'],
  [1000, '1s'],
  [8640, '8.64s'],
  [59_999, '59.999s'],
  [360_000, '6m0s'],
  [3_723_500, '1h2m3.5s'],
  [86_400_000, '24h0m0s'],
])('%i ms are %s', (milliseconds, text) => {
  expect(goDuration(milliseconds)).toBe(text);
});
