/** A place in an S3-compatible object store, as `images` spells it. */
export interface S3Location {
  readonly bucket: string;
  /** What all keys begin with: empty, or a path with a slash at its end. */
  readonly prefix: string;
  readonly region: string;
  /** The address of the bucket, without a slash at its end. */
  readonly bucketUrl: string;
}

/** A location that is none. Its message is for the operator, and goes on after the name of the key: `must …`. */
export class BadS3Location extends Error {
  override readonly name = 'BadS3Location';
}

const parameters: ReadonlySet<string> = new Set(['region', 'endpoint', 'path_style']);

/**
 * Takes `s3://BUCKET/PREFIX?region=REGION&endpoint=URL&path_style=true` apart. Without a region it is `us-east-1`, without
 * an endpoint Amazon's own. Other endpoints are asked for the bucket in the path unless `path_style=false`.
 * @throws BadS3Location
 */
export function parseS3Location(text: string): S3Location {
  const url = URL.parse(text);
  const { groups } = /^s3:\/\/(?<bucket>[^/?#]*)(?<path>[^?#]*)(?:\?(?<query>[^#]*))?$/.exec(text) ?? {};
  if (url === null || groups === undefined) throw new BadS3Location('must be s3://BUCKET/PREFIX?region=REGION');
  const bucket = groups['bucket'] ?? '';
  const query = new URLSearchParams(groups['query']);
  for (const [name] of query) {
    if (!parameters.has(name)) {
      throw new BadS3Location(
        'may have only region, endpoint and path_style behind its ?; keys belong in `images_credentials`',
      );
    }
    if (query.getAll(name).length > 1) throw new BadS3Location(`has ${name} twice`);
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw new BadS3Location('must name a bucket: 3 to 63 lower-case letters, digits, dots and hyphens');
  }
  const region = query.get('region') ?? 'us-east-1';
  if (!/^[a-z0-9-]{1,64}$/.test(region)) throw new BadS3Location('must have a region such as eu-central-1');
  return {
    bucket,
    prefix: parsePrefix(groups['path'] ?? ''),
    region,
    bucketUrl: bucketUrl(bucket, region, query.get('endpoint'), query.get('path_style')),
  };
}

/** Nothing that would have to be encoded, or that somebody on the way could tidy up. */
function parsePrefix(path: string): string {
  const segments = path.split('/').filter((segment) => segment !== '');
  if (!segments.every((segment) => /^[A-Za-z0-9._-]{1,128}$/.test(segment) && !/^\.+$/.test(segment))) {
    throw new BadS3Location('may have only letters, digits and . _ - between the slashes of its prefix');
  }
  return segments.map((segment) => `${segment}/`).join('');
}

function bucketUrl(bucket: string, region: string, endpoint: string | null, pathStyle: string | null): string {
  if (pathStyle !== null && pathStyle !== 'true' && pathStyle !== 'false') {
    throw new BadS3Location('must have path_style=true or path_style=false');
  }
  const url = URL.parse(endpoint ?? `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`);
  if (url === null || !isPlainAddress(url)) {
    throw new BadS3Location(
      'must have an endpoint that starts with https:// or http://, without credentials and query',
    );
  }
  // A certificate for *.s3… does not cover a bucket with dots in its name.
  const inPath = pathStyle === null ? endpoint !== null || bucket.includes('.') : pathStyle === 'true';
  const path = url.pathname.replace(/\/+$/, '');
  return inPath ? `${url.origin}${path}/${bucket}` : `${url.protocol}//${bucket}.${url.host}${path}`;
}

function isPlainAddress({ protocol, username, password, search, hash }: URL): boolean {
  return ['http:', 'https:'].includes(protocol) && `${username}${password}${search}${hash}` === '';
}
