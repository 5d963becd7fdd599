import schema from '../../schemas/stages/parse.schema.json' with { type: 'json' };
import { createDataUriReader, InvalidDataUri, isDataUri, type ByteSink } from '../body/data-uri.ts';
import { JsonScanError, scanJson } from '../body/json-scan.ts';
import { readMultipart } from '../body/multipart.ts';
import { createSpool, type Spool } from '../body/spool.ts';
import { GatewayError } from '../errors.ts';
import type { ParseConfig } from '../generated/stages/parse.ts';
import { isJsonObject } from '../json.ts';
import type { ImageCall, InputImage, InputRules } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { defineStage, type PictureFetcher, type SpoolSettings, type StageEnv } from '../pipeline/stage.ts';
import { draftCall, isPictureMember, type CallMembers } from './call-members.ts';
import { isPicturePart, pictureParam, TakenPicture, type PictureSource } from './call-pictures.ts';
import { formMembers } from './form-members.ts';
import { createPictureCheck, type PictureParam } from './picture-check.ts';

/**
 * Body → canonical call, whether it came as JSON or as a form, with pictures as files, links or data URIs. Pictures are
 * taken in as bytes while they arrive, large ones into temporary files that are gone when the exchange is over. Links are
 * only judged here: they are followed once it is known that the call may be made.
 */
export const parse = defineStage({
  name: 'parse',
  schema,
  reads: [],
  writes: ['call'],
  create: createParser,
  // Nobody but the caller is needed to understand its body.
  explain(config: ParseConfig, env) {
    const parse = createParser(config, env);
    return (exchange) => parse(exchange);
  },
});

function createParser(
  { max_images: maxImages, max_pixels: maxPixels, strip_metadata: stripMetadata }: ParseConfig,
  env: StageEnv,
): (exchange: Exchange) => Promise<{ readonly call: ImageCall }> {
  const rules: InputRules = { maxPixels, stripMetadata };
  return async function parse(exchange) {
    const taking: Taking = { exchange, rules, spool: env.spool, pictures: env.pictures };
    const draft = draftCall(await readMembers(taking), exchange.route, maxImages);
    const images: InputImage[] = [];
    for (const source of draft.images) images.push(await resolvePicture(source, taking));
    const mask = draft.mask === undefined ? undefined : await resolvePicture(draft.mask, taking);
    return { call: { ...draft.call, images, mask, inputRules: rules } };
  };
}

interface Taking {
  readonly exchange: Exchange;
  readonly rules: InputRules;
  readonly spool: SpoolSettings;
  readonly pictures: PictureFetcher;
}

/** The largest JSON around the pictures. */
const maxSkeletonBytes = 1024 * 1024;
const maxJsonDepth = 32;
/** Far more than any call has; how many pictures it may have is checked, and said, by name. */
const maxParts = 256;
/** Base64 text of a picture shorter than this is an ordinary string of the document. */
const longTextBytes = 1024;

async function readMembers(taking: Taking): Promise<CallMembers> {
  const { 'content-type': contentType = 'application/json', 'content-encoding': coding = 'identity' } =
    taking.exchange.request.headers;
  if (coding.toLowerCase() !== 'identity') {
    throw new GatewayError(
      'unsupported_media_type',
      'The body is compressed, as its `content-encoding` says; bodies are taken as they are only.',
    );
  }
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
        isPictureMember(member) && isDataUri(head) ? dataUriSink(pictureParam(member), taking) : undefined,
    });
  } catch (error) {
    if (error instanceof JsonScanError) throw new GatewayError('invalid_json', error.message);
    throw error;
  }
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
    openFile({ name }) {
      // A part of another name is refused for its name, whatever is in it.
      return isPicturePart(name) ? pictureSink(pictureParam(name), taking) : ignored;
    },
    openLongField: (name, head) =>
      isPicturePart(name) && isDataUri(head) ? dataUriSink(pictureParam(name), taking) : undefined,
  });
  return formMembers(form);
}

/** For what is not looked at. */
const ignored: ByteSink<undefined> = {
  write: () => Promise.resolve(),
  finish: () => Promise.resolve(undefined),
  discard: () => Promise.resolve(),
};

/** Takes a picture's bytes in. Its writing and finishing throw GatewayError invalid_image, payload_too_large, overloaded. */
function pictureSink(param: PictureParam, taking: Taking): ByteSink<TakenPicture> {
  const spool = openSpool(taking);
  const check = createPictureCheck(param, taking.rules);
  return {
    async write(chunk) {
      check.see(chunk);
      await spool.write(chunk);
    },
    finish: async () => new TakenPicture(await check.admit(await spool.finish())),
    discard: () => spool.discard(),
  };
}

/** Takes in the picture that a data URI stands for, piece by piece. */
function dataUriSink(param: PictureParam, taking: Taking): ByteSink<TakenPicture> {
  const reader = createDataUriReader(pictureSink(param, taking));
  const asInvalidImage = async <Value>(work: Promise<Value>): Promise<Value> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof InvalidDataUri)) throw error;
      throw new GatewayError('invalid_image', error.message, { param });
    }
  };
  return {
    write: (slice) => asInvalidImage(reader.write(slice)),
    finish: () => asInvalidImage(reader.finish()),
    discard: () => reader.discard(),
  };
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
  switch (source.kind) {
    case 'taken':
      return source.image;
    case 'data-uri': {
      const sink = dataUriSink(source.param, taking);
      for (const slice of source.slices) await sink.write(slice);
      return (await sink.finish()).image;
    }
    case 'link':
      checkLink(source, taking);
      return { kind: 'image', payload: { kind: 'link', url: source.url, trust: 'caller' }, mediaType: undefined };
    case 'provider-file':
      return { kind: 'provider-file', id: source.id };
  }
}

/** @throws GatewayError image_url_not_allowed */
function checkLink(link: PictureSource & { kind: 'link' }, { exchange, pictures }: Taking): void {
  if (!exchange.route.imageUrls) {
    const message = 'This route takes no image URLs: send the picture itself, as a file or a data URI.';
    throw new GatewayError('image_url_not_allowed', message, { param: link.param });
  }
  pictures.check(link);
}
