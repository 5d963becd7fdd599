/** Signed requests to one bucket: deadlines, further tries, and what the log hears of it when the bucket fails. */
import { AwsV4Signer } from 'aws4fetch';
import type { Logger } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { S3Location } from '../s3-location.ts';
import { scrub } from '../scrub.ts';
import type { BlobContent, BlobCredentials } from './blob-store.ts';
import { wholeContent } from './whole-content.ts';

export interface S3Client {
  /**
   * Sends a request that may be sent again, as all of S3's are that we make, and tries again where that may help.
   * Whoever gets the answer reads its body or cancels it.
   * @throws S3Failure; the signal's reason; what reading the body throws
   */
  send(request: S3Request): Promise<S3Answer>;
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** Undefined: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Headers that are not signed, as somebody on the way may change them. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BlobContent;
  readonly signal?: AbortSignal | undefined;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body, in chunks, each of which must come in time. @throws S3Failure; the signal's reason */
  read(): AsyncIterable<Uint8Array>;
  /** Gives up the body. */
  cancel(): void;
}

/** A request that came to nothing. Its message is for the log. */
export class S3Failure extends Error {
  override readonly name = 'S3Failure';
  /**
   * `missing`: there is no such object. `refused`: the bucket will not do it. `unavailable`: it could not, or nobody knows;
   * the next try may succeed. `late`: it did not answer in time, and whoever waits has waited long enough.
   */
  readonly kind: 'missing' | 'refused' | 'unavailable' | 'late';

