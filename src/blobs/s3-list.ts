/** Reads the XML of S3's ListObjectsV2, of which the few members that we need have fixed places. */
import { collect } from '../body/byte-source.ts';
import { parseBlobName } from './blob-name.ts';
import type { BlobEntry } from './blob-store.ts';
import { S3Failure, type S3Answer } from './s3-client.ts';

export interface ObjectPage {
  /** The pictures among the objects, in order. */
  readonly entries: readonly BlobEntry[];
  /** What comes after the prefix in the last object's key, whatever it is. */
  readonly lastName: string | undefined;
  readonly isTruncated: boolean;
}

/** A thousand objects take half of it. */
const mostBytes = 2 * 1024 * 1024;

/** @throws S3Failure when it is no such list */
export async function parseObjectList(answer: S3Answer, prefix: string): Promise<ObjectPage> {
  const text = Buffer.from(await collect(bounded(answer))).toString();
  if (!text.includes('<ListBucketResult')) {
    throw new S3Failure('refused', 'the bucket was listed with something else than a list');
  }
  const objects = Array.from(text.matchAll(/<Contents>(.*?)<\/Contents>/gs), (match) => match[1] ?? '');
  const keys = objects.map((object) => unescapeXml(member(object, 'Key')));
  const names = keys.map((key) => (key.startsWith(prefix) ? key.slice(prefix.length) : ''));
  const entries = objects.flatMap((object, index): BlobEntry[] => {
    const known = parseBlobName(names[index] ?? '');
    if (known === undefined) return [];
    const { name, mediaType, expiresAtMs } = known;
    const byteLength = Number(member(object, 'Size'));
    const createdAtMs = Date.parse(member(object, 'LastModified')) || 0;
    return [{ name, mediaType, expiresAtMs, byteLength, createdAtMs }];
  });
  return { entries, lastName: names.at(-1), isTruncated: member(text, 'IsTruncated') === 'true' };
}

function member(text: string, name: string): string {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? '';
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** For keys that others have put there: ours have nothing to escape. */
function unescapeXml(text: string): string {
  return text.replaceAll(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-f]{1,6}));/gi, (whole, name, decimal, hex) => {
    if (typeof name === 'string') return entities[name.toLowerCase()] ?? whole;
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

async function* bounded(answer: S3Answer): AsyncGenerator<Uint8Array> {
  let received = 0;
  for await (const chunk of answer.read()) {
    received += chunk.byteLength;
    if (received > mostBytes) throw new S3Failure('refused', 'the list of the bucket is too long');
    yield chunk;
  }
}
