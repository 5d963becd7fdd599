import { setImmediate as nextTurn } from 'node:timers/promises';
import { Dicer } from '@fastify/busboy';
import type { GatewayError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { createFormBuilder, type FormOptions, type FormPart, type PartReader } from './form-builder.ts';
import { readParameters } from './parameters.ts';
import { checkHeaders, invalid, readPartHead, type PartHead } from './part-head.ts';

// Whoever reads a form meets these.
export type { FileInfo, FormPart, MultipartLimits, PartSink } from './form-builder.ts';

/** RFC 2046 §5.1.1. */
const longestBoundary = 70;
/** So much is given to the parser before what came of it is worked off. */
const pieceBytes = 65_536;

/**
 * Reads a multipart/form-data body. A part with a `filename` is a file, any other a field; a file with neither name nor
 * content is what a browser sends for an empty file input, and is left out. With `longTextBytes`, longer fields stay
 * bytes, or go to a sink as they come. The source is read only as fast as the sinks take what is in it. When anything fails, every sink is told to discard.
 * @param contentType the request's header, for the boundary
 * @returns the parts in the order in which they came
 * @throws GatewayError invalid_multipart, payload_too_large, with `param` where one part is at fault; and what the source
 * and the sinks throw
 */
export async function readMultipart<Content>(
  source: ByteSource,
  contentType: string,
  options: FormOptions<Content>,
): Promise<readonly FormPart<Content>[]> {
  const form = createFormBuilder(options);
  try {
    await parse(source, readBoundary(contentType), options.limits.headerPairs, (head) => form.openPart(head));
    return form.finish();
  } catch (error) {
    await form.discard();
    throw error;
  }
}

function readBoundary(contentType: string): string {
  const type = readParameters(contentType);
  if (type?.value !== 'multipart/form-data') throw invalid('its Content-Type is not one of multipart/form-data');
  const boundary = type.parameters.get('boundary') ?? '';
  if (boundary === '') throw invalid('its Content-Type has no boundary');
  if (boundary.length > longestBoundary) throw invalid(`its boundary has more than ${longestBoundary} characters`);
  return boundary;
}

/**
 * Runs the parser at the heart of busboy (whose own layer leaves out parts that it does not understand without a word), of which nothing is expected but that it does its work within the turn of the event loop in
 * which it was given bytes. Its events only note what is to be done; that is then done here, in order, one at a time. So
 * no callback of its has to come, no exception is thrown into it, and a slow sink holds up the source.
 */
async function parse(
  source: ByteSource,
  boundary: string,
  maxHeaderPairs: number,
  openPart: (head: PartHead) => PartReader,
): Promise<void> {
  // One more than allowed, as the parser drops what is beyond without a word.
  const parser = new Dicer({ boundary, maxHeaderPairs: maxHeaderPairs + 1 });
  const state = { finished: false, due: new Array<() => void | Promise<void>>() };

  parser.on('part', (part) => {
    let reader: PartReader | undefined;
    part.on('header', (headers) => {
      state.due.push(() => void (reader = openPart(readPartHead(checkHeaders(headers, maxHeaderPairs)))));
    });
    part.on('data', (chunk) => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      state.due.push(() => reader?.write(bytes));
    });
    part.on('end', () => {
      state.due.push(() => {
        if (reader === undefined) throw invalid('a part has no headers');
        return reader.end();
      });
    });
    // The parser reports the same, but a stream without a listener would end the process.
    part.on('error', () => {});
  });
  parser.on('error', () => state.due.push(() => Promise.reject(cut())));
  parser.on('finish', () => {
    state.finished = true;
  });

  const workOff = async (): Promise<void> => {
    await nextTurn();
    for (const task of state.due.splice(0)) await task();
    if (!state.finished && parser.writableLength > 0) throw invalid('its parts are not separated as they should be');
  };

  for await (const chunk of source) {
    // What follows the last boundary is to be ignored: RFC 2046 §5.1.1.
    for (let from = 0; from < chunk.byteLength && !state.finished; from += pieceBytes) {
      parser.write(chunk.subarray(from, from + pieceBytes));
      await workOff();
    }
  }
  if (!state.finished) {
    parser.end();
    await workOff();
  }
  // On some cut bodies the parser says nothing at all.
  if (!state.finished) throw cut();
}

function cut(): GatewayError {
  return invalid('it ends before its last boundary');
}
