/** What the suites here have in common: they measure, print the figure, and compare it with the one to reach. */

/** Prints a measured figure beside the one to reach. */
export function report(id: string, promise: string, figures: Readonly<Record<string, unknown>>): void {
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  console.log(`${id.padEnd(4)} ${promise}: ${shown.join(', ')}`);
}

export const mebibyte = 1024 * 1024;

export function inMebibytes(bytes: number): number {
  return Math.round((10 * bytes) / mebibyte) / 10;
}
