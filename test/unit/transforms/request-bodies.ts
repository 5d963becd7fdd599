/** Request bodies as clients send them, and the parse stage run on one. */
import { bytesSource, type ByteSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { ImageCall, InputImage } from '../../../src/pipeline/call.ts';
import type { Route } from '../../../src/pipeline/settings.ts';
import { Halt, type PictureFetcher, type SpoolSettings } from '../../../src/pipeline/stage.ts';
import { parse } from '../../../src/transforms/parse.ts';
import { makeExchange, makeRoute, makeStageEnv, type TestExchange } from '../../fixtures/exchange.ts';

export interface SentBody {
  readonly contentType: string | undefined;
  readonly bytes: Uint8Array;
}

/** Text is a field, bytes are a file whose name and declared type say nothing. */
export type FormEntry = readonly [name: string, value: string | Uint8Array];

export function asJson(document: unknown): SentBody {
  return raw('application/json', JSON.stringify(document));
}

/** A form as the platform's own `FormData` writes it. */
export async function asForm(entries: readonly FormEntry[]): Promise<SentBody> {
  const form = new FormData();
  for (const [name, value] of entries) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value)]), 'blob');
  }
  const message = new Response(form);
  return { contentType: message.headers.get('content-type') ?? '', bytes: new Uint8Array(await message.arrayBuffer()) };
}

export function raw(contentType: string | undefined, text: string): SentBody {
  return { contentType, bytes: Buffer.from(text) };
}

/** Bytes that arrive in these pieces. */
export function piecewise(pieces: Iterable<Uint8Array>): ByteSource {
  return {
    length: undefined,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      yield* pieces;
    },
  };
}

export interface ParseOptions {
  readonly route?: Partial<Route>;
  readonly spool?: Partial<SpoolSettings>;
  readonly maxImages?: number;
  readonly maxPixels?: number;
  readonly stripMetadata?: boolean;
  readonly pictures?: Partial<PictureFetcher>;
  /** How the body arrives; in one piece unless told otherwise. */
  readonly body?: ByteSource;
}

/** Judges links by their scheme alone. */
const httpsOnly: Partial<PictureFetcher> = {
  check({ url, param }) {
    if (!url.startsWith('https://')) throw new GatewayError('image_url_not_allowed', 'not https', { param });
  },
};

/** An exchange for a body, and the stage that will parse it. */
export function prepareParse(
  { contentType, bytes }: SentBody,
  options: ParseOptions = {},
): { readonly exchange: TestExchange; readonly run: () => Promise<ImageCall> } {
  const route = makeRoute(options.route);
  const exchange = makeExchange(
    {},
    {
      route,
      body: options.body ?? bytesSource(bytes),
      request: { headers: contentType === undefined ? {} : { 'content-type': contentType } },
    },
  );
  const { pictures = httpsOnly, maxImages = 16, maxPixels = 4_000_000, stripMetadata = false } = options;
  const spool = { directory: '/nonexistent', memoryBytes: 1_048_576, ...options.spool };
  const env = makeStageEnv({ route, spool, pictures });
  const config = { max_images: maxImages, max_pixels: maxPixels, strip_metadata: stripMetadata };
  const handle = parse.create(config, env);
  return {
    exchange,
    async run() {
      const outcome = await handle(exchange);
      if (outcome instanceof Halt) throw new Error('parse never answers by itself');
      return outcome.call;
    },
  };
}

/**
 * The call that a body means, its pictures as bytes so that calls can be compared, and without the rules that come from
 * the stage's config. Everything is over afterwards.
 */
export async function parsed(body: SentBody, options: ParseOptions = {}): Promise<object> {
  const { exchange, run } = prepareParse(body, options);
  try {
    const { inputRules: _rules, ...call } = await run();
    const images = await Promise.all(call.images.map(comparable));
    return { ...call, images, mask: call.mask === undefined ? undefined : await comparable(call.mask) };
  } finally {
    await exchange.finish();
  }
}

async function comparable(image: InputImage): Promise<object> {
  if (image.kind === 'provider-file' || image.payload.kind === 'link') return image;
  const bytes = Buffer.from(await collectPayload(image.payload, 64 * 1024 * 1024));
  return { bytes, mediaType: image.mediaType };
}
