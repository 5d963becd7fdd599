/** The contract of a stage, and the two functions that declare one. */
import type { JsonSchema } from '../json.ts';
import type { Logger } from '../log.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { BytesPayload, FilePayload, LinkPayload } from '../images/payload.ts';
import type { Secret } from '../secret.ts';
import type { Limiter } from '../stores/limiter.ts';
import type { Store } from '../stores/store.ts';
import type { Exchange, ExchangeView, RequestHead, SlotName, Slots } from './exchange.ts';
import type { Explainer, NestedExplanation } from './explain.ts';
import type { JobDesk } from './job.ts';
import type { GatewayResponse } from './response.ts';
import type { AlertWebhook, Catalogue, ForwardSettings, Route } from './settings.ts';
import type { WireJson } from './upstream.ts';

/**
 * A kind of stage: what a pipeline in the file names. `reads` and `writes` are checked twice: by the compiler, against
 * what the handler uses and returns, and when the file is loaded, against the order in which the stages stand.
 */
export interface StageDefinition<
  Reads extends SlotName = SlotName,
  Writes extends SlotName = SlotName,
  Config = unknown,
  Optional extends SlotName = never,
> {
  readonly name: string;
  /** JSON Schema (draft-07) of the stage's `config`. Its defaults are filled in before `create` is called. */
  readonly schema: JsonSchema;
  /** Slots that must be filled before this stage runs. */
  readonly reads: readonly Reads[];
  /** Slots that this stage fills. A slot that it writes without reading must still be empty. */
  readonly writes: readonly Writes[];
  /** Slots that this stage looks at when they are filled. */
  readonly optional?: readonly Optional[];
  /** Those of `optional` that a config cannot do without: they are held to the same as `reads`. */
  needs?(config: Config): readonly NoInfer<Optional>[];
  /** Slots that must still be empty: a gate that comes too late protects nothing. */
  readonly before?: readonly SlotName[];
  /**
   * Of a stage that makes jobs: whether it will make one of this request, if nothing above it refuses that. The bytes of the
   * body are then kept for it. When the job runs, all stages below run, and of those above only those that fill slots: what
   * only lets requests through has let this one through. They find `Exchange.job` then, and no credential in the request's
   * headers. Not for stages in the list of a composite.
   */
  keepsBody?(request: Pick<RequestHead, 'headers'>): boolean;
  /** On which side of a stage that makes jobs this one has to stand, since it would do nothing for them on the other. */
  readonly forJobs?: 'above' | 'below';
  /**
   * Called at load, once for each place where the stage stands. What requests can share is prepared here.
   * @throws ConfigError for what the schema cannot express
   */
  create(config: Config, env: StageEnv): StageHandler<Reads, Writes, Optional>;
  /**
   * Called when somebody asks what the stage would do, once for each question. Without it `explain` says no more than that
   * the stage runs, and the stages below see nothing of what it would fill.
   */
  explain?(config: Config, env: StageEnv): Explainer;
}

/**
 * A stage that owns a list of stages, and runs it as often as it likes. The list stands under `config.stages`; the stage's
 * schema describes its items with `{ "$ref": "../gateway.schema.json#/definitions/stage" }`.
 */
export interface CompositeDefinition<
  Reads extends SlotName = SlotName,
  Writes extends SlotName = SlotName,
  Config = unknown,
  Optional extends SlotName = never,
> extends Omit<StageDefinition<Reads, Writes, Config, Optional>, 'create' | 'explain'> {
  readonly composite: true;
  create(config: Config, env: StageEnv, nested: NestedPipeline): StageHandler<Reads, Writes, Optional>;
  /** As for any stage. @param nested the list, to be gone through once for each run that there would be */
  explain?(config: Config, env: StageEnv, nested: NestedExplanation): Explainer;
}

/** A stage of any shape, as the registry holds it. Its config has been validated before `create` is called. */
export interface AnyStage {
  readonly name: string;
  readonly schema: JsonSchema;
  readonly reads: readonly SlotName[];
  readonly writes: readonly SlotName[];
  readonly optional?: readonly SlotName[];
  needs?(config: never): readonly SlotName[];
  readonly before?: readonly SlotName[];
  keepsBody?(request: Pick<RequestHead, 'headers'>): boolean;
  readonly forJobs?: 'above' | 'below';
  readonly composite?: true;
  create(config: never, env: StageEnv, nested: NestedPipeline): AnyStageHandler;
  explain?(config: never, env: StageEnv, nested: NestedExplanation): Explainer;
}

