import type { TokenRing } from '../pipeline/settings.ts';
import { Secret } from '../secret.ts';

/** More models than an entity has that are limited at the same time. */
const maxRests = 256;

/**
 * The tokens of an entity's comma-separated `token`, taken in turn. Its place in the ring survives reloads, and so does
 * which of them are to be passed over.
 * @param monotonic milliseconds on a clock that only goes forward
 */
export function createTokenRing(text: string, monotonic: () => number): TokenRing {
  const rings = splitTokens(text).map((token) => ({ token: new Secret(token), rests: new Map<string, number>() }));
  let taken = 0;

  /** Milliseconds that a token is still to be passed over. */
  function restOf({ rests }: (typeof rings)[number], model: string): number {
    const untilMs = Math.max(rests.get(everyModel) ?? 0, rests.get(model) ?? 0);
    return Math.max(0, untilMs - monotonic());
  }

  return {
    all: rings.map(({ token }) => token),
    next(model) {
      const inTurn = rings.map((_, index) => (taken + index) % rings.length);
      const rested = inTurn.map((index) => ({ index, restMs: restOf(rings[index] ?? noToken, model) }));
      // When all of them rest, the one whose time is nearest.
      const [first] = rested.toSorted((one, other) => one.restMs - other.restMs);
      if (first === undefined) return undefined;
      taken = first.index + 1;
      return rings[first.index]?.token;
    },
    rest(token, { model = everyModel, forMs }) {
      const entry = rings.find((each) => each.token === token);
      if (entry === undefined) return;
      const nowMs = monotonic();
      for (const [name, untilMs] of entry.rests) if (untilMs <= nowMs) entry.rests.delete(name);
      if (entry.rests.size < maxRests) entry.rests.set(model, nowMs + forMs);
    },
    wake(token, model) {
      const entry = rings.find((each) => each.token === token);
      entry?.rests.delete(model);
      entry?.rests.delete(everyModel);
    },
    restsFor: (model) => (rings.length === 0 ? 0 : Math.min(...rings.map((each) => restOf(each, model)))),
    resting() {
      const nowMs = monotonic();
      return rings.flatMap(({ rests }, index) =>
        Array.from(rests, ([model, untilMs]) => ({
          place: index + 1,
          model: model === everyModel ? undefined : model,
          forMs: untilMs - nowMs,
        })).filter(({ forMs }) => forMs > 0),
      );
    },
  };
}

/** No model has an empty name. */
const everyModel = '';
const noToken = { token: new Secret(''), rests: new Map<string, number>() };

/** The tokens of a text: separated by commas, but for a credential that is a JSON document itself. */
export function splitTokens(text: string): readonly string[] {
  if (text.trimStart().startsWith('{')) return [text.trim()];
  return text
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}
