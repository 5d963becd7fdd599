/**
 * Fetches the pictures behind links that callers and providers name, in such a way that no link leads into the gateway's
 * own network: https to a public host only, every address that its name resolves to judged before the first packet,
 * the connection pinned to what was judged, and every redirect treated like a new link. What callers are told is the
 * same for every cause, so nothing can be learned about what listens where; the causes are in the log.
 */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector, Client, type Dispatcher } from 'undici';
import { createSpool } from '../body/spool.ts';
import { GatewayError } from '../errors.ts';
import type { LinkPayload } from '../images/payload.ts';
import { sniffMediaType } from '../images/probe.ts';
import type { Logger } from '../log.ts';
import type { FetchedPicture, FetchPictureOptions, PictureFetcher, SpoolSettings } from '../pipeline/stage.ts';
import { isPublicAddress } from './address-guard.ts';

export interface PictureFetcherOptions {
  readonly spool: SpoolSettings;
  readonly log: Logger;
  /** For tests, which have no public network. Nothing in the file leads here. */
  readonly network?: Partial<PictureNetwork>;
}

/** What the fetcher takes the internet to be. */
export interface PictureNetwork {
  /** All addresses of a host. Rejects when there are none. */
  resolve(hostname: string): Promise<readonly string[]>;
  /** Whether a link may lead to an address. */
  allowsAddress(address: string): boolean;
  /** The one port that links may name. */
  readonly port: number;
  /** A certificate authority to trust, in PEM, instead of those that Node trusts. */
  readonly certificateAuthority: string | undefined;
  /** Milliseconds for one link, redirects and reading included, by who named it. */
  readonly deadlineMs: Readonly<Record<LinkPayload['trust'], number>>;
}

const internet: PictureNetwork = {
  // The system's resolver rather than DNS alone: it gives the addresses that a plain connection would go to.
  resolve: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
  allowsAddress: isPublicAddress,
  port: 443,
  certificateAuthority: undefined,
  // A caller can name hosts that dawdle on purpose; a provider's picture has been paid for.
  deadlineMs: { caller: 10_000, response: 20_000 },
};

/** Milliseconds to find a host's addresses, and again to connect to one. */
const reachMs = 4_000;
const maxRedirects = 3;
/** Signed links of object stores come to 2 or 3 KiB. */
const maxUrlLength = 8_192;
/** Enough for every magic number that we know. */
const magicBytes = 64;

/** No encoding is asked for and none is understood, so what comes cannot grow. */
const requestHeaders = { accept: 'image/*', 'accept-encoding': 'identity', 'user-agent': 'pinhole' };

/** A link that may not be followed. The message is for the log only. */
class LinkRefused extends Error {
  override readonly name = 'LinkRefused';
}

/** @param options.network replaces parts of the real network */
export function createPictureFetcher({ spool, log, network: replaced }: PictureFetcherOptions): PictureFetcher {
  const network: PictureNetwork = { ...internet, ...replaced };

  return {
    async fetch(link, options) {
      const deadline = AbortSignal.timeout(network.deadlineMs[link.trust]);
      const signal = AbortSignal.any([options.signal, deadline]);
      try {
        return await followLink(link, { ...options, signal }, network, spool);
      } catch (cause) {
        options.signal.throwIfAborted();
        if (cause instanceof GatewayError) throw cause;
        // Without path and query, which may hold a signature.
        log.debug('picture not fetched', { origin: URL.parse(link.url)?.origin, trust: link.trust, cause });
        throw publicError(cause, link.trust, deadline.aborted);
      }
    },
  };
}

function publicError(cause: unknown, trust: LinkPayload['trust'], late: boolean): GatewayError {
  if (trust === 'response') {
    return late
      ? new GatewayError('upstream_timeout', 'The picture that the provider links to did not arrive in time.', {
          cause,
        })
      : new GatewayError('upstream_invalid_response', 'The provider’s link does not lead to a picture.', { cause });
  }
  return cause instanceof LinkRefused
    ? new GatewayError(
        'image_url_not_allowed',
        'This image URL may not be fetched: it must be https on the standard port, without credentials, and name a public host.',
        { cause },
      )
    : new GatewayError(
        'invalid_image',
        'This image URL does not lead to a picture that is small enough and arrives in time.',
        { cause },
      );
}

async function followLink(
  link: LinkPayload,
  options: FetchPictureOptions,
  network: PictureNetwork,
  spool: SpoolSettings,
): Promise<FetchedPicture> {
  let url = URL.parse(link.url);
  // The provider's own origin is trusted until a redirect leaves it, and not again if another leads back.
  let trusted = link.trust === 'response';
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    if (url === null) throw new LinkRefused('not a URL');
    trusted &&= url.origin === options.trustedOrigin;
    checkForm(url, trusted, network.port);
    const addresses = trusted ? undefined : await publicAddresses(url.hostname, network, options.signal);

    const client = new Client(url.origin, { connect: connector(addresses, network, options.signal) });
    try {
      const reply = await get(client, url, options.signal);
      const location = redirectLocation(reply);
      if (location === undefined) return await readPicture(reply, options, spool);
      url = URL.parse(location, url.href);
    } finally {
      await client.destroy();
    }
  }
  throw new Error('too many redirects');
}