export type AnyStageHandler = (exchange: ExchangeView<SlotName>) => AnyStageOutcome | Promise<AnyStageOutcome>;

export type AnyStageOutcome = void | Halt | Partial<Readonly<Slots>>;

/** What a stage does for one exchange: the slots it fills, or an early answer. It changes nothing that it was given. */
export type StageHandler<Reads extends SlotName, Writes extends SlotName, Optional extends SlotName = never> = (
  exchange: ExchangeView<Reads, Optional>,
) => StageOutcome<Writes> | Promise<StageOutcome<Writes>>;

export type StageOutcome<Writes extends SlotName> = [Writes] extends [never]
  ? void | Halt
  : Readonly<Pick<Slots, Writes>> | Halt;

/** The nested list of a composite stage. */
export interface NestedPipeline {
  /**
   * Runs the list once. Slots that it fills are empty again at the start of each run; those that it only changes are as
   * they were when a run has failed. An early answer within ends the run with the `response` slot filled.
   * @param given slots to set for this run, such as the `target` to try
   */
  run(exchange: Exchange, given?: Partial<Readonly<Slots>>): Promise<void>;
}

/** An early answer: the rest of the pipeline is not run, deferred work is. */
export class Halt {
  readonly response: GatewayResponse;

  constructor(response: GatewayResponse) {
    this.response = response;
  }
}

/** A mistake in a stage's or provider's config that only `create` can see. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** JSON pointer within the config, such as `/rules/0`; empty for the whole. */
  readonly pointer: string;

  constructor(pointer: string, message: string) {
    super(message);
    this.pointer = pointer;
  }
}

/** What a stage may use besides the exchange. */
export interface StageEnv {
  /** The route in whose pipeline the stage stands. */
  readonly route: Route;
  readonly catalogue: Catalogue;
  /** A digest of the stages that run after this one and write to slots: another one, and the same call may get another answer. */
  readonly below: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** A number from 0 up to but not including 1. */
  random(): number;
  readonly store: Store;
  /** What requests are counted in against limits. A stage with limits says so at load with `prepare`. */
  readonly limiter: Limiter;
  readonly blobs: BlobStore;
  /** Answers that are kept to be given once more, apart from the pictures. */
  readonly answers: BlobStore;
  readonly forward: Forwarder;
  readonly pictures: PictureFetcher;
  readonly services: ServiceConnector;
  readonly alerts: AlertOutbox;
  readonly jobs: JobDesk;
  readonly spool: SpoolSettings;
  /**
   * Something that outlives a reload: the same key gives the same value for as long as some snapshot uses it.
   * Put everything that the value depends on into the key.
   */
  share<Value>(key: string, create: () => Value, dispose?: (value: Value) => void | Promise<void>): Value;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a scale that only goes forward. */
  monotonic(): number;
  /** Resolves after so many milliseconds; rejects with the signal's reason when it is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** Calls back once after so many milliseconds, unless cancelled. Does not keep the process alive. */
  timer(milliseconds: number, callback: () => void): { cancel(): void };
}

/**
 * Fetches the pictures behind links, so that no link leads into the gateway's own network. What callers' links may lead to
 * is the file's to say as well, under `image_urls`. Implemented in `http/picture-fetcher.ts`.
 */
export interface PictureFetcher {
  /**
   * Whether a caller's link may be followed, as far as the link alone tells: nobody is asked.
   * @throws GatewayError image_url_not_allowed
   */
  check(link: CallerLink): void;
  /**
   * A caller's link in normal form, for a provider that fetches by itself; its host has public addresses by now.
   * @throws GatewayError image_url_not_allowed
   */
  vouch(link: CallerLink, signal: AbortSignal): Promise<string>;
  /**
   * The pictures behind a call's links, in the order of these: a few at a time, and all within one deadline. When one
   * fails, the others are given up.
   * @throws GatewayError image_url_not_allowed, invalid_image, payload_too_large; and what `see` throws
   */
  fetchAll(links: readonly WantedPicture[], options: FetchAllOptions): Promise<readonly FetchedPicture[]>;
  /**
   * The picture behind a provider's link.
   * @throws GatewayError upstream_invalid_response, upstream_timeout
   */
  fetch(link: LinkPayload, options: FetchPictureOptions): Promise<FetchedPicture>;
}

/** A link that came from a caller. */
export interface CallerLink {
  readonly url: string;
  /** The parameter that it came in, which errors name. */
  readonly param: string;
}

