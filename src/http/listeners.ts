/** The addresses on which the gateway listens, and how they follow the file. */
import { createSecureContext } from 'node:tls';
import { OperatorError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { formatListenAddress, type ListenAddress } from '../listen-address.ts';
import {
  createGatewayServer,
  type GatewayServer,
  type RequestHandler,
  type ServerTimeouts,
  type TlsSettings,
} from './server.ts';

export interface ListenerSettings {
  readonly addresses: readonly ListenerAddress[];
  readonly timeouts: ServerTimeouts;
}

export interface ListenerAddress extends ListenAddress {
  /** Undefined: plain HTTP. */
  readonly tls: TlsSettings | undefined;
}

/** An address that is open. */
export interface BoundAddress extends ListenAddress {
  readonly protocol: 'http' | 'https';
}

export interface Listeners {
  /**
   * Makes the open addresses those of the settings. New ones are opened first; one that stays is left alone but for its
   * certificate and the timeouts; one that goes stops accepting, and its requests finish. Calls must not overlap.
   * @throws Error that names the address when one cannot be opened or its certificate is of no use; nothing has changed
   */
  apply(settings: ListenerSettings): Promise<readonly BoundAddress[]>;
  /**
   * Stops accepting everywhere, and resolves when the last connection has ended. Those that are left after `graceMs`
   * milliseconds are cut off.
   */
  drain(graceMs: number): Promise<void>;
  /** What is open, with the real port where the settings said 0. */
  addresses(): readonly BoundAddress[];
}

/** A server that listens. */
interface Listener {
  readonly asked: ListenerAddress;
  readonly server: GatewayServer;
  /** The real one. */
  readonly port: number;
}

/** What the addresses of a file need opened, step by step, and undone when a step fails. */
interface Opening {
  readonly leaving: readonly Listener[];
  readonly opened: Listener[];
  /** Of those that leave: stopped early, because a new address needs their port. */
  readonly paused: Listener[];
}

export function createListeners(env: { readonly onRequest: RequestHandler; readonly log: Logger }): Listeners {
  const { log } = env;
  let open: readonly Listener[] = [];
  let timeouts: ServerTimeouts = { headersMs: 0, keepAliveMs: 0 };
  /** Servers that do not listen any more, with connections that are still at work. */
  const retired = new Set<GatewayServer>();

  const addresses = (): readonly BoundAddress[] =>
    open.map(({ asked, port }) => ({ protocol: protocolOf(asked), host: asked.host, port }));

  const retire = ({ asked, port, server }: Listener): void => {
    log.info('stops listening', { address: formatListenAddress({ host: asked.host, port }) });
    retired.add(server);
    server.retire(timeouts.headersMs);
    void server.connections.ended().then(() => retired.delete(server));
  };

  return {
    async apply(settings) {
      checkCertificates(settings.addresses);
      const wanted = new Map(settings.addresses.map((asked) => [keyOf(asked), asked]));
      const staying = open.filter(({ asked }) => wanted.has(keyOf(asked)));
      const known = new Set(staying.map(({ asked }) => keyOf(asked)));
      const opening: Opening = { leaving: open.filter((each) => !staying.includes(each)), opened: [], paused: [] };
      try {
        for (const [key, asked] of wanted) {
          if (!known.has(key)) await openListener(asked, opening, env);
        }
      } catch (error) {
        await undo(opening);
        throw error;
      }
      const kept = staying.map((listener) => renew(listener, wanted.get(keyOf(listener.asked)) ?? listener.asked));
      open = [...kept, ...opening.opened];
      ({ timeouts } = settings);
      for (const { server } of open) server.setTimeouts(timeouts);
      for (const listener of opening.leaving) retire(listener);
      for (const { asked, port } of opening.opened) {
        log.info('listens', { address: formatListenAddress({ host: asked.host, port }), protocol: protocolOf(asked) });
      }
      return addresses();
    },
    async drain(graceMs) {
      for (const listener of open) retire(listener);
      open = [];
      const servers = [...retired];
      const cutOff = setTimeout(() => {
        for (const { connections } of servers) connections.destroyAll();
      }, graceMs);
      await Promise.all(servers.map(({ connections }) => connections.ended()));
      clearTimeout(cutOff);
    },
    addresses,
  };
}

function protocolOf({ tls }: ListenerAddress): 'http' | 'https' {
  return tls === undefined ? 'http' : 'https';
}

function keyOf(asked: ListenerAddress): string {
  return `${protocolOf(asked)}://${formatListenAddress(asked)}`;
}

/** @throws Error that names the address whose certificate and key are of no use, before anything is changed */
function checkCertificates(addresses: readonly ListenerAddress[]): void {
  for (const { tls, ...address } of addresses) {
    if (tls === undefined) continue;
    try {
      createSecureContext({ cert: tls.cert, key: tls.key });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new OperatorError(`The certificate for ${formatListenAddress(address)} cannot be used: ${reason}`, {
        cause,
      });
    }
  }
}

/**
 * Opens an address. Where an address that leaves is in the way, such as `127.0.0.1:8080` of `0.0.0.0:8080` or the same
 * one without TLS, that one stops accepting a moment earlier.
 */
async function openListener(
  asked: ListenerAddress,
  { leaving, opened, paused }: Opening,
  env: { readonly onRequest: RequestHandler; readonly log: Logger },
): Promise<void> {
  const server = createGatewayServer({ ...env, tls: asked.tls });
  const predecessor = leaving.find((each) => each.asked.host === asked.host && each.asked.port === asked.port);
  const address = { host: asked.host, port: predecessor?.port ?? asked.port };
  const rivals = leaving.filter((each) => each.port === address.port && !paused.includes(each));
  try {
    const port = await server.listen(address).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE' || rivals.length === 0) throw error;
      for (const rival of rivals) {
        rival.server.pause();
        paused.push(rival);
      }
      return server.listen(address);
    });
    opened.push({ asked, server, port });
  } catch (cause) {
    throw new OperatorError(`Cannot listen on ${formatListenAddress(asked)}: ${reasonOf(cause)}`, { cause });
  }
}

async function undo({ opened, paused }: Opening): Promise<void> {
  for (const { server } of opened) {
    server.pause();
    server.connections.destroyAll();
  }
  for (const { server, asked, port } of paused) await server.listen({ host: asked.host, port });
}

/** A listener that stays, with a new certificate if the settings have one. */
function renew(listener: Listener, asked: ListenerAddress): Listener {
  const before = listener.asked.tls;
  const { tls } = asked;
  if (tls !== undefined && before !== undefined && !(same(tls.cert, before.cert) && same(tls.key, before.key))) {
    listener.server.setTls(tls);
  }
  return { ...listener, asked };
}

function same(one: string | Buffer, other: string | Buffer): boolean {
  return Buffer.from(one).equals(Buffer.from(other));
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use',
  EACCES: 'this needs more rights than the gateway has',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name could not be looked up',
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? error.message;
}