/** What can be told from the URL alone. Its host is in normal form, so every spelling of an IPv4 address is found. */
function checkForm(url: URL, trusted: boolean, allowedPort: number): void {
  if (url.href.length > maxUrlLength) throw new LinkRefused('too long');
  if (url.username !== '' || url.password !== '') throw new LinkRefused('has credentials');
  if (trusted) return;
  if (url.protocol !== 'https:') throw new LinkRefused('not https');
  if (Number(url.port === '' ? 443 : url.port) !== allowedPort) throw new LinkRefused('another port');
  if (url.hostname.startsWith('[') || isIP(url.hostname) !== 0) throw new LinkRefused('an address in place of a name');
}

/** @throws LinkRefused when there are none, or one of them is not public; a name that does not exist looks the same */
async function publicAddresses(
  hostname: string,
  network: PictureNetwork,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(reachMs)]);
  let addresses: readonly string[];
  try {
    addresses = await unlessAborted(network.resolve(hostname), patience);
  } catch (cause) {
    throw new LinkRefused('no address found', { cause });
  }
  if (addresses.length === 0 || !addresses.every((address) => network.allowsAddress(address))) {
    throw new LinkRefused(`not a public host: ${addresses.join(' ')}`);
  }
  return addresses;
}

/** The system's resolver cannot be stopped, but it need not be waited for. */
function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
    if (signal.aborted) reject(signal.reason);
  });
}

/**
 * Connects to the given addresses only, whatever the name resolves to by now.
 * @param addresses undefined: wherever the name leads
 */
function connector(
  addresses: readonly string[] | undefined,
  network: PictureNetwork,
  signal: AbortSignal,
): buildConnector.connector {
  const connect = buildConnector({
    allowH2: false,
    timeout: reachMs,
    // The signal of a request is not heeded before there is a connection to send it on.
    signal,
    ...(addresses === undefined ? {} : { lookup: pinnedLookup(addresses) }),
    ...(network.certificateAuthority === undefined ? {} : { ca: network.certificateAuthority }),
  });
  if (addresses === undefined) return connect;
  return function connectPinned(target, callback) {
    connect(target, (...[failure, socket]) => {
      if (failure !== null) {
        callback(failure, null);
      } else if (network.allowsAddress(socket.remoteAddress ?? '')) {
        callback(null, socket);
      } else {
        socket.destroy();
        callback(new LinkRefused(`connected to ${socket.remoteAddress}`), null);
      }
    });
  };
}

function pinnedLookup(addresses: readonly string[]): LookupFunction {
  const answers = addresses.map((address) => ({ address, family: isIP(address) }));
  const [first] = answers;
  return function pinnedLookup(_hostname, { all }, callback) {
    if (all === true || first === undefined) callback(null, answers);
    else callback(null, first.address, first.family);
  };
}

async function get(client: Client, url: URL, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
  const reply = await client.request({
    method: 'GET',
    path: url.pathname + url.search,
    headers: requestHeaders,
    // The deadline of the whole bounds these waits as well.
    headersTimeout: 0,
    bodyTimeout: 0,
    signal,
  });
  // A body that is given up unread fails with nobody listening, which would end the process. Readers get the error all the same.
  reply.body.on('error', () => undefined);
  return reply;
}

/** Where a redirect leads; undefined for an answer that is none. */
function redirectLocation({ statusCode, headers }: Dispatcher.ResponseData): string | undefined {
  if (![301, 302, 303, 307, 308].includes(statusCode)) return undefined;
  if (typeof headers['location'] !== 'string') throw new Error('a redirect that leads nowhere');
  return headers['location'];
}

async function readPicture(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  options: FetchPictureOptions,
  settings: SpoolSettings,
): Promise<FetchedPicture> {
  const { maxBytes } = options;
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw new Error('an encoding that was not asked for');
  const overflow = (): Error => new Error(`more than ${maxBytes} bytes`);
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw overflow();

  const bytes: AsyncIterable<Uint8Array> = body;
  const spool = createSpool({ ...settings, maxBytes, overflow });
  try {
    let head: Uint8Array = new Uint8Array();
    for await (const chunk of bytes) {
      if (head.byteLength < magicBytes) {
        head = Buffer.concat([head, chunk.subarray(0, magicBytes - head.byteLength)]);
        // What is no picture is not read to its end.
        if (head.byteLength === magicBytes) requireMediaType(head);
      }
      await spool.write(chunk);
    }
    const mediaType = requireMediaType(head);
    const payload = await spool.finish();
    if (payload.kind === 'file') options.defer(() => payload.file.close());
    return { payload, mediaType };
  } catch (error) {
    await spool.discard();
    throw error;
  }
}

function requireMediaType(head: Uint8Array): string {
  const mediaType = sniffMediaType(head);
  if (mediaType === undefined) throw new Error('not a picture');
  return mediaType;
}
