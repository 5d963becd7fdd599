/**
 * The contract between the gateway and an image provider. A provider is a codec: it turns calls into wire requests and
 * wire answers into pictures. It does not send, wait, retry, read a clock or touch the network; dispatch does that,
 * once for all vendors. All functions may be called again for the same call, and concurrently.
 */
import type { MaskForm } from '../images/codecs.ts';
import type { ImageParameters, Operation, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, PictureEvent } from '../pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import type { GatewayError } from '../errors.ts';
import type { JsonSchema } from '../json.ts';
import type { Secret } from '../secret.ts';

/** A kind of provider: what `provider:` in the file names. Pure data and one factory. */
export interface ProviderDefinition<Config = never> {
  readonly name: string;
  /** Other names for the same thing, such as `x-ai` for `grok`. */
  readonly aliases: readonly string[];
  /**
   * JSON Schema (draft-07) of the entity's `config`: `connection` and `options`. Where it cannot be filled from defaults
   * alone, its `examples` hold a config that can be used: the generated tables are made from it.
   */
  readonly schema: JsonSchema;
  /** Whether an entity without a token can work. If not, such an entity is inactive. */
  readonly tokenOptional: boolean;
  /** Models known on the day this was written, for tables and warnings. Any other name is passed on to the vendor as it is. */
  readonly models: readonly KnownModel[];
  /**
   * Called at load, once for each entity. Prepare here whatever requests can share.
   * @param config the entity's, valid against the schema, with defaults; `connection.token` is always empty: dispatch has the tokens
   * @throws ConfigError for what the schema cannot express; an AggregateError of several
   */
  create(config: Config): Provider;
}

/** A model that the vendor has, or had. */
export interface KnownModel {
  /** The vendor's own name; with `*` at its end all names that begin so. */
  readonly name: string;
  /** The day on which the vendor shut it down, or will: `2026-12-01`; `2026` when no more is known. */
  readonly retired?: string;
  /** What the vendor has in its place. */
  readonly successor?: string;
}

export interface Provider {
  /** The origin that the entity's connections are opened to; undefined when `answer` does the work. */
  readonly origin: string | undefined;

  /**
   * Whether another origin is this provider's as well, so that requests with its credential may go there: a regional
   * cluster that an answer names, or the host where tokens are traded. Without it only `origin` is.
   */
  reaches?(origin: string): boolean;

  /** Further names under which callers may mean this provider in `name/model`. */
  readonly names?: readonly string[];

  /** What a model does in one operation; undefined when it has none such. Called for each request: prepare the tables before. */
  capabilities(model: string, operation: Operation): OperationCapabilities | undefined;

  /**
   * The wire request for a call. What `capabilities` does not promise is not asked for: parameters that are not in its
   * table are absent, no more pictures are wanted than `maxImages`, input pictures come as `inputs` says, and the mask in
   * the form that `mask` says.
   * @throws GatewayError invalid_value, unsupported_parameter, … for what this provider cannot express
   */
  encode(call: TargetCall): EncodedCall;

  /** Headers that carry the credential; the one that `exchange` gave, where there is such a trade. */
  authorise(token: Secret | undefined): Readonly<Record<string, string>>;

  /** For credentials that are traded for one that is valid for a while. */
  readonly exchange?: TokenExchange;

  /** For credentials that sign the request: headers to add to it, those of `authorise` included. Called once it is written. */
  sign?(request: SignableRequest, token: Secret | undefined): Promise<Readonly<Record<string, string>>>;

  /**
   * Looks at a 2xx answer and says whether the pictures are there, or what to ask next. Without it every answer is the last.
   * It must read the body of an answer that it does not hand on.
   * @throws GatewayError for a job that has failed; it is not cancelled then
   */
  poll?(reply: UpstreamReply, asked: Asked): Promise<PollOutcome>;

  /**
   * The pictures in the last 2xx answer.
   * @throws GatewayError upstream_invalid_response; content_policy_violation for a refusal that came as a 200
   */
  decode(reply: UpstreamReply, call: TargetCall): Promise<ImageAnswer>;

  /**
   * The pictures of a 2xx answer one by one, as they come; undefined for an answer that is not streamed, which `decode` reads.
   * A failure that the provider tells of is the last event. `decode` reads streamed answers as well.
   * @throws GatewayError upstream_invalid_response when iterating; whatever the body's own reading throws
   */
  events?(reply: UpstreamReply, call: TargetCall): AsyncIterable<ProviderEvent> | undefined;

  /** What an answer with another status than 2xx means for the caller. */
  fault(reply: UpstreamReply): Promise<GatewayError>;

  /** Whether a 2xx answer to this call is already OpenAI's images response, fit to be sent on unchanged. */
  readonly speaksOpenAi: boolean;

  /** For a provider that needs no network: called by dispatch in place of sending. */
  answer?(request: WireRequest, context: LocalContext): Promise<UpstreamReply>;
}

