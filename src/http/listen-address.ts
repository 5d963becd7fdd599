/** Where a server listens. */
export interface ListenAddress {
  /** Name or IP address, IPv6 without brackets; empty for every interface. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

const form = /^(?:\[(?<six>[^\]]*)\]|(?<name>[^:[\]]*)):(?<port>\d{1,5})$/;

/**
 * Understands `HOST:PORT`, `[::1]:8080` and `:8080`.
 * @throws Error that says what is wrong with the text
 */
export function parseListenAddress(text: string): ListenAddress {
  const groups = form.exec(text)?.groups;
  if (groups === undefined) {
    throw new Error(`\`${text}\` is not an address to listen on: HOST:PORT, [IPV6]:PORT or :PORT is`);
  }
  const port = Number(groups['port']);
  if (port > 65_535) throw new Error(`\`${text}\` has no port between 0 and 65535`);
  return { host: groups['six'] ?? groups['name'] ?? '', port };
}

/** The address as `HOST:PORT`, the form in which it is written in the file. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
