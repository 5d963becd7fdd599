import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPublicAddress } from '../../../src/http/address-guard.ts';

describe('isPublicAddress', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '93.184.216.34',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '168.63.129.15',
    '168.63.129.17',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2001:200::',
    '2001:db7:ffff::1',
    '2001:db9::1',
    '2003::1',
    '2606:4700:4700::1111',
    '2A00:1450:4001:81B::200E',
    '3ffe:ffff::1',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:ffff:0808:0808',
    '64:ff9b::8.8.8.8',
    '64:ff9b::5db8:d822',
  ])('lets a link lead to %s', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each([
    // IPv4: this network, private, shared, loopback, link-local, and the edges of each
    '0.0.0.0',
    '0.255.255.255',
    '10.0.0.0',
    '10.255.255.255',
    '100.64.0.0',
    '100.100.100.200',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '168.63.129.16',
    '169.254.0.0',
    '169.254.169.254',
    '169.254.170.2',
    '172.16.0.0',
    '172.31.255.255',
    '192.0.0.0',
    '192.0.0.192',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.0.0',
    '192.168.255.255',
    '198.18.0.0',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.250',
    '240.0.0.1',
    '255.255.255.255',
    // IPv6: unspecified, loopback, compatible, local, reserved, multicast, documentation, tunnels
    '::',
    '::1',
    '0:0:0:0:0:0:0:1',
    '0000:0000:0000:0000:0000:0000:0000:0001',
    '::7f00:1',
    '::127.0.0.1',
    '::8.8.8.8',
    '100::1',
    '1fff:ffff::1',
    '2001::1',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    '2001:2::1',
    '2001:10::1',
    '2001:1ff:ffff::1',
    '2001:db8::1',
    '2002:7f00:1::1',
    '2002:a00:1::1',
    '2002:c0a8:101::',
    '2002:a9fe:a9fe::1',
    '2002:808:808::1',
    '3fff::1',
    '4000::1',
    '5f00::1',
    'fc00::1',
    'fd00:ec2::254',
    'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    'fe80::1',
    'febf::1',
    'fec0::1',
    'ff02::1',
    'ff0e::1',
    'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    // IPv4 in the clothes of IPv6
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::FFFF:7F00:0001',
    '0:0:0:0:0:ffff:127.0.0.1',
    '0000:0000:0000:0000:0000:ffff:a9fe:a9fe',
    '::ffff:10.0.0.1',
    '::ffff:0.0.0.0',
    '::ffff:169.254.169.254',
    '::ffff:255.255.255.255',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::10.0.0.1',
    '64:ff9b::192.168.1.1',
    '64:ff9b:0:0:0:0:172.16.0.1',
    '64:ff9b:0:1::8.8.8.8',
    '64:ff9b:1::8.8.8.8',
    '64:ff9b:1:fffe::10.0.0.1',
    // zones
    'fe80::1%eth0',
    '::1%lo',
    '2606:4700:4700::1111%eth0',
    // not addresses: other spellings are resolved before they come here, or refused
    '',
    ' ',
    'localhost',
    'example.com',
    '127.1',
    '127.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '017700000001',
    '127.0.0.1.',
    '127.0.0.1 ',
    ' 127.0.0.1',
    '8.8.8.8:443',
    '8.8.8.8/32',
    '8.8.8',
    '8.8.8.256',
    '08.8.8.8',
    '[::1]',
    '[2606:4700:4700::1111]',
    '2606:4700:4700::1111::',
    '::ffff:0x7f.0.0.1',
    '８.８.８.８',
  ])('lets no link lead to %j', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  const octet = fc.nat(255);
  const ipv4 = fc.tuple(octet, octet, octet, octet);
  const group = fc.nat(0xffff);

  it('judges an IPv4 address the same in every IPv6 form that carries it', () => {
    fc.assert(
      fc.property(ipv4, ([a, b, c, d]) => {
        const dotted = [a, b, c, d].join('.');
        const hexadecimal = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        const forms = ['::ffff:', '0:0:0:0:0:FFFF:', '64:ff9b::', '0064:FF9B:0:0:0:0:'];
        const judgements = forms.flatMap((form) => [dotted, hexadecimal].map((end) => isPublicAddress(form + end)));
        expect(new Set(judgements)).toEqual(new Set([isPublicAddress(dotted)]));
      }),
    );
  });

  it('lets no link lead into a private, local or reserved IPv4 network', () => {
    const closed = fc.oneof(
      ipv4.map(([, b, c, d]) => [10, b, c, d]),
      ipv4.map(([, b, c, d]) => [127, b, c, d]),
      ipv4.map(([, b, c, d]) => [0, b, c, d]),
      ipv4.map(([, , c, d]) => [192, 168, c, d]),
      ipv4.map(([, , c, d]) => [169, 254, c, d]),
      ipv4.map(([, b, c, d]) => [172, 16 + (b % 16), c, d]),
      ipv4.map(([, b, c, d]) => [100, 64 + (b % 64), c, d]),
      ipv4.map(([a, b, c, d]) => [224 + (a % 32), b, c, d]),
    );
    fc.assert(fc.property(closed, (address) => !isPublicAddress(address.join('.'))));
  });

  it('lets no link lead to an IPv6 address outside of 2000::/3 that carries no IPv4 address', () => {
    const groups = fc.tuple(
      group.filter((first) => first >> 13 !== 1 && first > 0x64),
      ...Array.from({ length: 7 }, () => group),
    );
    fc.assert(fc.property(groups, (address) => !isPublicAddress(address.map((part) => part.toString(16)).join(':'))));
  });

  it('judges every spelling of an IPv6 address the same', () => {
    const groups = fc.array(fc.oneof(fc.constant(0), fc.constantFrom(0x2001, 0x2606, 0xdb8, 0xffff), group), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(groups, (address) => {
        const short = address.map((part) => part.toString(16)).join(':');
        const long = address.map((part) => part.toString(16).padStart(4, '0').toUpperCase()).join(':');
        const normal = new URL(`http://[${short}]/`).hostname.slice(1, -1);
        expect([isPublicAddress(long), isPublicAddress(normal)]).toEqual([
          isPublicAddress(short),
          isPublicAddress(short),
        ]);
      }),
    );
  });

  it('never fails, whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !isPublicAddress(text)));
  });
});
