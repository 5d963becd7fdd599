/**
 * Fetches the pictures behind links that callers and providers name, in such a way that no link leads into the gateway's
 * own network: https to a public host only, every address that its name resolves to judged before the first packet,
 * the connection pinned to what was judged, and every redirect treated like a new link. Where callers' links may lead is
 * the file's to say as well, and it may trust single origins. What callers are told is the same for every cause, so
 * nothing can be learned about what listens where; the causes are in the log.
 */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { buildConnector, Client, type Dispatcher } from 'undici';
import { createSpool } from '../body/spool.ts';
import { GatewayError } from '../errors.ts';
import type { ImageUrlsFile } from '../generated/gateway.ts';
import { magicBytes, sniffMediaType } from '../images/probe.ts';
import type { Logger } from '../log.ts';
import type {
  CallerLink,
  FetchAllOptions,
  FetchedPicture,
  FetchPictureOptions,
  PictureFetcher,
  SpoolSettings,
  WantedPicture,
} from '../pipeline/stage.ts';
import { createTurns, type Turns } from '../turns.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { isPublicAddress } from './address-guard.ts';
import { compileImageUrlPolicy } from './image-url-policy.ts';

export interface PictureFetcherOptions {
  readonly spool: SpoolSettings;
  readonly log: Logger;
  /** What the file says about callers' links. */
  readonly imageUrls: ImageUrlsFile;
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
  /** Milliseconds for a provider's link at the most, redirects and reading included. */
  readonly responseDeadlineMs: number;
  /** Milliseconds that a refusal takes at least once somebody was asked, so that its time tells little of the answer. */
  readonly refusalMs: number;
}

const internet: PictureNetwork = {
  // The system's resolver rather than DNS alone: it gives the addresses that a plain connection would go to.
  resolve: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
  allowsAddress: isPublicAddress,
  port: 443,
  certificateAuthority: undefined,
  // It has been paid for, so there is more patience than with callers, who can name hosts that dawdle on purpose.
  responseDeadlineMs: 20_000,
  refusalMs: 300,
};

/** Milliseconds to find a host's addresses, and again to connect to one. */
const reachMs = 4_000;
/** Of a provider's link. */
const maxResponseRedirects = 3;
/** Links of one call that are followed at the same time. */
const linksAtOnce = 4;
/**
 * Names of callers' hosts that are looked up at the same time. Each takes one of the threads on which files are read and
 * written as well, for as long as the name's own server likes; there are four.
 */
const lookupsAtOnce = 2;
/** Signed links of object stores come to 2 or 3 KiB. */
const maxUrlLength = 8_192;

/** No encoding is asked for and none is understood, so what comes cannot grow. */
const requestHeaders = { accept: 'image/*', 'accept-encoding': 'identity', 'user-agent': 'pinhole' };

/** A link that may not be followed. The message is for the log only. */
class LinkRefused extends Error {
  override readonly name = 'LinkRefused';
}

/** How links of one kind are followed. */
interface Manners {
  readonly maxRedirects: number;
  /** Whether a link leads to a trusted origin, so that it need not be public. @throws LinkRefused */
  isTrusted(url: URL): boolean;
  readonly lookups: Turns | undefined;
}

interface Reading {
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  see?(chunk: Uint8Array): void;
  defer(work: () => Promise<void>): void;
}

