import { describe, expect, it } from 'vitest';
import { formatListenAddress, isLoopback, parseListenAddress } from '../../src/listen-address.ts';

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
    [':8080', { host: '', port: 8080 }],
  ])('may be %s, and is written in the same way', (text, expected) => {
    expect(parseListenAddress(text)).toEqual(expected);
    expect(formatListenAddress(expected)).toBe(text);
  });

  it.each([
    '8080',
    'localhost',
    'localhost:',
    '::1:8080',
    '[::1]',
    'localhost:http',
    'http://localhost:80',
    '',
    'a:-1',
  ])('may not be %j', (text) => {
    expect(() => parseListenAddress(text)).toThrow(`\`${text}\` is not an address to listen on`);
  });

  it('has no port beyond 65535', () => {
    expect(() => parseListenAddress('localhost:65536')).toThrow('has no port between 0 and 65535');
  });
});

describe('a loopback address', () => {
  it.each([
    ['127.0.0.1:1', true],
    ['127.9.9.9:1', true],
    ['localhost:1', true],
    ['[::1]:1', true],
    [':1', false],
    ['0.0.0.0:1', false],
    ['127.example.com:1', false],
    ['10.0.0.1:1', false],
  ])('%s is for this machine only: %s', (text, expected) => {
    expect(isLoopback(parseListenAddress(text))).toBe(expected);
  });
});
