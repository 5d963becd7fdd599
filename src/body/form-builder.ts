import { GatewayError } from '../errors.ts';
import { createGatherer } from './gather.ts';
import { LongText } from './long-text.ts';
import { decodeText } from './parameters.ts';
import { invalid, type PartHead } from './part-head.ts';
import { createUtf8Check } from './utf8.ts';

export interface MultipartLimits {
  readonly fields: number;
  /** Of one field. */
  readonly fieldBytes: number;
  readonly files: number;
  /** Of one file. */
  readonly fileBytes: number;
  /** Fields and files together. */
  readonly parts: number;
  /** Headers of one part. */
  readonly headerPairs: number;
}

/** What a part says about its file. None of it is to be trusted. */
export interface FileInfo {
  readonly name: string;
  /** Without folders. */
  readonly fileName: string;
  /** As declared, lower case, without parameters. */
  readonly mediaType: string | undefined;
}

/** Takes the content of a part. */
export interface PartSink<Content> {
  /** The next piece, which does not change afterwards. Nothing more is read before the promise has settled. */
  write(chunk: Uint8Array): void | Promise<void>;
  finish(): Content | Promise<Content>;
  /** The form turned out bad, before or after `finish`: let go of everything. */
  discard(): void | Promise<void>;
}

export interface FormOptions<Content> {
  readonly limits: MultipartLimits;
  /** A field of more bytes than this is kept as bytes. Without it, every field is a string. */
  readonly longTextBytes?: number | undefined;
  /** Called for each file, when its content begins. */
  openFile(info: FileInfo): PartSink<Content>;
  /**
   * Called where a field of UTF-8 has become longer than `longTextBytes`. Without a sink it is kept.
   * @param head what has come of it so far
   */
  openLongField?(name: string, head: Uint8Array): PartSink<Content> | undefined;
}

/** A part of a form. */
export type FormPart<Content> =
  | {
      readonly kind: 'field';
      readonly name: string;
      /** A long one as bytes, or what the sink made of it. */
      readonly value: string | LongText | Content;
    }
  | {
      readonly kind: 'file';
      readonly name: string;
      readonly fileName: string;
      /** As the part says, lower case, without parameters. Not to be trusted. */
      readonly declaredType: string | undefined;
      readonly content: Content;
    };

/** Takes the content of one part. One call at a time. */
export interface PartReader {
  write(chunk: Uint8Array): void | Promise<void>;
  end(): void | Promise<void>;
}

/** A form that grows part by part. */
export interface FormBuilder<Content> {
  /** @throws GatewayError payload_too_large when there are too many parts */
  openPart(head: PartHead): PartReader;
  /** The parts, in the order in which they came. */
  finish(): readonly FormPart<Content>[];
  /** Tells every sink to discard. Never rejects. */
  discard(): Promise<void>;
}

/** A form that has no parts yet. */
export function createFormBuilder<Content>(options: FormOptions<Content>): FormBuilder<Content> {
  const { limits, longTextBytes = Infinity } = options;
  // A place is taken when a part begins, so that the order is that of the form whichever content is complete first.
  const places: { part: FormPart<Content> | undefined }[] = [];
  const sinks: PartSink<Content>[] = [];
  const counts = { parts: 0, fields: 0, files: 0 };

  function count(kind: keyof typeof counts, param: string): void {
    counts[kind] += 1;
    if (counts[kind] > limits[kind])
      throw new GatewayError('payload_too_large', `The form has more than ${limits[kind]} ${kind}.`, { param });
  }

  function takePlace(): (typeof places)[number] {
    const place = { part: undefined };
    places.push(place);
    return place;
  }

  function openField({ name, charset }: PartHead): PartReader {
    count('fields', name);
    const gathered = createGatherer();
    const place = takePlace();
    let byteLength = 0;
    let sink: PartSink<Content> | undefined;

    const openSink = async (): Promise<void> => {
      sink = isUtf8(charset) ? options.openLongField?.(name, gathered.joined()) : undefined;
      if (sink === undefined) return;
      sinks.push(sink);
      for (const slice of gathered.slices()) await sink.write(slice);
    };
    return {
      write(chunk) {
        const wasLong = byteLength > longTextBytes;
        byteLength += chunk.byteLength;
        checkSize(byteLength, limits.fieldBytes, name);
        if (sink !== undefined) return sink.write(chunk);
        gathered.add(chunk);
        return byteLength > longTextBytes && !wasLong ? openSink() : undefined;
      },
      async end() {
        const value =
          sink !== undefined
            ? await sink.finish()
            : byteLength > longTextBytes
              ? longField(gathered.slices(), byteLength, charset)
              : decodeText(gathered.joined(), charset);
        if (value === undefined) throw invalid(`a part without a filename is not text in ${charset}`, name);
        place.part = { kind: 'field', name, value };
      },
    };
  }

  function openFilePart({ name, mediaType }: PartHead, fileName: string): PartReader {
    count('files', name);
    const place = takePlace();
    let sink: PartSink<Content> | undefined;
    let byteLength = 0;
    const open = (): PartSink<Content> => {
      const opened = options.openFile({ name, fileName, mediaType });
      sinks.push(opened);
      return opened;
    };
    return {
      write(chunk) {
        byteLength += chunk.byteLength;
        checkSize(byteLength, limits.fileBytes, name);
        sink ??= open();
        return sink.write(chunk);
      },
      async end() {
        if (byteLength === 0 && fileName === '') return;
        sink ??= open();
        place.part = { kind: 'file', name, fileName, declaredType: mediaType, content: await sink.finish() };
      },
    };
  }

  return {
    openPart(head) {
      count('parts', head.name);
      return head.fileName === undefined ? openField(head) : openFilePart(head, head.fileName);
    },
    finish: () => places.flatMap(({ part }) => part ?? []),
    async discard() {
      // What made the form fail is the error to report, not what cleaning up after it met.
      await Promise.allSettled(sinks.map(async (sink) => sink.discard()));
    },
  };
}

function checkSize(byteLength: number, maxBytes: number, param: string): void {
  if (byteLength > maxBytes)
    throw new GatewayError('payload_too_large', `The parameter "${param}" is larger than ${maxBytes} bytes.`, {
      param,
    });
}

/** Only in UTF-8, of which ASCII is a part: another encoding would have to be decoded. */
function longField(slices: readonly Uint8Array[], byteLength: number, charset: string): LongText | undefined {
  if (!isUtf8(charset)) return undefined;
  const check = createUtf8Check();
  const valid = slices.every((slice) => check.write(slice)) && check.end();
  return valid ? new LongText({ slices, byteLength, escaped: false }) : undefined;
}

function isUtf8(charset: string): boolean {
  return /^(utf-?8|(us-)?ascii)$/i.test(charset);
}
