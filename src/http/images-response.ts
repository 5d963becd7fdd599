/**
 * Writes the `result` slot as OpenAI's images response. The JSON around the pictures is small and made at once; the
 * pictures flow in between, as base64 bytes, and are never held whole for this.
 */
import type { ByteSource } from '../body/byte-source.ts';
import type { BlobContent } from '../blobs/blob-store.ts';
import { GatewayError } from '../errors.ts';
import {
  payloadBase64,
  payloadBase64Length,
  payloadByteLength,
  payloadContent,
  payloadHead,
} from '../images/convert-payload.ts';
import type { ImagePayload } from '../images/payload.ts';
import { magicBytes, sniffMediaType } from '../images/probe.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { Attempt, CountedBudget } from '../pipeline/exchange.ts';
import type { BodyResponse, ImagesResponse } from '../pipeline/response.ts';
import type { ImageAnswer, ResultImage } from '../pipeline/result.ts';
import { knownCost } from '../budget/usage.ts';
import { shownAmount, shownEnd } from '../budget/standing.ts';
import type { Logger } from '../log.ts';
import { formatUsd } from '../money.ts';
import { writeUsage } from '../pipeline/wire-usage.ts';

export interface RenderContext {
  readonly call: ImageCall;
  readonly attempts: readonly Attempt[];
  readonly budgets: readonly CountedBudget[];
  readonly elapsedMs: number;
  readonly nowSeconds: number;
  readonly log: Logger;
  /** Keeps a picture, no longer than `mostMs`, and gives the link to it; undefined when no route serves them. */
  readonly host: ((content: BlobContent, mediaType: string, mostMs?: number) => Promise<string>) | undefined;
}

/** A run of an answer's bytes: here already, or a picture's base64 yet to be read. */
export type Piece = Uint8Array | { readonly length: number | undefined; open(): AsyncIterable<Uint8Array> };

/** @throws GatewayError when a picture cannot be given in the form that is wanted */
export async function renderImages(
  answer: ImageAnswer,
  response: ImagesResponse,
  context: RenderContext,
): Promise<BodyResponse> {
  const shown = await Promise.all(answer.images.map((image) => showImage(image, response, context)));
  const told = { ...tell(answer, context, shown[0]?.format) };
  return {
    kind: 'body',
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: concatenated(jsonPieces(told, shown, await extraMembers(response, context))),
  };
}

/** A picture in the form in which it goes out. */
export interface ShownImage {
  readonly value:
    { readonly kind: 'url'; readonly url: string } | { readonly kind: 'base64'; readonly payload: ImagePayload };
  readonly revisedPrompt: string | undefined;
  /** `png`, `jpeg`, … by the magic number; undefined for a link. */
  readonly format: string | undefined;
}

