import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ByteSource } from '../body/byte-source.ts';
import type { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { BytesPayload, FilePayload } from '../images/payload.ts';
import type { ImageCall } from './call.ts';
import type { RunningJob } from './job.ts';
import type { PriceQuestion } from './prices.ts';
import type { BodyResponse, GatewayResponse } from './response.ts';
import type { ImageResult, ImageUsage } from './result.ts';
import type { Caller, Route, Target } from './settings.ts';
import type { PartOutcome, UpstreamPart } from './upstream.ts';

/**
 * What stages hand to each other. A stage names the slots it reads and writes; the compiler holds it to them and loading
 * the file checks that every slot is filled before it is read. An extension may add slots of its own by declaration merging.
 */
export interface Slots {
  /** Who is calling. Given from the start as the anonymous caller; `authenticate` writes it. */
  caller: Caller;
  /** What is asked, in canonical form. */
  call: ImageCall;
  /** What could serve the call, best first, never empty. */
  candidates: readonly Target[];
  /** What will serve the call: the first candidate, or the one that a composite stage is trying. */
  target: Target;
  /** The provider's wire requests, one unless the call is fanned out. */
  upstream: readonly UpstreamPart[];
  /** What became of them, in the order of `upstream`. At least one was answered. */
  reply: readonly PartOutcome[];
  /** The pictures, in canonical form. */
  result: ImageResult;
  /** What goes back to the caller. */
  response: GatewayResponse;
}

export type SlotName = keyof Slots;

/** Slots that are filled before the first stage runs. */
export const givenSlots: readonly SlotName[] = ['caller'];

/** The part of a request that stages work with. */
export interface RequestHead {
  readonly method: string;
  /** The path as it came, still percent-encoded, and the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Values of the route's `:name` segments, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers: IncomingMessage['headers'];
  /** The caller's address, after `trusted_proxies` were taken off. */
  readonly remoteAddress: string;
}

/** The sockets behind an exchange, for a stage that takes the connection over. */
export interface LiveConnection {
  readonly request: IncomingMessage;
  /** How to answer: an ordinary response, or the bare socket of an upgrade request. */
  readonly answer:
    | { readonly kind: 'response'; readonly response: ServerResponse }
    | { readonly kind: 'upgrade'; readonly socket: Duplex; readonly head: Buffer };
}

/** One try at one provider, kept for the response headers, the budget and the ledger. Dispatch adds it, others complete it. */
export interface Attempt {
  readonly entity: string;
  readonly provider: string;
  readonly model: string;
  /** Milliseconds on the clock's own scale. */
  readonly startedAtMs: number;
  /** Whether the provider may have seen the call. */
  sent: boolean;
  /** The provider's HTTP status; undefined while there is none. */
  status: number | undefined;
  /** What was asked for with this request. */
  readonly question: PriceQuestion;
  /** The most that it can cost, in nano-dollars; undefined when no price is known. */
  readonly mostNanoUsd: number | undefined;
  /** Pictures delivered; undefined while that is not known. */
  images: number | undefined;
  usage: ImageUsage | undefined;
  /** What it has cost, in nano-dollars: what the provider said, else by its price. Undefined while that is not known. */
  costNanoUsd: number | undefined;
  /** When its last answer began to come; absent while there is none. */
  answeredAtMs?: number;
  endedAtMs: number | undefined;
}

/** An answer that was made for another call, and is given once more. */
export interface ReusedAnswer {
  /** `hit`: it was kept. `shared`: that call was under way at the same time. */
  readonly kind: 'hit' | 'shared';
  /** Who made it. */
  readonly entity: string;
  readonly provider: string;
  readonly model: string;
  /** What it had cost, in nano-dollars; undefined when that is not known. */
  readonly savedNanoUsd: number | undefined;
}

/** Says whether a call may be tried at a further target. @throws the signal's reason */
export type TryGate = (target: Target) => Promise<boolean>;

/** A counter of a budget that counts the call of an exchange. */
export interface CountedBudget {
  readonly id: string;
  /** What the budget has a counter for each value of, and the value; undefined: it has one for all. */
  readonly per: string | undefined;
  readonly value: string | undefined;
  /** `images`, or `usd`, which is counted in nano-dollars. */
  readonly unit: string;
  readonly limit: number;
  /** Milliseconds since 1970; infinite when the window has no end. */
  readonly windowEndMs: number;
  /**
   * What counts against the limit by now: calls that are over, what this one has come to, and the most that others under
   * way may come to. Undefined when no target is counted here that was tried.
   * @throws GatewayError overloaded
   */
  used(): Promise<number | undefined>;
}

/** One request on its way through a pipeline. Read by stages; changed only by what they return. */
export interface Exchange {
  /** The request id, the caller's own if it was sane. */
  readonly id: string;
  readonly route: Route;
  readonly request: RequestHead;
  /** The request's body, not yet read, bounded by the route's `max_size_upload`. */
  readonly body: ByteSource;
  /**
   * The bytes of the body as they were read, for a stage that has asked for them (`StageDefinition.keepsBody`). They are let
   * go when the exchange is over.
   * @throws GatewayError overloaded
   */
  keptBody?(): Promise<BytesPayload | FilePayload>;
  /** The job as which the exchange runs; absent: somebody waits for the answer. */
  readonly job?: RunningJob | undefined;
  readonly live: LiveConnection;
  /** Aborted when the client leaves (unless that is outlived), the deadline passes, or the gateway gives up draining. Every wait takes it. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Headers for the answer, whatever the answer is; lower-case names. */
  readonly responseHeaders: Map<string, string>;
  readonly attempts: Attempt[];
  /** The answer that is given once more, at no cost; undefined: there is none. */
  readonly reused: ReusedAnswer | undefined;
  /** Says that the answer is one that was made for another call. */
  reuse(answer: ReusedAnswer): void;
  /** When the request came, in milliseconds since 1970. */
  readonly startedAtMs: number;
  /**
   * Asked before a call is tried at a further target: each says whether what the call may come to there still has room
   * beside what it has come to so far.
   */
  readonly gates: TryGate[];
  /** Under which ids a stage keeps this request in the ledger. While there are none, the gateway writes a row at the end. */
  readonly ledgerIds: Set<string>;
  /** The budgets that a stage has reserved on, for whoever is to be told. */
  readonly budgets: CountedBudget[];
  /**
   * Keeps the connection of a caller alive who has asked for events: from now on a comment goes out each time that nothing
   * has for so many milliseconds. With the first one the answer has begun: its status is 200, and what fails afterwards is
   * an `error` event.
   */
  keepAlive(everyMs: number): void;
  /**
   * Registers work for afterwards. It runs exactly once, last in first out, after the last byte of the answer, whatever
   * the end was. A failure in it is logged and keeps none of the others from running.
   */
  defer(work: (end: ExchangeEnd) => void | Promise<void>): void;
  /**
   * From here on the client's leaving ends nothing: the signal is left alone, and the answer is made and read to its end.
   */
  outliveClient(): void;
  /** Has the answer written down while it goes out. Of several recorders each gets what the one before it gave. */
  record(recorder: AnswerRecorder): void;
  /** Registers what has to be done before anything goes to a provider. What it throws keeps it from being sent. */
  beforeSending(work: () => Promise<void>): void;
  /** Does what was registered and is not done yet, if there is anything. Whoever sends to a provider waits for it first. */
  readyToSend(): Promise<void> | undefined;
}

/** Writes an answer down while it goes out. */
export interface AnswerRecorder {
  /** Called with an error in which the exchange has ended. Gives the one that goes out in its place. */
  error(error: GatewayError): GatewayError;
  /**
   * Called when an answer is about to go out, that of an error included; again when it has failed on the way, with what
   * would have gone out instead. Gives the answer that goes out in its place, which is read to its end by whoever sends it.
   * @param headers those that go out with it besides its own
   */
  answer(response: BodyResponse, headers: ReadonlyMap<string, string>): BodyResponse;
}

/** How an exchange ended, for deferred work. */
export interface ExchangeEnd {
  readonly kind: 'answered' | 'failed' | 'aborted';
  /** The status that went out; 499 when the client was gone and nothing was made for it any more. */
  readonly status: number;
  /** What failed, if anything did. */
  readonly error: unknown;
}

/** What a stage sees: the exchange, and of the slots only those that it declared. */
export type ExchangeView<Reads extends SlotName, Optional extends SlotName = never> = Exchange &
  Readonly<Pick<Slots, Reads>> &
  Readonly<Partial<Pick<Slots, Optional>>>;
