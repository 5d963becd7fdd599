/**
 * Writes pictures as OpenAI's server-sent events, each when it is there. What stands around a picture is small and made at
 * once; the picture flows in between, and no further one is asked for before the caller has taken it.
 */
import type { ByteText } from '../images/payload.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { BodyResponse, ImagesResponse } from '../pipeline/response.ts';
import { eventsOfAnswer, type ImageEvent, type ImageResult, type PictureEvent } from '../pipeline/result.ts';
import type { Clock } from '../pipeline/stage.ts';
import { writeUsage } from '../pipeline/wire-usage.ts';
import { errorEvent, eventHeaders, ping, withSilences } from './event-output.ts';
import { base64Piece, showImage, type Piece, type RenderContext, type ShownImage } from './images-response.ts';

export interface EventsContext extends Pick<RenderContext, 'call' | 'nowSeconds' | 'host'> {
  readonly clock: Clock;
  /** Milliseconds of silence before a ping; undefined: there are none. */
  readonly pingEveryMs: number | undefined;
  /** Whether the answer has begun already, with pings. */
  readonly hasBegun: boolean;
  /** The exchange's: its reason is the error to tell. */
  readonly signal: AbortSignal;
}

/**
 * The body fails as it is read as long as nothing of it has gone out, for then there can be an ordinary error; afterwards the
 * error is its last event, which `failure` gives. In the midst of an event it breaks off.
 */
export function renderEvents(
  events: AsyncIterable<ImageEvent>,
  response: ImagesResponse,
  context: EventsContext,
): BodyResponse {
  const { clock, pingEveryMs, signal } = context;
  let hasBegun = context.hasBegun;
  let isWithin = false;
  let failure: unknown;

  async function* write(): AsyncGenerator<Uint8Array, void> {
    try {
      for await (const event of withSilences(events, pingEveryMs, clock)) {
        const pieces = event === undefined ? [ping] : await eventPieces(event, response, context);
        hasBegun = true;
        isWithin = true;
        for (const piece of pieces) {
          if (piece instanceof Uint8Array) yield piece;
          else yield* piece.open();
        }
        isWithin = false;
      }
    } catch (thrown) {
      const error = toGatewayError(signal.aborted ? signal.reason : thrown);
      if (!hasBegun || isWithin || error.code === 'client_closed_request') throw thrown;
      failure = thrown;
      yield errorEvent(error);
    }
  }

  return {
    kind: 'body',
    status: 200,
    headers: eventHeaders,
    body: { length: undefined, cancel() {}, [Symbol.asyncIterator]: write },
    failure: () => failure,
  };
}

/** The pictures of a result: as they come, or one after the other where they are all there. @throws GatewayError */
export async function* eventsOfResult(result: ImageResult): AsyncGenerator<ImageEvent, void> {
  if (result.events === undefined) yield* eventsOfAnswer(await result.read());
  else yield* result.events();
}

async function eventPieces(
  event: ImageEvent,
  response: ImagesResponse,
  context: EventsContext,
): Promise<readonly Piece[]> {
  if (event.kind === 'missing') {
    const codes = event.codes.map((code) => code.replace(/[^\w.:-]/g, '_').slice(0, 64)).join(' ');
    return [ascii(`: missing=${event.missing}${codes === '' ? '' : `, codes="${codes}"`}\n\n`)];
  }
  const type = typeOf(event, context.call);
  const opening = `event: ${type}\ndata: `;
  const { wire } = event;
  if (wire?.type === type && response.form !== 'url') return [ascii(opening), textPiece(wire.text), ascii('\n\n')];
  const shown = await showImage(event.image, response, {
    ...context,
    // What is not finished is of no use for long.
    host: event.kind === 'partial' ? shortly(context.host) : context.host,
  });
  const rest = `${JSON.stringify(membersOf(event, shown, context)).slice(1)}\n\n`;
  const start = `${opening}{"type":"${type}",`;
  if (shown.value.kind === 'url') return [ascii(`${start}"url":${JSON.stringify(shown.value.url)},${rest}`)];
  return [ascii(`${start}"b64_json":"`), base64Piece(shown.value.payload), ascii(`",${rest}`)];
}

function typeOf({ kind }: PictureEvent, { operation }: ImageCall): string {
  const about = operation === 'edition' ? 'image_edit' : 'image_generation';
  return `${about}.${kind === 'partial' ? 'partial_image' : 'completed'}`;
}

/** Milliseconds for which links to unfinished pictures are good. */
const partialsKeptMs = 3_600_000;

function shortly(host: EventsContext['host']): EventsContext['host'] {
  return host === undefined ? undefined : (content, mediaType) => host(content, mediaType, partialsKeptMs);
}

/** Every member that OpenAI's event types promise, but for the type and the picture. */
function membersOf(event: PictureEvent, { format, revisedPrompt }: ShownImage, context: EventsContext): object {
  const { effective, created } = event;
  const { parameters } = context.call;
  return {
    created_at: created ?? context.nowSeconds,
    size: effective.size ?? parameters.size ?? 'auto',
    quality: effective.quality ?? parameters.quality ?? 'auto',
    background: effective.background ?? parameters.background ?? 'auto',
    output_format: format ?? effective.outputFormat ?? parameters.outputFormat ?? 'png',
    revised_prompt: revisedPrompt,
    ...(event.kind === 'partial'
      ? { partial_image_index: event.index ?? 0 }
      : { usage: event.usage === undefined ? undefined : writeUsage(event.usage) }),
  };
}

function textPiece({ slices, byteLength }: ByteText): Piece {
  return {
    length: byteLength,
    async *open() {
      yield* slices;
    },
  };
}

const ascii = (text: string): Uint8Array => Buffer.from(text);

/**
 * A signal for sending events: when the exchange is given up for another reason than that the caller has left, there is
 * a while yet to say so.
 */
export function withGrace(
  signal: AbortSignal,
  graceMs: number,
  clock: Clock,
): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  let timer: { cancel(): void } | undefined;
  const follow = (): void => {
    const { reason } = signal;
    const hasLeft = reason instanceof GatewayError && reason.code === 'client_closed_request';
    if (hasLeft) controller.abort(reason);
    else timer ??= clock.timer(graceMs, () => controller.abort(reason));
  };
  signal.addEventListener('abort', follow);
  if (signal.aborted) follow();
  return {
    signal: controller.signal,
    release() {
      timer?.cancel();
      signal.removeEventListener('abort', follow);
    },
  };
}
