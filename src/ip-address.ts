/** IP addresses as texts: one spelling for each, and sets of them. */
import { BlockList, isIP } from 'node:net';

/** A set of IP addresses, prepared for many questions. */
export interface AddressRanges {
  /** @param address as `canonicalAddress` gives it; anything else is in no range */
  contains(address: string): boolean;
}

/**
 * @param ranges single addresses and CIDR blocks, IPv4 and IPv6
 * @throws Error that quotes the entry which is neither
 */
export function addressRanges(ranges: readonly string[]): AddressRanges {
  // One list for each family: a `BlockList` holds every IPv4 address to be within the IPv6 block ::ffff:0:0/96.
  const lists = { 4: new BlockList(), 6: new BlockList() };
  for (const range of ranges) {
    const { address, prefixBits, family } = parseRange(range);
    lists[family].addSubnet(address, prefixBits, `ipv${family}`);
  }
  return {
    contains(address) {
      const family = isIP(address);
      if (family === 4) return lists[4].check(address, 'ipv4');
      return family === 6 && lists[6].check(address, 'ipv6');
    },
  };
}

function parseRange(range: string): { readonly address: string; readonly prefixBits: number; readonly family: 4 | 6 } {
  const [written = '', bits, ...rest] = range.split('/');
  const wide = isIP(written) === 6 ? 128 : 32;
  const prefixBits = bits === undefined ? wide : Number(bits);
  const wellFormed = isIP(written) !== 0 && rest.length === 0 && (bits === undefined || /^\d{1,3}$/.test(bits));
  if (!wellFormed || prefixBits > wide) throw new Error(`\`${range}\` is neither an IP address nor a CIDR block`);
  const address = canonicalAddress(written);
  // An IPv4 block in IPv6 clothes is the IPv4 block: its addresses are looked up without them.
  if (wide === 128 && isIP(address) === 4 && prefixBits >= 96)
    return { address, prefixBits: prefixBits - 96, family: 4 };
  return wide === 128 ? { address: written, prefixBits, family: 6 } : { address, prefixBits, family: 4 };
}

/** An IPv4 address that came in IPv6 form (`::ffff:192.0.2.1`, `::ffff:c000:201`) as the IPv4 address that it is. */
export function canonicalAddress(address: string): string {
  if (!/^(?:0{0,4}:){2,5}ffff:/i.test(address)) return address;
  // The URL parser writes every spelling of one address in the same way.
  const [, high, low] =
    /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(URL.parse(`http://[${address}]`)?.hostname ?? '') ?? [];
  if (high === undefined || low === undefined) return address;
  const [left, right] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [left >> 8, left & 0xff, right >> 8, right & 0xff].join('.');
}

/** What one subscriber has to choose its addresses from: an IPv4 address is itself, an IPv6 address its network of 64 bits. */
export function subscriberNetwork(address: string): string {
  if (isIP(address) !== 6) return address;
  // The URL parser writes every spelling of one address in the same way.
  const written = URL.parse(`http://[${address.replace(/%.*$/, '')}]`)?.hostname.slice(1, -1);
  if (written === undefined) return address;
  const [before = [], after = []] = written.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}
