import type { ImagePayload } from '../images/payload.ts';
import type { JsonValue } from '../json.ts';

/** What is asked of a model: a picture from words, or from words and pictures. Spelt as in the file. */
export type Operation = 'generation' | 'edition';

/** The form in which the caller wants its pictures. `b64_ephemeral` is `b64_json` of which the gateway keeps nothing. */
export type ResponseFormat = 'url' | 'b64_json' | 'b64_ephemeral';

/** The parameters that say what the picture should be like. Absent means: the caller did not say. */
export interface ImageParameters {
  /** Number of pictures, 1 or more. */
  readonly n?: number | undefined;
  /** `auto`, or `WIDTHxHEIGHT` in pixels. */
  readonly size?: string | undefined;
  readonly quality?: string | undefined;
  readonly style?: string | undefined;
  readonly background?: string | undefined;
  readonly moderation?: string | undefined;
  /** `png`, `jpeg` or `webp`; other names are a provider's own. */
  readonly outputFormat?: string | undefined;
  /** Percent, 0 to 100. */
  readonly outputCompression?: number | undefined;
  readonly inputFidelity?: string | undefined;
  /** The caller's own id of its end user, opaque to us. */
  readonly user?: string | undefined;
  readonly seed?: number | undefined;
}

/** The parameters as they are spelt on the wire, for headers, errors and tables. */
export const wireNames = {
  n: 'n',
  size: 'size',
  quality: 'quality',
  style: 'style',
  background: 'background',
  moderation: 'moderation',
  outputFormat: 'output_format',
  outputCompression: 'output_compression',
  inputFidelity: 'input_fidelity',
  user: 'user',
  seed: 'seed',
} as const satisfies Record<keyof ImageParameters, string>;

/** A picture that the caller sent. */
export type InputImage = UploadedImage | ProviderFile;

export interface UploadedImage {
  readonly kind: 'image';
  readonly payload: ImagePayload;
  /** By the magic number of the bytes, never by what the caller declared. Unknown for a link not yet fetched. */
  readonly mediaType: string | undefined;
}

/** OpenAI's `file_id`: a picture that lies with the provider already. */
export interface ProviderFile {
  readonly kind: 'provider-file';
  readonly id: string;
}

/** What holds for every picture that a caller sends, those behind links included, which are looked at when they are fetched. */
export interface InputRules {
  /** The most pixels that a picture may claim to have. */
  readonly maxPixels: number;
  /** Whether pictures are sent on without their metadata. */
  readonly stripMetadata: boolean;
}

/** A request for pictures, independent of the form in which it came and of the provider that will serve it. */
export interface ImageCall {
  readonly operation: Operation;
  /** As the caller wrote it: alias, `entity/model`, bare model, or nothing. */
  readonly model: string | undefined;
  readonly prompt: string | undefined;
  readonly images: readonly InputImage[];
  readonly mask: InputImage | undefined;
  readonly inputRules: InputRules;
  readonly parameters: ImageParameters;
  readonly responseFormat: ResponseFormat | undefined;
  readonly stream: boolean;
  readonly partialImages: number | undefined;
  /** Models to try when the first fails, in the caller's order. */
  readonly fallbacks: readonly string[];
  /** Members that the gateway does not know, for providers of the OpenAI dialect. */
  readonly unknown: Readonly<Record<string, JsonValue>>;
}

/** A call as one provider will get it: model resolved, the entity's own options filled in. */
export interface TargetCall extends ImageCall {
  readonly model: string;
}
