/** Answers as the cache keeps them: their bytes beside those of the idempotency keys, and what is known of them in the state. */
import { knownCost } from '../budget/usage.ts';
import { reasonOf } from '../budget/persist.ts';
import { payloadContent } from '../images/convert-payload.ts';
import { formatUsd } from '../money.ts';
import type { Exchange, ExchangeView, ReusedAnswer } from '../pipeline/exchange.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { IndexedAnswer } from '../stores/answer-index.ts';
import type { RecordedAnswer } from './answer-recording.ts';
import { contentOf, longerMs, withDeadline } from './kept-answer.ts';

/** Who made an answer, and for how much. */
export type Origin = Omit<ReusedAnswer, 'kind'>;

/** What is known of a kept answer. */
interface About {
  readonly headers: Readonly<Record<string, string>>;
  readonly origin: Origin;
}

export type Answer = RecordedAnswer & { readonly kind: 'answer' };

/** Headers of an answer that are about the call that it was made for. */
const ofTheCall: ReadonlySet<string> = new Set([
  'x-pinhole-attempts',
  'x-pinhole-cache',
  'x-pinhole-cost-usd',
  'x-pinhole-idempotent-replay',
]);

/** The headers of an answer that is given once more. */
export function headersOfReuse(
  headers: Readonly<Record<string, string>>,
  { savedNanoUsd }: Origin,
): Readonly<Record<string, string>> {
  return {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !ofTheCall.has(name))),
    'x-pinhole-cost-usd': '0',
    ...(savedNanoUsd === undefined ? {} : { 'x-pinhole-saved-usd': formatUsd(savedNanoUsd) }),
  };
}

/** Where the answer of an exchange has come from. */
export function originOf({ attempts, reused }: Pick<Exchange, 'attempts' | 'reused'>): Origin {
  if (attempts.length === 0 && reused !== undefined) {
    const { kind: _howeverItCame, ...origin } = reused;
    return origin;
  }
  const { entity = '', provider = '', model = '' } = attempts.at(-1) ?? {};
  return { entity, provider, model, savedNanoUsd: knownCost(attempts) };
}

export interface Keeping {
  readonly key: string;
  /** What shares one bound, and the bound in bytes. */
  readonly space: string;
  readonly spaceBytes: number;
  readonly madeAtMs: number;
  readonly expiresAtMs: number;
}

/** Keeps an answer, and lets those go that make room for it. Never rejects: it is an answer all the same. */
export async function keepForOthers(
  { headers, body }: Answer,
  origin: Origin,
  { key, expiresAtMs, ...terms }: Keeping,
  { log }: Pick<Exchange, 'log'>,
  env: StageEnv,
): Promise<void> {
  const { answers, store } = env;
  const content = payloadContent(body);
  try {
    const blob = await withDeadline(env, (signal) =>
      answers.put(content, 'application/octet-stream', { expiresAtMs: expiresAtMs + longerMs, signal }),
    );
    const about: About = { headers, origin };
    const answer = { ...terms, expiresAtMs, blob, bytes: content.byteLength, about: JSON.stringify(about) };
    const unneeded = await store.indexAnswer(key, answer).catch(async (error: unknown) => {
      await answers.remove(blob).catch(() => undefined);
      throw error;
    });
    for (const name of unneeded) await answers.remove(name);
  } catch (error) {
    // What was not removed expires by itself.
    log.warn('an answer could not be kept for equal calls', reasonOf(error));
  }
}

/** A kept answer, ready to be given once more; undefined when its bytes are not there any more. */
export async function openKept(
  { blob: name, about }: IndexedAnswer,
  exchange: ExchangeView<'call'>,
  { answers }: StageEnv,
): Promise<{ readonly response: BodyResponse; readonly origin: Origin } | undefined> {
  const blob = await answers.open(name, exchange.signal);
  if (blob === undefined) return undefined;
  exchange.defer(() => blob.close());
  // Nobody but `keepForOthers` has written it.
  const { headers, origin } = JSON.parse(about) as About;
  const response = {
    kind: 'body',
    status: 200,
    headers: headersOfReuse(headers, origin),
    body: contentOf(blob),
  } as const;
  return { response, origin };
}