/** @param options.network replaces parts of the real network */
export function createPictureFetcher({
  spool,
  log,
  imageUrls,
  network: replaced,
}: PictureFetcherOptions): PictureFetcher {
  const network: PictureNetwork = { ...internet, ...replaced };
  const policy = compileImageUrlPolicy(imageUrls);
  const forCallers: Manners = {
    maxRedirects: policy.redirects,
    lookups: createTurns(lookupsAtOnce),
    isTrusted(url) {
      const judgement = policy.judge(url);
      if (judgement === 'refused') throw new LinkRefused('the file does not allow it');
      return judgement === 'trusted';
    },
  };

  function parse({ url, param }: CallerLink): URL {
    if (!policy.enabled) {
      const message = 'Image URLs are not taken here: send the picture itself, as a file or a data URI.';
      throw new GatewayError('image_url_not_allowed', message, { param });
    }
    const parsed = parseStrictly(url);
    checkForm(parsed, forCallers.isTrusted(parsed), network.port);
    return parsed;
  }

  /** Does something with a caller's link. A refusal takes its time, whoever was asked. */
  async function forCaller<Value>(
    { url, param }: CallerLink,
    signal: AbortSignal,
    work: () => Promise<Value>,
  ): Promise<Value> {
    const startedAtMs = performance.now();
    try {
      return await work();
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof GatewayError) throw cause;
      logFailure(log, url, 'caller', cause);
      const restMs = startedAtMs + network.refusalMs - performance.now();
      if (cause instanceof LinkRefused && restMs > 0) await pause(restMs, undefined, { signal });
      throw callerError(cause, param);
    }
  }

  async function fetchAll(
    links: readonly WantedPicture[],
    options: FetchAllOptions,
  ): Promise<readonly FetchedPicture[]> {
    const turns = createTurns(linksAtOnce);
    const rest = new AbortController();
    const signal = AbortSignal.any([options.signal, rest.signal]);
    const following = AbortSignal.any([signal, AbortSignal.timeout(policy.timeoutMs)]);
    const maxBytes = Math.min(policy.maxBytes, options.maxBytes);
    let left = options.maxBytes;
    let failure: { readonly error: unknown } | undefined;

    const follow = (link: WantedPicture): Promise<FetchedPicture> => {
      const see = (chunk: Uint8Array): void => {
        left -= chunk.byteLength;
        if (left < 0) throw tooMuch(options.maxBytes, link.param);
        link.see?.(chunk);
      };
      const reading = { signal: following, maxBytes, see, defer: options.defer };
      return forCaller(link, signal, async () => followLink(parse(link), reading, forCallers, network, spool));
    };
    const work = links.map((link) =>
      turns
        .run(() => follow(link))
        .catch((error: unknown) => {
          // The first to fail speaks for all: the others are of no use any more.
          failure ??= { error };
          rest.abort(error);
          throw error;
        }),
    );
    const settled = await Promise.allSettled(work);
    options.signal.throwIfAborted();
    if (failure !== undefined) throw failure.error;
    return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  }

  return {
    check(link) {
      try {
        parse(link);
      } catch (cause) {
        if (cause instanceof GatewayError) throw cause;
        logFailure(log, link.url, 'caller', cause);
        throw callerError(cause, link.param);
      }
    },

    vouch: (link, signal) =>
      forCaller(link, signal, async () => {
        const url = parse(link);
        // Whoever fetches it in our place is somewhere else, where nothing of ours is to be reached.
        checkForm(url, false, network.port);
        await publicAddresses(url.hostname, network, signal, forCallers.lookups);
        return url.href;
      }),

    fetchAll,

    async fetch(link, options) {
      const deadline = AbortSignal.timeout(
        Math.ceil(Math.min(options.patienceMs ?? Infinity, network.responseDeadlineMs)),
      );
      const signal = AbortSignal.any([options.signal, deadline]);
      try {
        return await followLink(parseLink(link.url), { ...options, signal }, forProvider(options), network, spool);
      } catch (cause) {
        options.signal.throwIfAborted();
        if (cause instanceof GatewayError) throw cause;
        logFailure(log, link.url, link.trust, cause);
        throw providerError(cause, deadline.aborted);
      }
    },
  };
}

/** The provider's own origin is trusted until a redirect leaves it, and not again if another leads back. */
function forProvider({ trustedOrigin }: FetchPictureOptions): Manners {
  let trusted = true;
  return {
    maxRedirects: maxResponseRedirects,
    lookups: undefined,
    isTrusted: (url) => (trusted &&= url.origin === trustedOrigin),
  };
}

/** Without path and query, which may hold a signature. */
function logFailure(log: Logger, url: string, trust: 'caller' | 'response', cause: unknown): void {
  log.debug('picture not fetched', { origin: URL.parse(url)?.origin, trust, reason: reasonOf(cause) });
}