/** A picture on its way, or what the provider says has gone wrong. */
export type ProviderEvent = PictureEvent | { readonly kind: 'fault'; readonly error: GatewayError };

/** What was asked when an answer came, for `poll`. */
export interface Asked {
  readonly call: TargetCall;
  /** The request that was answered. */
  readonly request: WireRequest;
  /** What `poll` gave along with that request; undefined for the first one. */
  readonly state: unknown;
}

export type PollOutcome =
  /** The pictures are there: `decode` gets this answer, the one at hand or one made of what was read of it. */
  { readonly kind: 'done'; readonly reply: UpstreamReply } | AskAgain;

export interface AskAgain {
  readonly kind: 'again';
  /** The next request. Its credential is that of the first. */
  readonly request: WireRequest;
  /**
   * Whether it is sent at once, as the next step of a job, and fails like a first request. Otherwise it asks how far the
   * job is: it is sent after a pause, and a passing failure of it (404 in the beginning, 429, 5xx) is no failure of the job.
   */
  readonly now?: boolean;
  /**
   * Whether the pictures are made, and paid for, and this only fetches them: a passing failure is tried again, and whoever
   * asks in the end is told not to make them again.
   */
  readonly isMade?: boolean;
  /** Ends the job when nobody waits for it any more. Holds until another one is given. */
  readonly cancel?: WireRequest | undefined;
  /** Whatever the next call of `poll` has to know. With plain data, a job can be followed on by another process. */
  readonly state?: unknown;
  /** How far the job is, from 0 to 1, where the provider says so. */
  readonly progress?: number | undefined;
}

/** A trade of the configured credential for one that is valid for a while (RFC 6749 §4, RFC 7523). */
export interface TokenExchange {
  /** The request that asks for one; undefined for a credential that is used as it is. */
  request(token: Secret, nowSeconds: number): Promise<WireRequest | undefined>;
  /** @throws GatewayError upstream_invalid_response */
  read(reply: UpstreamReply): Promise<{ readonly token: Secret; readonly lifetimeMs: number }>;
}

/** A request that is about to be sent, for `sign`. */
export interface SignableRequest extends Pick<WireRequest, 'method' | 'url' | 'headers'> {
  /** SHA-256 of the body, in lower-case hexadecimal. */
  readonly bodySha256: string;
  readonly nowMs: number;
}

/** What a provider without a network may use. */
export interface LocalContext {
  readonly signal: AbortSignal;
  /** Resolves after so many milliseconds; rejects when the signal is aborted. */
  sleep(milliseconds: number): Promise<void>;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
}

/** How a provider takes a parameter: under its own meaning, or translated into what the vendor has for it. */
export type ParameterSupport = 'native' | 'mapped';

/** The parameters that a provider takes. What is absent it cannot take. */
export type SupportedParameters = { readonly [Name in keyof ImageParameters]?: ParameterSupport };

/** What one model does in one operation. */
export interface OperationCapabilities {
  /** The most pictures that one request can ask for; more are asked for in several requests at the same time. */
  readonly maxImages: number;
  /** The form in which pictures come when nothing is said about it. */
  readonly nativeForm: 'url' | 'b64_json' | 'unknown';
  readonly parameters: SupportedParameters;
  /** Members beyond OpenAI's that the vendor takes, by its own names, out of `call.unknown`; `any` passes all of them on. */
  readonly further: readonly string[] | 'any';
  /** How input pictures are taken. Absent: none are. */
  readonly inputs?: InputCapabilities | undefined;
  /**
   * How the part to change is marked: OpenAI's alpha of 0; or a grey picture of the first image's size in which it is
   * `white`, or `black`. Absent: the vendor takes no mask.
   */
  readonly mask?: MaskForm | undefined;
  /**
   * Whether the vendor gives its pictures as events, unfinished ones among them, when it is asked to. If not, `encode` gets
   * a call that does not ask for it, whatever the caller wants.
   */
  readonly streams?: boolean | undefined;
  /** The most pictures of one request whose answer comes as events; absent: `maxImages`. */
  readonly maxStreamed?: number | undefined;
  /** Whether there may be no prompt, as for upscaling. */
  readonly promptOptional?: boolean | undefined;
}

export interface InputCapabilities {
  /** The most pictures that one request can hold. */
  readonly max: number;
  /**
   * `bytes`: links are fetched before, so that no link of a caller's goes to a vendor unread. `link`, for vendors that take
   * nothing else: uploads are hosted before, and links are judged.
   */
  readonly as: 'bytes' | 'link';
  /** Whether the vendor keeps files of its own, which callers may name by id: they come as `provider-file`. */
  readonly files?: boolean;
}

export interface EncodedCall {
  readonly request: WireRequest;
  /** Values of parameters that the provider takes in general but not this one, and that were left out; in wire spelling. */
  readonly dropped: readonly string[];
}

/** Declares a provider. The identity function: it is there for the types. */
export function defineProvider<Config>(definition: ProviderDefinition<Config>): ProviderDefinition<Config> {
  return definition;
}
