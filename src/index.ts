/**
 * The public door: what extensions build on, and what a program needs that embeds a gateway. Everything else in this
 * package may change without notice.
 */
export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts';
export { GatewayError, type ErrorCode, type ErrorDetails } from './errors.ts';
export type { JsonObject, JsonSchema, JsonValue } from './json.ts';
export type { Logger, LogFields } from './log.ts';
export { bytesSource, collect, type ByteSource } from './body/byte-source.ts';
export { collectPayload, payloadBytes } from './images/convert-payload.ts';
export type { ImagePayload } from './images/payload.ts';
export { sniffMediaType } from './images/probe.ts';
export type { ImageCall, ImageParameters, InputImage, Operation, TargetCall } from './pipeline/call.ts';
export type { Attempt, Exchange, ExchangeEnd, SlotName, Slots } from './pipeline/exchange.ts';
export type { Extension } from './pipeline/registry.ts';
export { jsonResponse, type GatewayResponse } from './pipeline/response.ts';
export {
  completeResult,
  type ImageAnswer,
  type ImageEvent,
  type ImageResult,
  type ResultImage,
} from './pipeline/result.ts';
export type { Caller, Consumer, Entity, Route, Target } from './pipeline/settings.ts';
export {
  ConfigError,
  defineComposite,
  defineStage,
  Halt,
  ServiceFailure,
  type AnyStage,
  type NestedPipeline,
  type StageDefinition,
  type StageEnv,
} from './pipeline/stage.ts';
export { PictureText, type UpstreamReply, type WireBody, type WireRequest } from './pipeline/upstream.ts';
export {
  answerOf,
  base64Picture,
  invalidAnswer,
  keepReply,
  linkPicture,
  readObject,
  refusal,
} from './providers/answers.ts';
export { commonWords, faultReader, type FaultWords } from './providers/faults.ts';
export { bearer, createOpenAiDialect, type DialectSettings } from './providers/openai-dialect.ts';
export {
  defineProvider,
  type EncodedCall,
  type OperationCapabilities,
  type PollOutcome,
  type Provider,
  type ProviderDefinition,
} from './providers/provider.ts';
export { bareBase64, dataUri, getJson, linkOf, postJson } from './providers/requests.ts';
export { fittingPixels, nearestRatio, nearestSize } from './providers/sizes.ts';
