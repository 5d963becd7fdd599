/** A call that is made for several who ask for the same at the same time: one makes it, the others wait for its answer. */
import { toGatewayError, type GatewayError } from '../errors.ts';
import type { ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { tellsOfItself } from './answer-key.ts';
import { createAnswerRecording, type AnswerRecording } from './answer-recording.ts';
import { originOf, type Answer, type Origin } from './cached-answer.ts';
import { isFinal } from './final-error.ts';
import { isReplay } from './kept-answer.ts';

/** What has become of a call that others wait for. */
export type Landing =
  /** The answer of all. Whoever has joined lets go of it with `leave`. */
  | { readonly kind: 'answer'; readonly answer: Answer; readonly origin: Origin }
  /** The error of all: the call may have been billed, or would fail again. */
  | { readonly kind: 'error'; readonly error: GatewayError }
  /** Another one may try: what went wrong has cost nothing and may pass. `sent`: a provider has seen it. */
  | { readonly kind: 'failed'; readonly error: GatewayError; readonly sent: boolean }
  /** There is an answer, but it takes too long to go out: another one may try. */
  | { readonly kind: 'late' }
  /** There is an answer, but for one alone: each makes a call of its own. */
  | { readonly kind: 'alone' };

export interface Flight {
  /** Joins those who wait; undefined when there is nothing to wait for any more. */
  join(): Seat | undefined;
}

/** The place of one who waits. */
export interface Seat {
  /** @throws the signal's reason */
  wait(signal: AbortSignal): Promise<Landing>;
  /** Lets go of the answer; once it has gone out, or when it is not wanted any more. */
  leave(): Promise<void>;
}

/**
 * Milliseconds that others wait for an answer once it goes out: they get it when the one who makes the call has it, and that
 * client may take its time.
 */
const patienceMs = 10_000;

type View = ExchangeView<'call', 'response'>;

/**
 * Begins a flight: from now on others may join. For the exchange itself it changes nothing, but that it goes on to its end
 * when its client leaves and others wait.
 * @param closed called when nobody can join any more
 */
export function beginFlight(exchange: View, maxBytes: number, env: StageEnv, closed: (flight: Flight) => void): Flight {
  const { promise: landed, resolve: land } = Promise.withResolvers<Landing>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  let recording: AnswerRecording | undefined;
  let isOpen = true;
  let seats = 0;
  /** Those who wait, and the one who makes the call. */
  let users = 1;

  function close(): void {
    if (!isOpen) return;
    isOpen = false;
    closed(flight);
  }

  async function wait(signal: AbortSignal): Promise<Landing> {
    const landing = await patiently(landed, begun, signal, env);
    if (landing.kind === 'late') close();
    return landing;
  }

  async function leave(): Promise<void> {
    users -= 1;
    if (users === 0) await recording?.discard();
  }

  async function outcome(end: ExchangeEnd): Promise<Landing> {
    if (end.kind === 'answered') {
      const answer = await recording?.finish();
      return answer?.kind === 'answer' ? { kind: 'answer', answer, origin: originOf(exchange) } : { kind: 'alone' };
    }
    const error = toGatewayError(end.error);
    // Such as a job that was cancelled: nobody else has given up.
    if (end.kind === 'aborted') return { kind: 'failed', error, sent: false };
    if (isFinal(error, exchange.attempts)) return { kind: 'error', error };
    return { kind: 'failed', error, sent: exchange.attempts.some(({ sent }) => sent) };
  }

  const flight: Flight = {
    join() {
      if (!isOpen || exchange.signal.aborted) return undefined;
      seats += 1;
      users += 1;
      exchange.outliveClient();
      return { wait, leave };
    },
  };

  exchange.record({
    error: (error) => error,
    answer(response, headers) {
      begin();
      // A second answer is the error of the first.
      if (response.status !== 200 || recording !== undefined) return response;
      if (seats === 0 || tellsOfItself(exchange) || isReplay(response)) {
        close();
        land({ kind: 'alone' });
        return response;
      }
      recording = createAnswerRecording({ ...env.spool, maxBytes, error: (error) => error });
      return recording.answer(response, headers);
    },
  });
  exchange.defer(async (end) => {
    close();
    land(await outcome(end));
    await leave();
  });
  return flight;
}

async function patiently(
  landed: Promise<Landing>,
  begun: Promise<void>,
  signal: AbortSignal,
  { clock }: StageEnv,
): Promise<Landing> {
  const { promise: outOfPatience, resolve } = Promise.withResolvers<Landing>();
  let timer: { cancel(): void } | undefined;
  let isOver = false;
  void begun.then(() => {
    if (!isOver) timer = clock.timer(patienceMs, () => resolve({ kind: 'late' }));
  });
  try {
    return await unlessAborted(Promise.race([landed, outOfPatience]), signal);
  } finally {
    isOver = true;
    timer?.cancel();
  }
}