/** Its words and those of its causes. Where in our code it was found says nothing about a link. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause === undefined ? cause.message : `${cause.message}: ${reasonOf(cause.cause)}`;
}

function callerError(cause: unknown, param: string): GatewayError {
  return cause instanceof LinkRefused
    ? new GatewayError(
        'image_url_not_allowed',
        'This image URL may not be fetched: it must be https on the standard port, without credentials, and name a public host that this gateway allows.',
        { cause, param },
      )
    : new GatewayError(
        'invalid_image',
        'This image URL does not lead to a picture that is small enough and arrives in time.',
        { cause, param },
      );
}

function providerError(cause: unknown, late: boolean): GatewayError {
  return late
    ? new GatewayError('upstream_timeout', 'The picture that the provider links to did not arrive in time.', { cause })
    : new GatewayError('upstream_invalid_response', 'The provider’s link does not lead to a picture.', { cause });
}

function tooMuch(maxBytes: number, param: string): GatewayError {
  const message = `The pictures behind the links have more than ${maxBytes} bytes.`;
  return new GatewayError('payload_too_large', message, { param });
}

async function followLink(
  start: URL,
  reading: Reading,
  { maxRedirects, isTrusted, lookups }: Manners,
  network: PictureNetwork,
  spool: SpoolSettings,
): Promise<FetchedPicture> {
  const { signal } = reading;
  let url = start;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    signal.throwIfAborted();
    const trusted = isTrusted(url);
    checkForm(url, trusted, network.port);
    const addresses = trusted ? undefined : await publicAddresses(url.hostname, network, signal, lookups);

    const client = new Client(url.origin, { connect: connector(addresses, network, signal) });
    try {
      const reply = await get(client, url, signal);
      const location = redirectLocation(reply);
      if (location === undefined) return await readPicture(reply, reading, spool);
      url = parseLink(location, url);
    } finally {
      await client.destroy();
    }
  }
  throw new Error('too many redirects');
}

/**
 * A caller's link, read strictly. What a URL parser takes out or puts right (blanks, line breaks, backslashes) another one
 * may read as another address, so a text that has it is no link.
 */
function parseStrictly(text: string): URL {
  if (text.length > maxUrlLength) throw new LinkRefused('too long');
  if (/[\s\p{Cc}\\]/u.test(text)) throw new LinkRefused('has characters that no URL has');
  const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(text) ?? [];
  if (authority === undefined) throw new LinkRefused('not an absolute URL');
  if (authority.includes('@')) throw new LinkRefused('has credentials');
  return parseLink(text);
}

function parseLink(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw new LinkRefused('not a URL');
  return url;
}

/** What can be told from the URL alone. Its host is in normal form, so every spelling of an IPv4 address is found. */
function checkForm(url: URL, trusted: boolean, allowedPort: number): void {
  if (url.href.length > maxUrlLength) throw new LinkRefused('too long');
  if (url.username !== '' || url.password !== '') throw new LinkRefused('has credentials');
  if (trusted) return;
  if (url.protocol !== 'https:') throw new LinkRefused('not https');
  if (Number(url.port === '' ? 443 : url.port) !== allowedPort) throw new LinkRefused('another port');
  if (url.hostname.startsWith('[') || isIP(url.hostname) !== 0) throw new LinkRefused('an address in place of a name');
  // A bare name is looked up in the domains of the gateway's own network.
  if (!/[^.]\.[^.]/.test(url.hostname)) throw new LinkRefused('a name without a domain');
}

/** @throws LinkRefused when there are none, or one of them is not public; a name that does not exist looks the same */
async function publicAddresses(
  hostname: string,
  network: PictureNetwork,
  signal: AbortSignal,
  lookups: Turns | undefined,
): Promise<readonly string[]> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(reachMs)]);
  const resolve = async (): Promise<readonly string[]> => {
    // Its turn may have come too late.
    patience.throwIfAborted();
    return network.resolve(hostname);
  };
  let addresses: readonly string[];
  try {
    addresses = await unlessAborted(lookups === undefined ? resolve() : lookups.run(resolve), patience);
  } catch (cause) {
    throw new LinkRefused('no address found', { cause });
  }
  if (addresses.length === 0 || !addresses.every((address) => network.allowsAddress(address))) {
    throw new LinkRefused(`not a public host: ${addresses.join(' ')}`);
  }
  return addresses;
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
  { maxBytes, see, defer }: Reading,
  settings: SpoolSettings,
): Promise<FetchedPicture> {
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw new Error('an encoding that was not asked for');
  const overflow = (): Error => new Error(`more than ${maxBytes} bytes`);
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw overflow();

  const bytes: AsyncIterable<Uint8Array> = body;
  const spool = createSpool({ ...settings, maxBytes, overflow });
  try {
    let head: Uint8Array = new Uint8Array();
    let byteLength = 0;
    for await (const chunk of bytes) {
      byteLength += chunk.byteLength;
      // Before `see` counts it for all links together: that this one is too large is what to say.
      if (byteLength > maxBytes) throw overflow();
      if (head.byteLength < magicBytes) {
        head = Buffer.concat([head, chunk.subarray(0, magicBytes - head.byteLength)]);
        // What is no picture is not read to its end.
        if (head.byteLength === magicBytes) requireMediaType(head);
      }
      see?.(chunk);
      await spool.write(chunk);
    }
    const mediaType = requireMediaType(head);
    const payload = await spool.finish();
    if (payload.kind === 'file') defer(() => payload.file.close());
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
