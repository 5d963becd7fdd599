/**
 * Pictures as objects in an S3-compatible bucket: `expiring/NAME` for those that expire and `lasting/NAME` for the others,
 * below the prefix; answers that are kept to be given once more lie in the same way below `answers/`. Bucket and lists are strongly consistent, so several gateways may share them.
 */
import { GatewayError, OperatorError } from '../errors.ts';
import { parseS3Location } from '../s3-location.ts';
import { checkCursor, endOfExpired, hasExpired, newBlobName, parseBlobName, parseCurrentName } from './blob-name.ts';
import type { BlobName } from './blob-name.ts';
import type {
  Blob,
  BlobEntry,
  BlobPage,
  BlobStore,
  BlobStoreDefinition,
  BlobStoreSettings,
  SweepBounds,
  SweepResult,
} from './blob-store.ts';
import { createS3Client, S3Failure, type S3Answer, type S3Client } from './s3-client.ts';
import { parseObjectList, type ObjectPage } from './s3-list.ts';

/** The most that S3 lists at once. */
const mostListed = 1000;

/** Objects deleted at once. */
const deletedAtOnce = 8;

/** `s3://BUCKET/PREFIX?region=REGION&endpoint=URL&path_style=true`. */
export const s3BlobStore: BlobStoreDefinition = {
  scheme: 's3',
  open: async (location, settings) => openBucket(location, settings),
};

type Folder = 'expiring' | 'lasting';

/** A bucket, and what keys in it begin with. */
interface Bucket {
  readonly client: S3Client;
  keyOf(name: Pick<BlobName, 'name' | 'expiresAtMs'>): string;
  prefixOf(folder: Folder): string;
}

function openBucket(text: string, { clock, log, credentials, part }: BlobStoreSettings): BlobStore {
  if (credentials === undefined) throw new OperatorError('`images` is a bucket, which needs `images_credentials`.');
  const location = parseS3Location(`s3:${text}`);
  const prefix = part === undefined ? location.prefix : `${location.prefix}${part}/`;
  const prefixOf = (folder: Folder): string => `${prefix}${folder}/`;
  const bucket: Bucket = {
    client: createS3Client({ location, credentials, clock, log }),
    keyOf: ({ name, expiresAtMs }) => prefixOf(expiresAtMs === undefined ? 'lasting' : 'expiring') + name,
    prefixOf,
  };
  const closing = new AbortController();
  const background = new Set<Promise<void>>();

  /** A try at undoing what failed already: its own failure tells nothing new. */
  function removeQuietly(key: string): void {
    const removal = removeObject(bucket, key, closing.signal)
      .catch(() => undefined)
      .finally(() => background.delete(removal));
    background.add(removal);
  }

  return {
    async put(content, mediaType, options = {}) {
      const name = newBlobName(mediaType, options);
      const key = bucket.keyOf(name);
      const headers = { 'content-type': name.mediaType };
      try {
        const answer = await bucket.client.send({ method: 'PUT', key, body: content, headers, signal: options.signal });
        answer.cancel();
        return name.name;
      } catch (error) {
        // It may be there all the same, and nobody would ever learn its name.
        const isCertain =
          error instanceof S3Failure
            ? error.kind === 'refused' || error.kind === 'missing'
            : options.signal?.aborted !== true;
        if (!isCertain) removeQuietly(key);
        throw error instanceof S3Failure ? storeError(unstored, error) : error;
      }
    },

    async open(name, signal) {
      const current = parseCurrentName(name, clock.now());
      return current === undefined ? undefined : openObject(bucket, current, signal);
    },

    async remove(name) {
      const known = parseBlobName(name);
      if (known !== undefined) await guarded(unremoved, removeObject(bucket, bucket.keyOf(known)));
    },

    list: (page) => guarded(unlisted, listBucket(bucket, page, clock.now())),
    sweep: (bounds) => guarded(unremoved, sweepBucket(bucket, bounds, clock.now())),
    async close() {
      closing.abort();
      await Promise.all(background);
    },
  };
}

const storeError = (message: string, cause: S3Failure): GatewayError =>
  new GatewayError('overloaded', message, { cause });

const unstored = 'The picture cannot be stored right now.';
const unreadable = 'The picture cannot be read right now.';
const unlisted = 'The pictures cannot be listed right now.';
const unremoved = 'Pictures cannot be removed right now.';

/** A failure of the bucket as the caller may see it. */
async function guarded<Value>(message: string, work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof S3Failure ? storeError(message, error) : error;
  }
}

/**
 * Asks for the object at once: most pictures are read whole, and a HEAD before would be a second request, after which the
 * client closes its connection. What is not read is given up.
 */
