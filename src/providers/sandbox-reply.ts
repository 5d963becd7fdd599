/** The sandbox as a server: writes answers in OpenAI's form. */
import type { ByteSource } from '../body/byte-source.ts';
import { bytesSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import { base64Length, encodeBase64 } from '../images/base64.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import type { SandboxOrder } from './sandbox-request.ts';

const encoder = new TextEncoder();

/** What one picture counts for, by quality; for 1024x1024 and the two sizes that OpenAI's table has besides. */
const outputTokens: Readonly<Record<SandboxOrder['paintQuality'], Readonly<Record<string, number>>>> = {
  low: { '1024x1024': 272, '1024x1536': 408, '1536x1024': 400 },
  medium: { '1024x1024': 1056, '1024x1536': 1584, '1536x1024': 1568 },
  high: { '1024x1024': 4160, '1024x1536': 6240, '1536x1024': 6208 },
};

/** What OpenAI counts for an input picture of 1024x1024: 65, and 129 for each of its four tiles. */
const inputImageTokens = 581;
const lettersPerToken = 4;

/**
 * OpenAI's images response. The pictures are written as base64 while the body is read.
 * @param pictures the finished files
 */
export function picturesReply(
  order: SandboxOrder,
  pictures: readonly Uint8Array[],
  form: 'b64_json' | 'url',
  nowSeconds: number,
): UpstreamReply {
  const { background, format, quality, width, height } = order;
  const head = { created: nowSeconds, background, output_format: format, quality, size: `${width}x${height}` };
  const opening = form === 'url' ? `{"url":"data:image/${format};base64,` : '{"b64_json":"';
  const before = encoder.encode(`${JSON.stringify(head).slice(0, -1)},"data":[${opening}`);
  const between = encoder.encode(`"},${opening}`);
  const after = encoder.encode(`"}],"usage":${JSON.stringify(usageOf(order, pictures.length))}}`);
  const length =
    before.byteLength +
    between.byteLength * (pictures.length - 1) +
    pictures.reduce((sum, picture) => sum + base64Length(picture.byteLength), 0) +
    after.byteLength;
  async function* write(): AsyncGenerator<Uint8Array> {
    for (const [index, picture] of pictures.entries()) {
      yield index === 0 ? before : between;
      yield* encodeBase64([picture]);
    }
    yield after;
  }
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'content-length': String(length) },
    body: { length, cancel() {}, [Symbol.asyncIterator]: write },
  };
}

/** A picture of a streamed answer. */
export interface StreamedPicture {
  readonly picture: Uint8Array;
  /** Which of the unfinished ones it is; undefined for a finished one. */
  readonly partial: number | undefined;
  /** How many pictures are finished by now. */
  readonly finished: number;
}

/** OpenAI's events. Each is written when its picture is there. */
export function eventsReply(
  order: SandboxOrder,
  pictures: AsyncIterable<StreamedPicture>,
  nowSeconds: number,
): UpstreamReply {
  const { background, format, quality, width, height } = order;
  const about = order.inputs.length > 0 ? 'image_edit' : 'image_generation';
  const common = { created_at: nowSeconds, background, output_format: format, quality, size: `${width}x${height}` };
  async function* write(): AsyncGenerator<Uint8Array> {
    for await (const { picture, partial, finished } of pictures) {
      const type = `${about}.${partial === undefined ? 'completed' : 'partial_image'}`;
      const own =
        partial === undefined
          ? { usage: usageOf(order, finished, order.partialImages) }
          : { partial_image_index: partial };
      yield encoder.encode(`event: ${type}\ndata: {"type":"${type}","b64_json":"`);
      yield* encodeBase64([picture]);
      yield encoder.encode(`",${JSON.stringify({ ...common, ...own }).slice(1)}\n\n`);
    }
  }
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8' },
    body: { length: undefined, cancel() {}, [Symbol.asyncIterator]: write },
  };
}

/** OpenAI's guide: each unfinished picture takes 100 tokens. */
const partialTokens = 100;

/** @param n how many pictures were made @param partials how many unfinished ones before each */
function usageOf({ prompt, width, height, paintQuality, inputs, mask }: SandboxOrder, n: number, partials = 0): object {
  const text = Math.ceil(prompt.length / lettersPerToken);
  const inputImages = (inputs.length + (mask === undefined ? 0 : 1)) * inputImageTokens;
  const known = outputTokens[paintQuality];
  const square = known['1024x1024'] ?? 0;
  const finished = known[`${width}x${height}`] ?? Math.max(1, Math.round((square * width * height) / (1024 * 1024)));
  const each = finished + partials * partialTokens;
  return {
    total_tokens: text + inputImages + each * n,
    input_tokens: text + inputImages,
    output_tokens: each * n,
    input_tokens_details: { text_tokens: text, image_tokens: inputImages },
    output_tokens_details: { image_tokens: each * n, text_tokens: 0 },
  };
}

/** OpenAI's error document. */
export function errorReply(
  status: number,
  error: { readonly message: string; readonly code: string; readonly param?: string },
): UpstreamReply {
  const type = status === 429 ? 'rate_limit_error' : status >= 500 ? 'server_error' : 'invalid_request_error';
  const { message, code, param = null } = error;
  const body = encoder.encode(JSON.stringify({ error: { message, type, param, code } }));
  return {
    status,
    headers: { 'content-type': 'application/json', ...(status === 429 ? { 'retry-after': '1' } : {}) },
    body: bytesSource(body),
  };
}

/** What a reader of the connection sees when the other side resets it. */
export function brokenConnection(): GatewayError {
  return new GatewayError('upstream_error', 'The connection to the provider broke.', { retry: false });
}

/** The same pictures, until the connection breaks after so many of them. */
export async function* cutPictures(
  pictures: AsyncIterable<StreamedPicture>,
  count: number,
): AsyncGenerator<StreamedPicture> {
  let sent = 0;
  if (count > 0) {
    for await (const picture of pictures) {
      yield picture;
      sent += 1;
      if (sent === count) break;
    }
  }
  throw brokenConnection();
}

/** The same body, until the connection breaks. @param fraction of it that still arrives, 0 to 1 */
export function cutBody(body: ByteSource, fraction: number): ByteSource {
  let left = Math.floor((body.length ?? 0) * fraction);
  async function* writeUntilCut(): AsyncGenerator<Uint8Array> {
    if (left > 0) {
      for await (const chunk of body) {
        yield chunk.subarray(0, left);
        left -= chunk.byteLength;
        if (left <= 0) break;
      }
    }
    throw brokenConnection();
  }
  return { length: body.length, cancel: () => body.cancel(), [Symbol.asyncIterator]: writeUntilCut };
}
