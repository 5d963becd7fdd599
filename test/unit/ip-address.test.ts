import { describe, expect, it } from 'vitest';
import { addressRanges, canonicalAddress, subscriberNetwork } from '../../src/ip-address.ts';

describe('address ranges', () => {
  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['0.0.0.0/0', '203.0.113.1', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['::1', '::1', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '11.1.2.3', false],
    ['::ffff:0:0/95', '192.0.2.1', false],
    ['10.0.0.0/8', 'not an address', false],
  ])('%s and %s: %s', (range, address, expected) => {
    expect(addressRanges([range]).contains(address)).toBe(expected);
  });

  it.each(['10.0.0.0/33', '2001:db8::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0', 'localhost', ''])(
    'refuse %j',
    (range) => {
      expect(() => addressRanges([range])).toThrow(`\`${range}\` is neither an IP address nor a CIDR block`);
    },
  );
});

describe('an IPv4 address in IPv6 form', () => {
  it.each([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::ffff:192.0.2.1', '2001:db8::ffff:192.0.2.1'],
    ['::1', '::1'],
    ['192.0.2.1', '192.0.2.1'],
  ])('%s is %s', (address, expected) => {
    expect(canonicalAddress(address)).toBe(expected);
  });
});

describe('the network of a subscriber', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:DB8:0:0:1:2:3:4', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('%s is %s', (address, network) => {
    expect(subscriberNetwork(address)).toBe(network);
  });
});
