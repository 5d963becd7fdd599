import { isIP } from 'node:net';

/** Where a server listens. */
export interface ListenAddress {
  /** Name or IP address, IPv6 without brackets; empty for every interface. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/**
 * Understands `HOST:PORT`, `[::1]:8080` and `:8080`.
 * @throws Error that says what is wrong with the text
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const isAddress =
    digits !== undefined &&
    (bracketed === undefined || isIP(bracketed) === 6) &&
    // Four numbers that are no address would be looked up as a name, and fail only when the listener is opened.
    (plain === undefined || !/^[0-9.]+$/.test(plain) || isIP(plain) === 4);
  if (!isAddress) {
    throw new Error(`\`${text}\` is not an address to listen on: HOST:PORT, [IPV6]:PORT or :PORT is`);
  }
  if (port > 65_535) throw new Error(`\`${text}\` has no port between 0 and 65535`);
  return { host: bracketed ?? plain ?? '', port };
}

/** The address as `HOST:PORT`, the form in which it is written in the file. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach a listener at the address. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
