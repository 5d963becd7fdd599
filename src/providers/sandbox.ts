import schema from '../../schemas/providers/sandbox.schema.json' with { type: 'json' };
import { bytesSource } from '../body/byte-source.ts';
import { JsonScanError, LongText, scanJson } from '../body/json-scan.ts';
import { GatewayError } from '../errors.ts';
import type { SandboxConfig } from '../generated/providers/sandbox.ts';
import { paint, type PaintJob } from '../images/painter.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, ResultImage } from '../pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { createOpenAiDialect, type DialectParameters } from './openai-dialect.ts';
import { defineProvider, type LocalContext, type Provider } from './provider.ts';
import { brokenConnection, cutBody, errorReply, picturesReply } from './sandbox-reply.ts';
import { jobsOf, readOrder, SandboxRefusal } from './sandbox-request.ts';

/**
 * Draws pictures by itself: no account, no network, no cost. It speaks the OpenAI dialect, to itself: `encode` describes
 * a request like any other, and `answer` plays the server to it. Its connection can tell it to be slow or to fail.
 */
export const sandbox = defineProvider({
  name: 'sandbox',
  aliases: [],
  schema,
  tokenOptional: true,
  create({ connection: settings }: SandboxConfig): Provider {
    const { deliver } = settings;
    const codec = createOpenAiDialect({
      baseUrl: 'sandbox:',
      headers: {},
      fit: (asked, call) => fit(asked, { call, deliver }),
    });
    return {
      ...codec,
      decode: (reply, call) =>
        deliver === 'url' && takesLinks(call)
          ? decodeLinks(reply, (short) => codec.decode(short, call))
          : codec.decode(reply, call),
      answer: (request, context) => answer(request, context, settings),
      origin: undefined,
      speaksOpenAi: true,
      capabilities: () => ({ operations: ['generation', 'edition'], maxImages: 10, nativeForm: deliver }),
    };
  },
});

/** Events have no links in them. */
function takesLinks({ responseFormat, stream }: TargetCall): boolean {
  return !stream && (responseFormat === undefined || responseFormat === 'url');
}

interface Form {
  readonly call: TargetCall;
  readonly deliver: 'b64_json' | 'url';
}

/** Base64 is asked for where links would come; the other way round, the gateway makes links of it. */
function fit(
  { style, inputFidelity, ...taken }: DialectParameters,
  { call, deliver }: Form,
): { fitted: DialectParameters; dropped: readonly string[] } {
  const responseFormat = deliver === 'url' && !takesLinks(call) ? 'b64_json' : undefined;
  return {
    fitted: { ...taken, responseFormat },
    dropped: [...(style === undefined ? [] : ['style']), ...(inputFidelity === undefined ? [] : ['input_fidelity'])],
  };
}

async function answer(
  request: WireRequest,
  context: LocalContext,
  { latency, status, cut, deliver, seed }: SandboxConfig['connection'],
): Promise<UpstreamReply> {
  context.signal.throwIfAborted();
  if (latency > 0) await context.sleep(latency);
  if (cut === 'before_headers') throw brokenConnection();
  if (status !== undefined) return errorReply(status, configuredFailure(status));
  try {
    const order = await readOrder(request.body, request.url.endsWith('/edits'));
    const pictures = await paintAll(jobsOf(order, seed), context.signal);
    const reply = picturesReply(order, pictures, order.form ?? deliver, context.nowSeconds);
    if (cut === undefined) return reply;
    return { ...reply, body: cutBody(reply.body, cut === 'after_headers' ? 0 : 0.5) };
  } catch (error) {
    if (error instanceof SandboxRefusal) return errorReply(400, error);
    if (error instanceof GatewayError && error.code === 'invalid_image') {
      const { message, param = 'image' } = error;
      return errorReply(400, { message, code: 'invalid_image_file', param });
    }
    throw error;
  }
}

function configuredFailure(status: number): { readonly message: string; readonly code: string } {
  const message = `The sandbox was told to answer with status ${status}.`;
  if (status === 401) return { message, code: 'invalid_api_key' };
  if (status === 429) return { message, code: 'rate_limit_exceeded' };
  return { message, code: status >= 500 ? 'server_error' : 'invalid_request' };
}

/** All pictures of an order. When one fails, the others are not painted any more. */
async function paintAll(jobs: readonly PaintJob[], signal: AbortSignal): Promise<Uint8Array[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    return await Promise.all(jobs.map((job) => paint(job, either)));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

/** The JSON around the links. */
const limits = { maxSkeletonBytes: 1024 * 1024, maxDepth: 32 };

/**
 * Having no server to put pictures on, the sandbox links to them with data URIs, which the dialect takes for too long to
 * be links. They are taken out before it decodes, and put back afterwards. This is the one place where a picture is a
 * string, because a link is one; it takes an entity that was told to deliver links, and a caller who takes them.
 */
async function decodeLinks(
  reply: UpstreamReply,
  decode: (short: UpstreamReply) => Promise<ImageAnswer>,
): Promise<ImageAnswer> {
  const links = new Map<string, string>();
  let document: unknown;
  try {
    document = await scanJson(reply.body, limits);
  } catch (cause) {
    if (!(cause instanceof JsonScanError)) throw cause;
    throw new GatewayError('upstream_invalid_response', 'The sandbox’s answer is not JSON.', { cause });
  }
  const shortened = JSON.stringify(document, function shorten(name, value: unknown) {
    if (name !== 'url' || !(value instanceof LongText)) return value;
    const short = `sandbox:/pictures/${links.size}`;
    links.set(short, value.toText());
    return short;
  });
  const body = bytesSource(new TextEncoder().encode(shortened));
  const answered = await decode({ ...reply, body });
  const images = answered.images.map(function lengthen(image): ResultImage {
    const { payload, revisedPrompt } = image;
    const url = payload.kind === 'link' ? links.get(payload.url) : undefined;
    return url === undefined ? image : { payload: { kind: 'link', url, trust: 'response' }, revisedPrompt };
  });
  return { ...answered, images };
}
