/** A public internet for tests of the picture fetcher: an https server under names of its own, and a private one beside it. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageUrlsFile } from '../../../src/generated/gateway.ts';
import { createPictureFetcher, type PictureNetwork } from '../../../src/http/picture-fetcher.ts';
import type { Logger } from '../../../src/log.ts';
import type { PictureFetcher } from '../../../src/pipeline/stage.ts';
import { png } from '../../fixtures/pictures.ts';

/** For `pictures.test` and `elsewhere.test`, valid from 2020 to 2119, signed by itself. Protects nothing but these tests. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1waWN0dXJl
cy50ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1waWN0dXJlcy50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcACr
wqP2uRL5FHyONDRPvYpKZho+YqbL7SRyh8+piStTBuH9txnPL7+bS91FfJ/9EvvL
MKe12pom9UYdngjJ2aNcMFowKAYDVR0RBCEwH4INcGljdHVyZXMudGVzdIIOZWxz
ZXdoZXJlLnRlc3QwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUfT5imPlydse0
Gu7MrQvxZKktKUYwCgYIKoZIzj0EAwIDRwAwRAIgM3jn4cC/3GMcZA/fXkNczFdO
+0tQrNrRfZCVceUBofgCIHnwwR5hvKbhwfZ2uzMFBtTK1MTkx3/upa2c8J4WCKXq
-----END CERTIFICATE-----`;
const privateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgC7WTlnLwD9TA8YEZ
yAXepQkcel3YCmRhMQc60xKL5QShRANCAARwAKvCo/a5EvkUfI40NE+9ikpmGj5i
psvtJHKHz6mJK1MG4f23Gc8vv5tL3UV8n/0S+8swp7Xamib1Rh2eCMnZ
-----END PRIVATE KEY-----`;

export const picture = png({ width: 30, height: 30 });

/** What a test has of another kind: parts of the network, and of the file. */
export type Replaced = Partial<PictureNetwork> & { readonly imageUrls?: Partial<ImageUrlsFile> };

/** What the file says about links unless it says otherwise. */
export const usualImageUrls: ImageUrlsFile = {
  enabled: true,
  allow: [],
  deny: [],
  max_size: 50 * 1024 * 1024,
  timeout: 10_000,
  redirects: 3,
};

export interface PictureServers {
  /** What both servers do. */
  answer: RequestListener;
  /** The addresses that names have. */
  hosts: Record<string, readonly string[]>;
  /** That were opened to either server. */
  connections: number;
  /** Names that were looked up. */
  resolved: string[];
  /** Of the https server, which stands for 443. */
  readonly publicPort: number;
  /** Of the plain http server. */
  readonly internalOrigin: string;
  readonly spoolDirectory: string;
  /** A link to the https server. */
  link(path?: string, host?: string): string;
  fetcher(replaced?: Replaced, options?: { readonly lines?: unknown[]; readonly directory?: string }): PictureFetcher;
  /** Everything as in the beginning. */
  reset(): void;
  close(): Promise<void>;
}

export async function startPictureServers(): Promise<PictureServers> {
  const spoolDirectory = await mkdtemp(join(tmpdir(), 'pinhole-fetch-'));
  const onRequest: RequestListener = (request, response) => servers.answer(request, response);
  const listening = [createHttpsServer({ key: privateKey, cert: certificate }, onRequest), createHttpServer(onRequest)];
  const [publicPort = 0, internalPort = 0] = await Promise.all(
    listening.map((server) => {
      server.on('connection', () => (servers.connections += 1));
      return listen(server);
    }),
  );

  const servers: PictureServers = {
    answer: () => {},
    hosts: {},
    connections: 0,
    resolved: [],
    publicPort,
    internalOrigin: `http://127.0.0.1:${internalPort}`,
    spoolDirectory,
    link: (path = '/', host = 'pictures.test') => `https://${host}:${publicPort}${path}`,
    fetcher: ({ imageUrls, ...network } = {}, { lines = [], directory = spoolDirectory } = {}) =>
      createPictureFetcher({
        spool: { directory, memoryBytes: 100_000 },
        log: recordingLog(lines),
        imageUrls: { ...usualImageUrls, ...imageUrls },
        network: {
          resolve: async (hostname) => {
            servers.resolved.push(hostname);
            const addresses = servers.hosts[hostname];
            if (addresses === undefined) throw new Error('ENOTFOUND');
            return addresses;
          },
          allowsAddress: (address) => address === '127.0.0.1',
          port: publicPort,
          certificateAuthority: certificate,
          refusalMs: 0,
          ...network,
        },
      }),
    reset() {
      servers.answer = (_request, response) => response.end(picture);
      servers.hosts = { 'pictures.test': ['127.0.0.1'], 'elsewhere.test': ['127.0.0.1'] };
      servers.connections = 0;
      servers.resolved = [];
    },
    async close() {
      for (const server of listening) server.close();
      await rm(spoolDirectory, { recursive: true, force: true });
    },
  };
  servers.reset();
  return servers;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return portOf(server);
}

export function portOf(server: Server): number {
  // A listening TCP server has no other address.
  return (server.address() as AddressInfo).port;
}

function recordingLog(lines: unknown[]): Logger {
  const write = (_message: string, fields?: unknown): void => void lines.push(fields);
  return { debug: write, info: write, warn: write, error: write, child: () => recordingLog(lines) };
}
