import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { remoteAddress } from '../../../src/http/addresses.ts';
import { addressRanges } from '../../../src/ip-address.ts';

function requestFrom(peer: string, forwardedFor?: string): IncomingMessage {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: peer });
  const request = new IncomingMessage(socket);
  request.headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor };
  return request;
}

describe('the remote address', () => {
  const trusted = addressRanges(['10.0.0.0/8', '2001:db8:ffff::/48']);

  it.each([
    ['is the peer when nobody is in between', '192.0.2.1', undefined, '192.0.2.1'],
    ['is the peer when that is not trusted, whatever it says', '192.0.2.1', '203.0.113.9', '192.0.2.1'],
    ['is a trusted proxy itself when it says nothing', '10.0.0.1', undefined, '10.0.0.1'],
    ['is whom a trusted proxy names', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['is not what the caller itself wrote', '10.0.0.1', '1.1.1.1, 203.0.113.9', '203.0.113.9'],
    ['is found behind several proxies', '10.0.0.1', '1.1.1.1, 203.0.113.9, 10.0.0.3,10.0.0.2', '203.0.113.9'],
    ['is the farthest of trusted ones only', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['is the last one known before rubbish', '10.0.0.1', '203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['is the peer before an empty list', '10.0.0.1', ' , ', '10.0.0.1'],
    ['is without the port that some proxies add', '10.0.0.1', '203.0.113.9:4711', '203.0.113.9'],
    ['is without brackets and port', '10.0.0.1', '[2001:db8::9]:4711', '2001:db8::9'],
    ['is found behind a proxy with IPv6', '2001:db8:ffff::1', '2001:db8::9', '2001:db8::9'],
    ['is in IPv4 form on a socket for both', '::ffff:10.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
  ])('%s', (_what, peer, forwardedFor, expected) => {
    expect(remoteAddress(requestFrom(peer, forwardedFor), trusted)).toBe(expected);
  });

  it('is the peer when no proxy is trusted', () => {
    expect(remoteAddress(requestFrom('10.0.0.1', '203.0.113.9'), addressRanges([]))).toBe('10.0.0.1');
  });
});
