/**
 * The contract between the gateway and an image provider. A provider is a codec: it turns calls into wire requests and
 * wire answers into pictures. It does not send, wait, retry, read a clock or touch the network; dispatch does that,
 * once for all vendors. All functions may be called again for the same call, and concurrently.
 */
import type { Operation, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import type { GatewayError } from '../errors.ts';
import type { JsonSchema } from '../json.ts';
import type { Secret } from '../secret.ts';

/** A kind of provider: what `provider:` in the file names. Pure data and one factory. */
export interface ProviderDefinition<Config = never> {
  readonly name: string;
  /** Other names for the same thing, such as `x-ai` for `grok`. */
  readonly aliases: readonly string[];
  /** JSON Schema (draft-07) of the entity's `config`: `connection` and `options`. */
  readonly schema: JsonSchema;
  /** Whether an entity without a token can work. If not, such an entity is inactive. */
  readonly tokenOptional: boolean;
  /**
   * Called at load, once for each entity. Prepare here whatever requests can share.
   * @param config the entity's, valid against the schema, with defaults; `connection.token` is always empty: dispatch has the tokens
   * @throws ConfigError for what the schema cannot express
   */
  create(config: Config): Provider;
}

export interface Provider {
  /** The origin that the entity's connection pool is opened to; undefined when `answer` does the work. */
  readonly origin: string | undefined;

  /** Further names under which callers may mean this provider in `name/model`. */
  readonly names?: readonly string[];

  /** What this provider does for one model. */
  capabilities(model: string): ProviderCapabilities;

  /**
   * The wire request for a call. Only the operation that `capabilities` promises is asked for.
   * @throws GatewayError invalid_value, unsupported_parameter, … for what this provider cannot express
   */
  encode(call: TargetCall): EncodedCall;

  /** Headers that carry the credential. */
  authorise(token: Secret | undefined): Readonly<Record<string, string>>;

  /**
   * The pictures in a 2xx answer.
   * @throws GatewayError upstream_invalid_response; content_policy_violation for a refusal that came as a 200
   */
  decode(reply: UpstreamReply, call: TargetCall): Promise<ImageAnswer>;

  /** What an answer with another status than 2xx means for the caller. */
  fault(reply: UpstreamReply): Promise<GatewayError>;

  /** Whether a 2xx answer to this call is already OpenAI's images response, fit to be sent on unchanged. */
  readonly speaksOpenAi: boolean;

  /** For a provider that needs no network: called by dispatch in place of sending. */
  answer?(request: WireRequest, context: LocalContext): Promise<UpstreamReply>;
}

/** What a provider without a network may use. */
export interface LocalContext {
  readonly signal: AbortSignal;
  /** Resolves after so many milliseconds; rejects when the signal is aborted. */
  sleep(milliseconds: number): Promise<void>;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
}

export interface ProviderCapabilities {
  /** The operations that this model has. */
  readonly operations: readonly Operation[];
  /** The most pictures that one request can ask for. */
  readonly maxImages: number;
  /** The form in which pictures come when nothing is said about it. */
  readonly nativeForm: 'url' | 'b64_json' | 'unknown';
}

export interface EncodedCall {
  readonly request: WireRequest;
  /** Parameters that the provider cannot take and that were left out, in wire spelling. */
  readonly dropped: readonly string[];
}

/** Declares a provider. The identity function: it is there for the types. */
export function defineProvider<Config>(definition: ProviderDefinition<Config>): ProviderDefinition<Config> {
  return definition;
}
