import { BlockList, isIP } from 'node:net';

/**
 * Whether an address belongs to the public internet, so that a link may lead there. Anything else is not: private,
 * shared, local, reserved, multicast and documentation ranges, the gateway's own machine, metadata services, and
 * IPv6 forms that carry such an IPv4 address. Zones (`fe80::1%eth0`) and whatever is not a plain address are not either.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !closedIpv4.check(address, 'ipv4');
    case 6:
      return !address.includes('%') && openIpv6.check(address, 'ipv6') && !closedIpv6.check(address, 'ipv6');
    default:
      return false;
  }
}

type Subnet = readonly [network: string, prefixBits: number];

/** What IANA's special-purpose registry does not call globally reachable, and what is no host's own address. */
const closedIpv4Subnets: readonly Subnet[] = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // shared by carriers and clouds; Alibaba's metadata service
  ['127.0.0.0', 8], // loopback
  ['168.63.129.16', 32], // Azure's host, which hands out the machine's own certificates and settings
  ['169.254.0.0', 16], // link-local; metadata services
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments; Oracle's metadata service
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, and broadcast
];

/**
 * IPv6 addresses that are an IPv4 address in other clothes: mapped, and translated by NAT64, which is how IPv6-only
 * networks reach the rest. They are as public as what they carry. What 6to4 and Teredo carry is not looked at: they are
 * closed as a whole, as nobody offers pictures through these tunnels any more.
 */
const ipv4Carriers: readonly string[] = ['::ffff:', '64:ff9b::'];
const carrierBits = 96;

const openIpv6Subnets: readonly Subnet[] = [
  ['2000::', 3], // all global unicast addresses that have been given out
  ...ipv4Carriers.map((carrier): Subnet => [`${carrier}0.0.0.0`, carrierBits]),
];

const closedIpv6Subnets: readonly Subnet[] = [
  ['2001::', 23], // protocol assignments, Teredo among them
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4
  ['3fff::', 20], // documentation
  ...ipv4Carriers.flatMap((carrier) =>
    closedIpv4Subnets.map(([network, bits]): Subnet => [`${carrier}${network}`, carrierBits + bits]),
  ),
];

// One list for each family: a `BlockList` holds every IPv4 address to be within the IPv6 subnet ::ffff:0:0/96.
const closedIpv4 = blockList('ipv4', closedIpv4Subnets);
const openIpv6 = blockList('ipv6', openIpv6Subnets);
const closedIpv6 = blockList('ipv6', closedIpv6Subnets);

function blockList(family: 'ipv4' | 'ipv6', subnets: readonly Subnet[]): BlockList {
  const list = new BlockList();
  for (const [network, prefixBits] of subnets) list.addSubnet(network, prefixBits, family);
  return list;
}