async function openObject(bucket: Bucket, name: BlobName, signal: AbortSignal | undefined): Promise<Blob | undefined> {
  const closing = new AbortController();
  const reading = signal === undefined ? closing.signal : AbortSignal.any([closing.signal, signal]);
  const key = bucket.keyOf(name);
  const answer = await guarded(unreadable, unlessMissing(bucket.client.send({ method: 'GET', key, signal: reading })));
  if (answer === undefined) return undefined;
  const byteLength = Number(answer.headers.get('content-length') ?? Number.NaN);
  if (!Number.isSafeInteger(byteLength)) {
    answer.cancel();
    throw storeError(unreadable, new S3Failure('refused', 'GET was answered without a length'));
  }
  let whole: S3Answer | undefined = answer;
  return {
    mediaType: name.mediaType,
    expiresAtMs: name.expiresAtMs,
    oneCall: name.oneCall,
    etag: `"${name.name}"`,
    byteLength,
    createdAtMs: Date.parse(answer.headers.get('last-modified') ?? '') || 0,
    read({ start, end } = { start: 0, end: byteLength - 1 }) {
      const ready = start === 0 && end === byteLength - 1 ? whole : undefined;
      if (ready !== undefined) whole = undefined;
      return readObject(bucket.client, key, { start, end, ready, signal: reading });
    },
    async close() {
      closing.abort();
      answer.cancel();
    },
  };
}

interface ObjectPart {
  readonly start: number;
  readonly end: number;
  /** An answer that brings the part already. */
  readonly ready: S3Answer | undefined;
  readonly signal: AbortSignal;
}

async function* readObject(
  client: S3Client,
  key: string,
  { start, end, ready, signal }: ObjectPart,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  // No range can name no byte.
  if (start > end) return;
  const headers = { range: `bytes=${start}-${end}` };
  const answer = ready ?? (await guarded(unreadable, client.send({ method: 'GET', key, headers, signal })));
  try {
    // Some servers give more than was asked for.
    const from = answer.status === 206 ? firstByteOf(answer.headers.get('content-range'), start) : 0;
    let position = from;
    for await (const chunk of answer.read()) {
      const wanted = chunk.subarray(Math.max(0, start - position), Math.max(0, end + 1 - position));
      position += chunk.byteLength;
      if (wanted.byteLength > 0) yield wanted;
      // Behind the last byte the end of the answer is still to come, without which the connection is not free again.
      if (position > end + 1) break;
    }
    // Fewer bytes than announced must not pass for the picture.
    if (from > start || position <= end) {
      throw new S3Failure('refused', 'GET was answered with fewer bytes than asked for');
    }
  } catch (error) {
    throw error instanceof S3Failure ? storeError(unreadable, error) : error;
  } finally {
    answer.cancel();
  }
}

function firstByteOf(contentRange: string | null, fallback: number): number {
  const first = /^bytes (\d+)-/.exec(contentRange ?? '')?.[1];
  return first === undefined ? fallback : Number(first);
}

async function removeObject({ client }: Bucket, key: string, signal?: AbortSignal): Promise<void> {
  const answer = await unlessMissing(client.send({ method: 'DELETE', key, signal }));
  answer?.cancel();
}

async function unlessMissing(sent: Promise<S3Answer>): Promise<S3Answer | undefined> {
  try {
    return await sent;
  } catch (error) {
    if (error instanceof S3Failure && error.kind === 'missing') return undefined;
    throw error;
  }
}

async function listBucket(bucket: Bucket, { after, limit }: BlobPage, nowMs: number): Promise<readonly BlobEntry[]> {
  const cursor = after === undefined ? undefined : checkCursor(after);
  const entries: BlobEntry[] = [];
  const add = async (folder: Folder, from: string): Promise<void> => {
    for await (const page of pagesOf(bucket, folder, from, () => limit - entries.length)) entries.push(...page);
  };
  const expired = endOfExpired(nowMs);
  const isAmongLasting = cursor !== undefined && cursor.expiresAtMs === undefined;
  if (!isAmongLasting) await add('expiring', after !== undefined && after > expired ? after : expired);
  if (entries.length < limit) await add('lasting', isAmongLasting ? cursor.name : '');
  return entries;
}

/** Pages of a folder's pictures whose names come after a text. @param wanted how many are still wanted; 0 ends it */
async function* pagesOf(
  { client, prefixOf }: Bucket,
  folder: Folder,
  from: string,
  wanted: () => number,
  signal?: AbortSignal,
): AsyncGenerator<readonly BlobEntry[]> {
  const prefix = prefixOf(folder);
  for (let after = from, more = true; more && wanted() > 0;) {
    const query = {
      'list-type': '2',
      prefix,
      'max-keys': String(Math.min(wanted(), mostListed)),
      ...(after === '' ? {} : { 'start-after': prefix + after }),
    };
    const answer = await client.send({ method: 'GET', query, signal });
    const page: ObjectPage = await parseObjectList(answer, prefix);
    yield page.entries;
    more = page.isTruncated;
    // A page without an end would be asked for for ever.
    if (more && (page.lastName === undefined || page.lastName <= after)) {
      throw new S3Failure('refused', 'the list of the bucket does not go on');
    }
    after = page.lastName ?? after;
  }
}

async function sweepBucket(bucket: Bucket, { limit, signal }: SweepBounds, nowMs: number): Promise<SweepResult> {
  let removed = 0;
  for await (const page of pagesOf(bucket, 'expiring', '', () => limit - removed, signal)) {
    const expired = page.filter((entry) => hasExpired(entry, nowMs));
    for (let at = 0; at < expired.length; at += deletedAtOnce) {
      const batch = expired.slice(at, at + deletedAtOnce);
      await Promise.all(batch.map((entry) => removeObject(bucket, bucket.keyOf(entry), signal)));
      removed += batch.length;
    }
    if (expired.length < page.length) break;
  }
  return { removed, more: removed >= limit };
}
