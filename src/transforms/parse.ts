import schema from '../../schemas/stages/parse.schema.json' with { type: 'json' };
import { createDataUriReader, InvalidDataUri, isDataUri } from '../body/data-uri.ts';
import { JsonScanError, scanJson, type LongTextSink } from '../body/json-scan.ts';
import { readMultipart } from '../body/multipart.ts';
import { createSpool, type Spool } from '../body/spool.ts';
import { GatewayError } from '../errors.ts';
import type { ParseConfig } from '../generated/stages/parse.ts';
import { InvalidBase64 } from '../images/base64.ts';
import { isJsonObject } from '../json.ts';
import type { InputImage } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { defineStage, type SpoolSettings } from '../pipeline/stage.ts';
import { draftCall, isPictureMember, type CallMembers } from './call-members.ts';
import { identify, TakenPicture, type PictureParam, type PictureSource } from './call-pictures.ts';
import { formMembers } from './form-members.ts';

/**
 * Body → canonical call, whether it came as JSON or as a form, with pictures as files, links or data URIs. Pictures are
 * taken in as bytes while they arrive, large ones into temporary files that are gone when the exchange is over.
 */
export const parse = defineStage({
  name: 'parse',
  schema,
  reads: [],
  writes: ['call'],
  create({ max_images: maxImages }: ParseConfig, env) {
    return async function parse(exchange) {
      const taking: Taking = { exchange, spool: env.spool };
      const draft = draftCall(await readMembers(taking), exchange.route, maxImages);
      const images: InputImage[] = [];
      for (const source of draft.images) images.push(await resolvePicture(source, taking));
      const mask = draft.mask === undefined ? undefined : await resolvePicture(draft.mask, taking);
      return { call: { ...draft.call, images, mask } };
    };
  },
});

interface Taking {
  readonly exchange: Exchange;
  readonly spool: SpoolSettings;
}

/** The largest JSON around the pictures. */
const maxSkeletonBytes = 1024 * 1024;
const maxJsonDepth = 32;
/** Far more than any call has; how many pictures it may have is checked, and said, by name. */
const maxParts = 256;
/** Base64 text of a picture shorter than this is an ordinary string of the document. */
const longTextBytes = 1024;

async function readMembers(taking: Taking): Promise<CallMembers> {
  const contentType = taking.exchange.request.headers['content-type'] ?? 'application/json';
  if (/^application\/([\w.+-]+\+)?json\b/i.test(contentType)) return readJson(taking);
  if (/^multipart\/form-data\b/i.test(contentType)) return readForm(contentType, taking);
  throw new GatewayError(
    'unsupported_media_type',
    'The body must be application/json or multipart/form-data; `content-type` says something else.',
  );
}

async function readJson(taking: Taking): Promise<CallMembers> {
  const document = await readDocument(taking);
  if (!isJsonObject(document)) throw new GatewayError('invalid_json', 'The body must be a JSON object.');
  return document;
}

async function readDocument(taking: Taking): Promise<unknown> {
  try {
    return await scanJson(taking.exchange.body, {
      maxSkeletonBytes,
      maxDepth: maxJsonDepth,
      longTextBytes,
      onLongText: ([member], head) =>
        isPictureMember(member) && isDataUri(head) ? pictureSink(paramOf(member), taking) : undefined,
    });
  } catch (error) {
    if (error instanceof JsonScanError) throw new GatewayError('invalid_json', error.message);
    throw error;
  }
}

/** Takes in the picture of a data URI where it stands in the document. */
function pictureSink(param: PictureParam, taking: Taking): LongTextSink {
  const reader = createDataUriReader(openSpool(taking));
  return {
    ...reader,
    write: (slice) => asInvalidImage(param, () => reader.write(slice)),
    // Stands in the document in place of the text.
    finish: async () => new TakenPicture(await asInvalidImage(param, () => reader.finish())),
  };
}

async function readForm(contentType: string, taking: Taking): Promise<CallMembers> {
  const { route } = taking.exchange;
  const form = await readMultipart(taking.exchange.body, contentType, {
    limits: {
      fields: maxParts,
      // A field may hold a picture as a data URI; for every other one `draftCall` has a bound of its own.
      fieldBytes: route.maxUploadBytes,
      files: maxParts,
      fileBytes: route.maxUploadBytes,
      parts: maxParts,
      headerPairs: 32,
    },
    longTextBytes,
    openFile: () => openSpool(taking),
  });
  return formMembers(form);
}

/** A place for one picture, given up when the exchange is over. */
function openSpool({ exchange, spool }: Taking): Spool {
  const { maxUploadBytes } = exchange.route;
  const opened = createSpool({
    ...spool,
    maxBytes: maxUploadBytes,
    overflow: () => new GatewayError('payload_too_large', `A picture is larger than ${maxUploadBytes} bytes.`),
  });
  exchange.defer(() => opened.discard());
  return opened;
}

async function resolvePicture(source: PictureSource, taking: Taking): Promise<InputImage> {
  const { param } = source;
  switch (source.kind) {
    case 'taken':
      return asInvalidImage(param, () => identify(source.payload, param));
    case 'data-uri': {
      const reader = createDataUriReader(openSpool(taking));
      return asInvalidImage(param, async () => {
        for (const slice of source.slices) await reader.write(slice);
        return identify(await reader.finish(), param);
      });
    }
    case 'link':
      return { kind: 'image', payload: { kind: 'link', url: source.url, trust: 'caller' }, mediaType: undefined };
    case 'provider-file':
      return { kind: 'provider-file', id: source.id };
  }
}

function paramOf(member: string | number | undefined): PictureParam {
  return typeof member === 'string' && member.startsWith('mask') ? 'mask' : 'image';
}

async function asInvalidImage<Value>(param: PictureParam, take: () => Promise<Value>): Promise<Value> {
  try {
    return await take();
  } catch (error) {
    if (!(error instanceof InvalidDataUri || error instanceof InvalidBase64)) throw error;
    throw new GatewayError('invalid_image', error.message, { param });
  }
}
