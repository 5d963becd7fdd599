/** A result whose pictures go out while others are still in the making. */
import { GatewayError } from '../errors.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import { answerOfEvents } from '../pipeline/result.ts';
import type { ImageAnswer, ImageEvent, ImageResult, PictureEvent } from '../pipeline/result.ts';
import type { PartOutcome } from '../pipeline/upstream.ts';
import { delivering } from './delivered.ts';
import { imageInForm, type Delivery } from './picture-forms.ts';

type View = ExchangeView<'call' | 'target' | 'reply'>;

/**
 * The pictures of all requests of a call, in the order in which they come and the form in which they go out. Resolves with the
 * first one, since until then the call may still fail as a whole, and another candidate be tried.
 * @throws GatewayError
 */
export async function streamedResult(exchange: View, call: TargetCall, delivery: Delivery): Promise<ImageResult> {
  const events = imageEvents(exchange, call, delivery);
  const first = await events.next();
  let rest: AsyncIterable<ImageEvent> | undefined = (async function* all() {
    try {
      if (first.done !== true) yield first.value;
      yield* events;
    } finally {
      // Not waited for: it may itself be waiting for the provider.
      void events.return().catch(() => {});
    }
  })();
  let read: Promise<ImageAnswer> | undefined;
  return {
    read() {
      if (read !== undefined) return read;
      if (rest === undefined) return Promise.reject(new TypeError('The pictures have been taken one by one.'));
      read = gather(rest);
      rest = undefined;
      return read;
    },
    passThrough: undefined,
    get events() {
      const taken = rest;
      if (taken === undefined) return undefined;
      return () => {
        rest = undefined;
        return taken;
      };
    },
  };
}

async function gather(events: AsyncIterable<ImageEvent>): Promise<ImageAnswer> {
  const pictures: PictureEvent[] = [];
  for await (const event of events) if (event.kind === 'completed') pictures.push(event);
  return answerOfEvents(pictures);
}

async function* imageEvents(exchange: View, call: TargetCall, delivery: Delivery): AsyncGenerator<ImageEvent, void> {
  const { reply, route, signal, target, log } = exchange;
  const failures: GatewayError[] = [];
  let completed = 0;
  for await (const step of interleaved(reply.map((outcome) => partEvents(outcome, exchange, call, delivery)))) {
    if (step.kind === 'event') {
      if (step.event.kind === 'completed') completed += 1;
      yield step.event;
      continue;
    }
    signal.throwIfAborted();
    const { error } = step;
    if (!(error instanceof GatewayError) || reply.length === 1 || route.fanout === 'all_or_nothing') throw error;
    failures.push(error);
  }
  const [failure] = failures;
  if (completed === 0 && failure !== undefined) throw failure;
  const missing = (call.parameters.n ?? 1) - completed;
  if (missing <= 0) return;
  log.warn('fewer pictures than asked for', { entity: target.entity.id, missing, errors: failures });
  yield { kind: 'missing', missing, codes: [...new Set(failures.map(({ publicCode }) => publicCode))] };
}

/** The pictures of one request. */
async function* partEvents(
  outcome: PartOutcome,
  exchange: View,
  call: TargetCall,
  delivery: Delivery,
): AsyncGenerator<PictureEvent, void> {
  const part = outcome.kind === 'pending' ? await outcome.outcome : outcome;
  if (part.kind === 'failed') throw part.error;
  const { speaksOpenAi } = exchange.target.entity.provider;
  for await (const { wire, ...event } of delivering(part, exchange, delivery.prices)) {
    const image = await imageInForm(event.image, call, exchange, delivery);
    const isAsItCame = speaksOpenAi && image === event.image;
    yield { ...event, image, ...(isAsItCame && wire !== undefined ? { wire } : {}) };
  }
}

type Step =
  { readonly kind: 'event'; readonly event: PictureEvent } | { readonly kind: 'failed'; readonly error: unknown };

/** What comes first comes first. Of each source one event at most is there before it is taken. */
async function* interleaved(sources: readonly AsyncGenerator<PictureEvent, void>[]): AsyncGenerator<Step, void> {
  const coming = new Map<number, Promise<{ readonly place: number; readonly step: Step | undefined }>>();
  const ask = (source: AsyncGenerator<PictureEvent, void>, place: number): void => {
    const step = source.next().then(
      ({ done, value }): Step | undefined => (done === true ? undefined : { kind: 'event', event: value }),
      (error: unknown): Step => ({ kind: 'failed', error }),
    );
    coming.set(
      place,
      step.then((each) => ({ place, step: each })),
    );
  };
  try {
    for (const [place, source] of sources.entries()) ask(source, place);
    while (coming.size > 0) {
      const { place, step } = await Promise.race(coming.values());
      coming.delete(place);
      if (step === undefined) continue;
      yield step;
      const source = sources[place];
      if (step.kind === 'event' && source !== undefined) ask(source, place);
    }
  } finally {
    // Not waited for: a source may be waiting for the provider, which is called off when the exchange is over.
    for (const source of sources) void source.return().catch(() => {});
  }
}
