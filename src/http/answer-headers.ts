import { knownCost } from '../budget/usage.ts';
import { formatUsd } from '../money.ts';
import type { RunningExchange } from '../pipeline/run.ts';

/** The headers that every answer of a route carries. */
export function answerHeaders(exchange: RunningExchange): ReadonlyMap<string, string> {
  const headers = new Map(exchange.responseHeaders);
  const { target, attempts, timings } = exchange;
  if (attempts.length > 0) {
    const last = attempts.at(-1);
    headers.set('x-pinhole-attempts', String(attempts.length));
    headers.set('x-pinhole-entity', last?.entity ?? target?.entity.id ?? '');
    headers.set('x-pinhole-provider', last?.provider ?? '');
    headers.set('x-pinhole-model', headerText(last?.model ?? ''));
    const cost = knownCost(attempts);
    if (cost !== undefined) headers.set('x-pinhole-cost-usd', formatUsd(cost));
  }
  const stages = Array.from(timings, ([name, elapsedMs]) => `${name};dur=${elapsedMs.toFixed(2)}`);
  headers.set('server-timing', stages.join(', '));
  return headers;
}

/** Model names come from callers; a header carries printable ASCII only. */
export function headerText(text: string): string {
  return text.toWellFormed().replace(/[^\x20-\x7e]/gu, (character) => encodeURIComponent(character));
}
