/** The events in which OpenAI's images API streams its pictures. Source: OpenAI's API reference, "Image streaming". */
import type { ByteSource } from '../body/byte-source.ts';
import { isEventStream, readEventStream, type StreamedEvent } from '../body/event-stream.ts';
import type { GatewayError } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import { answerOfEvents, type EffectiveParameters, type ImageAnswer } from '../pipeline/result.ts';
import type { PictureEvent, ResultImage, WireEvent } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { readUsage } from '../pipeline/wire-usage.ts';
import {
  base64Picture,
  invalidAnswer,
  linkPicture,
  readObject,
  secondsOf,
  text,
  wholeNumber,
  type Members,
} from './answers.ts';
import { faultFrom, type FaultWords } from './faults.ts';
import type { ProviderEvent } from './provider.ts';

export interface EventSettings {
  /** What an error document says. */
  words(document: unknown, reply: UpstreamReply): FaultWords;
  /** What an event tells beyond OpenAI's members. */
  readonly told?: ((document: Members) => Pick<ImageAnswer, 'costNanoUsd'>) | undefined;
}

/** A provider's `events`, for answers in OpenAI's form. */
export function imageEvents(reply: UpstreamReply, settings: EventSettings): AsyncIterable<ProviderEvent> | undefined {
  return isEventStream(reply.headers) ? readImageEvents(reply, settings) : undefined;
}

/**
 * A streamed answer as a whole.
 * @throws GatewayError what the provider says has gone wrong; upstream_invalid_response when there is no finished picture
 */
export async function gatherEvents(events: AsyncIterable<ProviderEvent>): Promise<ImageAnswer> {
  const completed: PictureEvent[] = [];
  for await (const event of events) {
    if (event.kind === 'fault') throw event.error;
    if (event.kind === 'completed') completed.push(event);
  }
  if (completed.length === 0) throw invalidAnswer('it ended without a finished picture');
  return answerOfEvents(completed);
}

/** The last data of some streams of the dialect, which is no JSON. */
const done = '[DONE]';

async function* readImageEvents(reply: UpstreamReply, settings: EventSettings): AsyncGenerator<ProviderEvent, void> {
  for await (const event of readEventStream(reply.body)) {
    if (isDone(event)) return;
    if (isOfAnotherKind(event)) continue;
    const document = await readObject({ ...reply, body: dataOf(event) });
    const fault = faultIn(event, document, reply, settings);
    if (fault !== undefined) {
      yield { kind: 'fault', error: fault };
      return;
    }
    const picture = pictureIn(event, document, settings);
    if (picture !== undefined) yield picture;
  }
}

function isDone({ data, byteLength }: StreamedEvent): boolean {
  return byteLength === done.length && Buffer.concat(data).toString('latin1') === done;
}

/** What is in such an event need not even be JSON. */
function isOfAnotherKind({ name }: StreamedEvent): boolean {
  return name !== 'message' && name !== 'error' && !name.startsWith('image_');
}

function dataOf({ data, byteLength }: StreamedEvent): ByteSource {
  return {
    length: byteLength,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      yield* data;
    },
  };
}

/** The type stands in the data as well, and some leave the event's name out. */
function typeOf({ name }: StreamedEvent, document: Members): string {
  return text(document['type']) ?? name;
}

/** Of kinds that we do not know, such as further ones of OpenAI's, there is none. */
function pictureIn(event: StreamedEvent, document: Members, { told }: EventSettings): PictureEvent | undefined {
  const type = typeOf(event, document);
  const [, kind] = /^image_(?:generation|edit)\.(partial_image|completed)$/.exec(type) ?? [];
  if (kind === undefined) return undefined;
  const members = {
    image: imageOf(document),
    created: secondsOf(document['created_at']),
    effective: effectiveOf(document),
    // Clients go by the type in the data.
    wire: text(document['type']) === type ? wireOf(event, type) : undefined,
  };
  if (kind === 'partial_image') {
    return { kind: 'partial', ...members, index: wholeNumber(document['partial_image_index']) };
  }
  return { kind: 'completed', ...members, usage: readUsage(document['usage']), ...told?.(document) };
}

function wireOf({ data, byteLength, lines }: StreamedEvent, type: string): WireEvent | undefined {
  return lines === 1 ? { type, text: { slices: data, byteLength, escaped: true } } : undefined;
}

/** A picture of an answer in OpenAI's form. @throws GatewayError upstream_invalid_response */
export function imageOf(item: unknown): ResultImage {
  if (!isJsonObject(item)) throw invalidAnswer('a picture in it is not an object');
  const payload = base64Picture(item['b64_json']) ?? linkPicture(item['url']);
  if (payload === undefined) throw invalidAnswer('a picture in it has neither `b64_json` nor `url`');
  return { payload, revisedPrompt: text(item['revised_prompt']) };
}

/** What was really made, by a document in OpenAI's form. */
export function effectiveOf(document: Members): EffectiveParameters {
  return {
    size: text(document['size']),
    quality: text(document['quality']),
    background: text(document['background']),
    outputFormat: text(document['output_format']),
  };
}

/** An error comes as `{type: "error", error}`, as `{error}`, or as the bare error in an event of that name. */
function faultIn(
  event: StreamedEvent,
  document: Members,
  reply: UpstreamReply,
  { words }: EventSettings,
): GatewayError | undefined {
  const inner = document['error'];
  const hasInner = inner !== undefined && inner !== null;
  if (!hasInner && event.name !== 'error' && text(document['type']) !== 'error') return undefined;
  const error = hasInner ? inner : document;
  const meant = { ...reply, status: statusOf(error) };
  return faultFrom(meant, words({ error }, meant));
}

/** The status that an error would have come with, had the answer not begun already. */
function statusOf(error: unknown): number {
  if (!isJsonObject(error)) return 500;
  const told = wholeNumber(error['status']) ?? wholeNumber(error['code']);
  if (told !== undefined && told >= 400 && told < 600) return told;
  const type = text(error['type']) ?? '';
  const code = text(error['code']) ?? '';
  if (/rate_limit|insufficient_quota/.test(`${type} ${code}`)) return 429;
  if (/authentication|permission|invalid_api_key/.test(`${type} ${code}`)) return 401;
  return /^(invalid_request_error|image_generation_user_error)$/.test(type) ? 400 : 500;
}
