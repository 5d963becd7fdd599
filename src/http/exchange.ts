import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ByteSource } from '../body/byte-source.ts';
import type { Logger } from '../log.ts';
import type { AnswerRecorder, ExchangeEnd, LiveConnection, RequestHead, ReusedAnswer } from '../pipeline/exchange.ts';
import { callerLabels } from '../pipeline/caller-labels.ts';
import type { RunningExchange } from '../pipeline/run.ts';
import { anonymous, type Route } from '../pipeline/settings.ts';

/** An exchange, and the deferred work that is run when it is over. */
export interface OpenExchange {
  readonly exchange: RunningExchange;
  /** Those who write the answer down as one, if a stage has asked for it. */
  recorder(): AnswerRecorder | undefined;
  /** Runs what was deferred, last in first out, once. */
  finish(end: ExchangeEnd): Promise<void>;
}

export function openExchange(given: {
  readonly id: string;
  readonly startedAtMs: number;
  readonly route: Route;
  readonly request: RequestHead;
  readonly body: ByteSource;
  readonly keptBody?: NonNullable<RunningExchange['keptBody']>;
  readonly job?: RunningExchange['job'];
  readonly live: LiveConnection;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly keepAlive: RunningExchange['keepAlive'];
  /** Called when the client's leaving is to end nothing any more. */
  outliveClient(): void;
}): OpenExchange {
  const due: (() => Promise<void>)[] = [];
  const recorders: AnswerRecorder[] = [];
  let reused: ReusedAnswer | undefined;
  const deferred: ((end: ExchangeEnd) => void | Promise<void>)[] = [];
  const exchange: RunningExchange = {
    ...given,
    responseHeaders: new Map(),
    attempts: [],
    gates: [],
    get reused() {
      return reused;
    },
    reuse: (answer) => void (reused = answer),
    ledgerIds: new Set(),
    budgets: [],
    timings: new Map(),
    caller: { ...anonymous, ...callerLabels(given.request.headers) },
    defer: (work) => void deferred.push(work),
    record: (recorder) => void recorders.push(recorder),
    beforeSending: (work) => void due.push(work),
    readyToSend: () => (due.length === 0 ? undefined : doAll(due)),
  };
  return {
    exchange,
    recorder: () => (recorders.length === 0 ? undefined : inTurn(recorders)),
    async finish(end) {
      for (let work = deferred.pop(); work !== undefined; work = deferred.pop()) {
        try {
          await work(end);
        } catch (error) {
          // One failed clean-up must not keep the others from running.
          given.log.error('deferred work failed', { error });
        }
      }
    },
  };
}

/** Each gets what the one before it gave. */
function inTurn(recorders: readonly AnswerRecorder[]): AnswerRecorder {
  return {
    error: (error) => recorders.reduce((given, recorder) => recorder.error(given), error),
    answer: (response, headers) => recorders.reduce((given, recorder) => recorder.answer(given, headers), response),
  };
}

/** What fails stays on the list, since nothing may be sent without it. */
async function doAll(due: (() => Promise<void>)[]): Promise<void> {
  for (let [work] = due; work !== undefined; [work] = due) {
    await work();
    due.shift();
  }
}

/** Ids that go into logs and headers as they are: printable, short, nothing to inject with. */
const saneId = /^[\w.:-]{1,128}$/;

/** The caller's own request id if it is sane, otherwise a new one. */
export function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && saneId.test(given) ? given : `req_${randomUUID().replaceAll('-', '')}`;
}

/** `path` and `query` of a request target in origin form. */
export function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const at = target.indexOf('?');
  return at < 0
    ? { path: target, query: new URLSearchParams() }
    : { path: target.slice(0, at), query: new URLSearchParams(target.slice(at + 1)) };
}
