import schema from '../../schemas/providers/sandbox.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { SandboxConfig } from '../generated/providers/sandbox.ts';
import { paint, type PaintJob } from '../images/painter.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { createOpenAiDialect, imagesPath, ratioInPixels } from './openai-dialect.ts';
import { defineProvider, type LocalContext, type OperationCapabilities, type Provider } from './provider.ts';
import {
  brokenConnection,
  cutBody,
  cutPictures,
  errorReply,
  eventsReply,
  picturesReply,
  type StreamedPicture,
} from './sandbox-reply.ts';
import { asksForEvents, jobsOf, readOrder, SandboxRefusal, type SandboxOrder } from './sandbox-request.ts';

/**
 * Draws pictures by itself: no account, no network, no cost. It speaks the OpenAI dialect, to itself: `encode` describes
 * a request like any other, and `answer` plays the server to it. Its connection can tell it to be slow or to fail.
 */
export const sandbox = defineProvider({
  name: 'sandbox',
  aliases: [],
  schema,
  tokenOptional: true,
  models: [{ name: 'sandbox-1' }],
  create({ connection: settings }: SandboxConfig): Provider {
    const { deliver } = settings;
    const codec = createOpenAiDialect({
      url: (operation) => `sandbox:${imagesPath(operation)}`,
      // The form of the answer is the connection's choice, whatever the caller asked.
      fit: ({ responseFormat: _form, ...taken }) => ({ fitted: { ...taken, size: ratioInPixels(taken.size) } }),
    });
    const capabilities: OperationCapabilities = { ...drawing, nativeForm: deliver };
    return {
      ...codec,
      answer: (request, context) => answer(request, context, settings),
      origin: undefined,
      speaksOpenAi: true,
      capabilities: () => capabilities,
    };
  },
});

/** What a drawing can follow. */
const drawing: Omit<OperationCapabilities, 'nativeForm'> = {
  maxImages: 10,
  parameters: {
    n: 'native',
    size: 'native',
    quality: 'native',
    background: 'native',
    moderation: 'native',
    outputFormat: 'native',
    outputCompression: 'native',
    user: 'native',
    seed: 'native',
  },
  further: 'any',
  inputs: { max: 16, as: 'bytes' },
  mask: 'alpha',
  streams: true,
};

async function answer(
  request: WireRequest,
  context: LocalContext,
  settings: SandboxConfig['connection'],
): Promise<UpstreamReply> {
  const { latency, status, cut, deliver, seed } = settings;
  context.signal.throwIfAborted();
  try {
    const fails = cut === 'before_headers' || status !== undefined;
    const isStreamed = !fails && asksForEvents(request.body);
    if (latency > 0 && !isStreamed) await context.sleep(latency);
    if (cut === 'before_headers') throw brokenConnection();
    if (status !== undefined) return errorReply(status, configuredFailure(status));
    const order = await readOrder(request.body, request.url.endsWith('/edits'));
    if (isStreamed) return await stream(order, context, settings);
    const pictures = await paintAll(jobsOf(order, seed), context.signal);
    const reply = picturesReply(order, pictures, deliver, context.nowSeconds);
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

/**
 * The events of an order. Its `latency` is spread over them, and what is wrong with the order shows with the first picture,
 * so that it can be refused by a status.
 */
async function stream(
  order: SandboxOrder,
  context: LocalContext,
  { latency, cut, seed }: SandboxConfig['connection'],
): Promise<UpstreamReply> {
  const { partialImages: partials } = order;
  const jobs = jobsOf(order, seed);
  const count = jobs.length * (partials + 1);
  async function* paintOneByOne(): AsyncGenerator<StreamedPicture> {
    for (const [finished, job] of jobs.entries()) {
      for (let step = 0; step <= partials; step += 1) {
        if (latency > 0) await context.sleep(latency / count);
        const partial = step < partials ? step : undefined;
        const picture = await paint(partial === undefined ? job : { ...job, sketch: partial }, context.signal);
        yield { picture, partial, finished: partial === undefined ? finished + 1 : finished };
      }
    }
  }
  const pictures = paintOneByOne();
  const first = await pictures.next();
  async function* all(): AsyncGenerator<StreamedPicture> {
    if (first.done !== true) yield first.value;
    yield* pictures;
  }
  const sent = cut === undefined ? all() : cutPictures(all(), cut === 'after_headers' ? 0 : Math.floor(count / 2));
  return eventsReply(order, sent, context.nowSeconds);
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
