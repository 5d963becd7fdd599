/** Money is counted in nano-dollars, as whole numbers: cents and their parts add up exactly. */

/** Bounded, so that no text makes numbers without end; no double needs as many digits. */
const amount = /^(\d{1,400})(?:\.(\d{0,400}))?(?:e([+-]?\d{1,3}))?$/i;

/**
 * The nano-dollars of an amount in dollars, written as a decimal: `0.04`, `12`, `5e-7`. Exact, since no floating point is
 * between; of a number of the file, its shortest text is what was written there.
 * @returns undefined for what is no amount of whole nano-dollars, or more than a safe integer holds
 */
export function parseUsd(text: string): number | undefined {
  const [, whole, fraction = '', exponent = '0'] = amount.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const digits = BigInt(whole + fraction);
  const shift = 9 + Number(exponent) - fraction.length;
  const scale = 10n ** BigInt(Math.abs(shift));
  if (shift < 0 && digits % scale !== 0n) return undefined;
  const nanoUsd = shift < 0 ? digits / scale : digits * scale;
  return nanoUsd <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nanoUsd) : undefined;
}

/** An amount in dollars as it is shown, without digits that say nothing: `0.04`, `1.5`. @param nanoUsd nano-dollars, 0 or more */
export function formatUsd(nanoUsd: number | bigint): string {
  const digits = String(nanoUsd).padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`;
}