/** @throws GatewayError when the picture cannot be given in the form that is wanted */
export async function showImage(
  image: ResultImage,
  { form }: ImagesResponse,
  { host }: Pick<RenderContext, 'host'>,
): Promise<ShownImage> {
  const { payload, revisedPrompt } = image;
  if (payload.kind === 'link') {
    if (form === 'b64_json') {
      throw new GatewayError('internal_error', 'A picture was left as a link although its bytes were asked for.');
    }
    return { value: { kind: 'url', url: payload.url }, revisedPrompt, format: undefined };
  }
  if (payloadByteLength(payload) === undefined) {
    throw new GatewayError('upstream_invalid_response', 'A picture in the provider’s answer is not base64.');
  }
  const mediaType = sniffMediaType(await payloadHead(payload, magicBytes));
  const format = mediaType?.replace(/^image\//, '');
  if (form === 'url') {
    if (host === undefined) {
      throw new GatewayError('unsupported_parameter', 'This gateway has no route that serves hosted images.', {
        param: 'response_format',
      });
    }
    const url = await host(payloadContent(payload), mediaType ?? 'application/octet-stream');
    return { value: { kind: 'url', url }, revisedPrompt, format };
  }
  return { value: { kind: 'base64', payload }, revisedPrompt, format };
}

/** What an answer tells besides its pictures. */
interface Told {
  readonly created: number;
  readonly background?: string | undefined;
  readonly output_format?: string | undefined;
  readonly quality?: string | undefined;
  readonly size?: string | undefined;
  readonly usage?: object | undefined;
}

function tell(answer: ImageAnswer, context: RenderContext, format: string | undefined): Told {
  const { effective } = answer;
  return {
    created: answer.created ?? context.nowSeconds,
    background: effective.background,
    output_format: format ?? effective.outputFormat,
    quality: effective.quality,
    size: effective.size,
    usage: answer.usage === undefined ? undefined : writeUsage(answer.usage),
  };
}

async function extraMembers(response: ImagesResponse, context: RenderContext): Promise<object> {
  return {
    ...(response.extras.includes('latency') ? { latency: Math.round(context.elapsedMs) } : {}),
    ...(response.extras.includes('cost') ? { cost: costOf(context.attempts) } : {}),
    ...(response.extras.includes('budget') ? { budget: await standingsOf(context) } : {}),
    ...(response.extras.includes('routing')
      ? {
          extra: {
            routing: {
              attempts: context.attempts.map(({ provider, entity, model, status }) => ({
                provider,
                entity,
                model,
                // Which of a vendor's regions answered is known to nobody here; who reads the member finds it.
                region: null,
                status: status ?? null,
              })),
            },
          },
        }
      : {}),
  };
}

/** How the budgets stand; undefined when that cannot be told, which is no reason to keep pictures back. */
async function standingsOf({ budgets, log }: RenderContext): Promise<readonly object[] | undefined> {
  try {
    const standings = await Promise.all(
      budgets.map(async ({ id, per, value, unit, limit, windowEndMs, used }): Promise<readonly object[]> => {
        const amount = await used();
        if (amount === undefined) return [];
        return [
          {
            id,
            per,
            value,
            unit,
            used: shownAmount(unit, amount),
            limit: shownAmount(unit, limit),
            remaining: shownAmount(unit, Math.max(0, limit - amount)),
            window_end: shownEnd(windowEndMs),
          },
        ];
      }),
    );
    return standings.flat();
  } catch (error) {
    log.error('an answer goes out without its budgets', { error });
    return undefined;
  }
}

/** Dollars, as far as the providers told; undefined when one of them did not. */
function costOf(attempts: readonly Attempt[]): number | undefined {
  const cost = knownCost(attempts);
  return cost === undefined ? undefined : Number(formatUsd(cost));
}

function jsonPieces(told: Told, shown: readonly ShownImage[], extras: object): Piece[] {
  const { usage, ...head } = told;
  const images = shown.flatMap((image, index): Piece[] => [
    ...(index === 0 ? [] : [ascii(',')]),
    ...imagePieces(image),
  ]);
  const tail = Object.entries({ usage, ...extras }).filter(([, value]) => value !== undefined);
  return [
    ascii(`${JSON.stringify(head).slice(0, -1)},"data":[`),
    ...images,
    ascii(`]${tail.map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`).join('')}}`),
  ];
}

function imagePieces({ value, revisedPrompt }: ShownImage): Piece[] {
  const revised = revisedPrompt === undefined ? '' : `,"revised_prompt":${JSON.stringify(revisedPrompt)}`;
  if (value.kind === 'url') return [ascii(`{"url":${JSON.stringify(value.url)}${revised}}`)];
  return [ascii('{"b64_json":"'), base64Piece(value.payload), ascii(`"${revised}}`)];
}

export function base64Piece(payload: ImagePayload): Piece {
  return { length: payloadBase64Length(payload), open: () => payloadBase64(payload) };
}

const ascii = (text: string): Uint8Array => Buffer.from(text);

function concatenated(pieces: readonly Piece[]): ByteSource {
  const lengths = pieces.map((piece) => (piece instanceof Uint8Array ? piece.byteLength : piece.length));
  const known = lengths.every((length) => length !== undefined);
  return {
    length: known ? lengths.reduce((sum, length) => sum + (length ?? 0), 0) : undefined,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      for (const piece of pieces) {
        if (piece instanceof Uint8Array) yield piece;
        else yield* piece.open();
      }
    },
  };
}
