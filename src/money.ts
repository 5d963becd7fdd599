/** Money is counted in nano-dollars, as whole numbers: cents and their parts add up exactly. */

/** An amount in dollars as it is shown, without digits that say nothing: `0.04`, `1.5`. @param nanoUsd nano-dollars, 0 or more */
export function formatUsd(nanoUsd: number | bigint): string {
  const digits = String(nanoUsd).padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`;
}