export interface WantedPicture extends CallerLink {
  /** Sees the picture's bytes as they come; what it throws ends the fetch. */
  see?(chunk: Uint8Array): void;
}

export interface FetchAllOptions {
  readonly signal: AbortSignal;
  /** The most bytes of all the pictures together. */
  readonly maxBytes: number;
  /** Takes the clean-up of what was spooled. */
  defer(work: () => Promise<void>): void;
}

export interface FetchPictureOptions {
  readonly signal: AbortSignal;
  /** Milliseconds in all, redirects and reading included; the fetcher has a bound of its own besides. */
  readonly patienceMs?: number;
  readonly maxBytes: number;
  /** An origin that may lie in our own network all the same: that of the entity's `base_url`. */
  readonly trustedOrigin: string | undefined;
  /** Takes the clean-up of what was spooled. */
  defer(work: () => Promise<void>): void;
}

export interface FetchedPicture {
  readonly payload: BytesPayload | FilePayload;
  /** By its magic number. */
  readonly mediaType: string;
}

/** The way to services that the file names, such as webhooks. Implemented in `http/service-client.ts`. */
export interface ServiceConnector {
  /** Connections to one origin, made when they are first needed. The file has said where they lead, which may be anywhere. */
  connect(origin: string): Service;
}

/** A service that is asked in JSON and answers in JSON. */
export interface Service {
  /**
   * Posts a document, and gives the one that comes back with a 2xx status. Follows no redirects. It asks once more only
   * when the connection breaks, so what is asked must be a question and not a deed.
   * @throws ServiceFailure, or the signal's reason
   */
  ask(question: ServiceQuestion, signal: AbortSignal): Promise<unknown>;
  /**
   * Posts a document, once, and resolves when it is answered with a 2xx status, whatever else the answer says.
   * @throws ServiceFailure, or the signal's reason
   */
  tell(message: ServiceQuestion, signal: AbortSignal): Promise<void>;
  /** Lets what is under way finish. */
  close(): Promise<void>;
}

export interface ServiceQuestion {
  /** An address on the service's origin. */
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: WireJson;
  /** Signs the request. */
  readonly signature?: ServiceSignature | undefined;
}

/**
 * https://www.standardwebhooks.com, the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`; and in one header
 * `x-pinhole-signature: t=TIMESTAMP,v1=HEX`, the HMAC-SHA256 of the timestamp, a dot and the body.
 */
export interface ServiceSignature {
  /** `whsec_` and the key in base64, or any text, whose bytes are the key. */
  readonly secret: Secret;
  /** Different for each question. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly timestamp: number;
}

/** A service that could not be reached, or gave no proper answer. The message is for the log only. */
export class ServiceFailure extends Error {
  override readonly name = 'ServiceFailure';
}

/** The way out for alerts. It outlives every reload. Implemented in `runtime/alert-outbox.ts`. */
export interface AlertOutbox {
  /**
   * Takes an alert, and returns at once. It is delivered in the background, with several tries; what cannot be delivered
   * is in the log.
   * @param id tells a receiver that it has had an alert before
   */
  post(webhook: AlertWebhook, id: string, document: WireJson): void;
}

/** Where uploads go that are too large to keep in memory. */
export interface SpoolSettings {
  readonly directory: string;
  /** Bytes of one picture kept in memory; beyond them it goes to a temporary file. */
  readonly memoryBytes: number;
}

/** The reverse proxy, for stages that hand the live connection on. Implemented in `http/forward.ts`. */
export interface Forwarder {
  /** Resolves when the exchange is over, with the status that went out. */
  forward(exchange: Exchange, settings: ForwardSettings): Promise<{ readonly status: number }>;
}

/** Declares a stage. The identity function: it is there for the types. */
export function defineStage<
  Config = unknown,
  const Reads extends SlotName = never,
  const Writes extends SlotName = never,
  const Optional extends SlotName = never,
>(definition: StageDefinition<Reads, Writes, Config, Optional>): StageDefinition<Reads, Writes, Config, Optional> {
  return definition;
}

/** Declares a stage that owns a list of stages. */
export function defineComposite<
  Config = unknown,
  const Reads extends SlotName = never,
  const Writes extends SlotName = never,
  const Optional extends SlotName = never,
>(
  definition: Omit<CompositeDefinition<Reads, Writes, Config, Optional>, 'composite'>,
): CompositeDefinition<Reads, Writes, Config, Optional> {
  return { ...definition, composite: true };
}
