/** What the suites here have in common: they measure, print the figure, and compare it with the one to reach. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Gateway } from '../fixtures/gateway.ts';

/** Prints a measured figure beside the one to reach. */
export function report(id: string, promise: string, figures: Readonly<Record<string, unknown>>): void {
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  console.log(`${id.padEnd(4)} ${promise}: ${shown.join(', ')}`);
}

export const mebibyte = 1024 * 1024;

export function inMebibytes(bytes: number): number {
  return Math.round((10 * bytes) / mebibyte) / 10;
}

/** The memory that stays once what can be freed is freed: the least of several looks. */
export async function settledRss(gateway: Gateway): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < 10; look += 1) {
    await pause(300);
    looks.push(await gateway.rss());
  }
  return Math.min(...looks);
}

/** Looks at the memory of the process again and again. */
export function watchPeak(gateway: Gateway): { readonly stop: () => Promise<number> } {
  const stopping = new AbortController();
  const looking = (async () => {
    let peak = 0;
    while (!stopping.signal.aborted) {
      peak = Math.max(peak, await gateway.rss());
      await pause(5);
    }
    return peak;
  })();
  return {
    stop: () => {
      stopping.abort();
      return looking;
    },
  };
}