  constructor(kind: S3Failure['kind'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/** Milliseconds until an answer's headers must have come, and between two chunks of it. */
const patienceMs = 10_000;

/** Bytes a second that an upload must make, on top of that. */
const slowestUpload = 128 * 1024;

const mostTries = 3;

/** Milliseconds before the second try; each further wait is four times as long. */
const firstWaitMs = 100;

/** So much of an answer's body is looked at for what went wrong. */
const mostErrorBytes = 16 * 1024;

export interface S3ClientOptions {
  readonly location: S3Location;
  readonly credentials: BlobCredentials;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createS3Client({ location, credentials, clock, log }: S3ClientOptions): S3Client {
  /** Whether the log was told that the bucket fails. */
  let failing = false;

  function failed(failure: S3Failure): S3Failure {
    if (!failing) log.warn('the image bucket fails', { bucket: location.bucket, error: failure.message });
    failing = true;
    return failure;
  }

  function worked(): void {
    if (failing) log.info('the image bucket works again', { bucket: location.bucket });
    failing = false;
  }

  return {
    async send(request) {
      for (let tries = 1; ; tries += 1) {
        const outcome = await attempt(request);
        if (!(outcome instanceof S3Failure)) {
          worked();
          return outcome;
        }
        if (outcome.kind === 'missing') {
          worked();
          throw outcome;
        }
        if (tries === mostTries || outcome.kind !== 'unavailable') throw failed(outcome);
        await clock.sleep(firstWaitMs * 4 ** (tries - 1), request.signal ?? neverAborted);
      }
    },
  };

  /** @throws what no further try can mend: the signal's reason, and what reading the body throws */
  async function attempt(request: S3Request): Promise<S3Answer | S3Failure> {
    const controller = new AbortController();
    const deadline = createDeadline(controller, clock);
    const giveUp = (): void => controller.abort(request.signal?.reason);
    request.signal?.throwIfAborted();
    request.signal?.addEventListener('abort', giveUp, { once: true });
    const release = (): void => request.signal?.removeEventListener('abort', giveUp);
    const upload = request.body === undefined ? undefined : watchedUpload(request.body);

    try {
      deadline.start(patienceMs + ((request.body?.byteLength ?? 0) / slowestUpload) * 1000);
      const response = await fetch(addressOf(request), {
        method: request.method,
        headers: await signedHeaders(request),
        // An answer that leads elsewhere would take our signature along.
        redirect: 'manual',
        signal: controller.signal,
        ...(upload === undefined ? {} : { body: upload.stream, duplex: 'half' }),
      });
      deadline.stop();
      const answer = answerOf(response, controller, release);
      return response.ok ? answer : await refusalOf(answer, request);
    } catch (error) {
      release();
      request.signal?.throwIfAborted();
      if (upload?.failure !== undefined) throw upload.failure.error;
      return unreachable(request, error);
    } finally {
      deadline.stop();
    }
  }

  function addressOf({ key, query }: S3Request): string {
    const path = key === undefined ? '/' : `/${key}`;
    const search = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
    return location.bucketUrl + path + search;
  }

  async function signedHeaders(request: S3Request): Promise<Headers> {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const signer = new AwsV4Signer({
      method: request.method,
      url: addressOf(request),
      service: 's3',
      region: location.region,
      accessKeyId: accessKeyId.reveal(),
      secretAccessKey: secretAccessKey.reveal(),
      ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
      datetime: new Date(clock.now()).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
    });
    const { headers } = await signer.sign();
    for (const [name, value] of Object.entries(request.headers ?? {})) headers.set(name, value);
    // A picture that was packed on the way would have another length.
    headers.set('accept-encoding', 'identity');
    if (request.body !== undefined) headers.set('content-length', String(request.body.byteLength));
    return headers;
  }

  function answerOf(response: Response, controller: AbortController, release: () => void): S3Answer {
    const { status, headers, body } = response;
    return {
      status,
      headers,
      async *read() {
        const deadline = createDeadline(controller, clock);
        try {
          if (body === null) return;
          const chunks = body[Symbol.asyncIterator]();
          for (;;) {
            deadline.start(patienceMs);
            const { done, value } = await chunks.next();
            deadline.stop();
            if (done === true) return;
            yield value;
          }
        } catch (error) {
          const why: unknown = controller.signal.aborted
            ? controller.signal.reason
            : new S3Failure('unavailable', 'the answer broke off', error);
          throw why instanceof S3Failure ? failed(why) : why;
        } finally {
          deadline.stop();
          release();
          // Does nothing when all was read.
          controller.abort();
        }
      },
      cancel() {
        release();
        controller.abort();
      },
    };
  }

  async function refusalOf(answer: S3Answer, request: S3Request): Promise<S3Failure> {
    const words = await errorWords(answer);
    const region = answer.headers.get('x-amz-bucket-region');
    const hint = region === null || region === location.region ? '' : ` (the bucket is in the region ${region})`;
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const shown = scrub(words, [accessKeyId, secretAccessKey, ...(sessionToken === undefined ? [] : [sessionToken])]);
    const message = `${request.method} was answered with ${answer.status}${shown}${hint}`;
    if ([429, 500, 502, 503, 504].includes(answer.status)) return new S3Failure('unavailable', message);
    const isMissing = answer.status === 404 && request.key !== undefined && !words.startsWith(' NoSuchBucket');
    return new S3Failure(isMissing ? 'missing' : 'refused', message);
  }
}

function unreachable({ method }: S3Request, error: unknown): S3Failure {
  if (error instanceof S3Failure) return new S3Failure(error.kind, `${method}: ${error.message}`);
  // What `fetch` says is only that it failed.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new S3Failure('unavailable', `${method} got no answer: ${why}`, cause);
}

/** Code and message of S3's error document, as far as there is one. */
async function errorWords(answer: S3Answer): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of answer.read()) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > mostErrorBytes) break;
    }
  } catch {
    // Without its words the status has to do.
  }
  const code = /<Code>([\w.]{1,64})<\/Code>/.exec(text)?.[1];
  const message = /<Message>([^<]{1,300})/.exec(text)?.[1];
  return `${code === undefined ? '' : ` ${code}`}${message === undefined ? '' : `: ${message}`}`;
}

interface Upload {
  readonly stream: ReadableStream<Uint8Array>;
  /** What reading the picture threw. */
  readonly failure: { readonly error: unknown } | undefined;
}

/** A picture as a request's body that remembers whether it was the picture itself that failed. */
function watchedUpload(content: BlobContent): Upload {
  let failure: Upload['failure'];
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* wholeContent(content);
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  return {
    stream: ReadableStream.from(chunks()),
    get failure() {
      return failure;
    },
  };
}

/** Aborts what takes longer than it may. */
function createDeadline(controller: AbortController, clock: Clock): { start(ms: number): void; stop(): void } {
  let timer: { cancel(): void } | undefined;
  return {
    start(milliseconds) {
      timer = clock.timer(milliseconds, () => controller.abort(new S3Failure('late', 'no answer came in time')));
    },
    stop: () => timer?.cancel(),
  };
}

const neverAborted = new AbortController().signal;
