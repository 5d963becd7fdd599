import { describe, expect, it } from 'vitest';
import { formats } from '../../src/formats.ts';

const accepts = (format: string, text: string): boolean => formats[format]?.(text) === undefined;

describe('formats', () => {
  it.each([
    ['re2', ['.*', 'gpt-[a-z]+', '(a+)+$', '(a|a)*b'], ['(', '[', '(?=a)', '(a)\\1', 'a{2000}', '*']],
    ['time-zone', ['UTC', 'Europe/Berlin', 'America/New_York'], ['', 'Berlin', 'Europe/Berln', 'local']],
    [
      'timestamp',
      ['2027-01-31', '2024-02-29', '2027-01-31T12:00Z', '2027-01-31t12:00:00.5z', '2027-01-31T12:00:00-05:30'],
      [
        '',
        '2027',
        '2027-02-29',
        '2027-13-01',
        '2027-01-31T12:00:00',
        '2027-01-31T24:00:00Z',
        '31.1.2027',
        '2027-01-31 12:00Z',
      ],
    ],
    [
      'listen-address',
      [':0', ':8080', '127.0.0.1:1', '[::1]:65535', 'my-host:80'],
      ['', '80', 'a', '1.2.3:80', ':65536', '::1:80', '[1.2.3.4]:80', 'a b:1'],
    ],
    [
      'cidr',
      ['10.0.0.0/8', '192.0.2.7', '::1', 'fd00::/8', '0.0.0.0/0'],
      ['', 'x', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0/8', '1.2.3.4/-1'],
    ],
    [
      'http-url',
      ['http://a', 'https://a.b:1/c', 'http://[::1]:80'],
      ['', 'a', '/a', 'ftp://a', 'http:a', 'http://', 'http://a?b', 'http://a#b'],
    ],
    [
      'origin',
      ['*', 'https://a.example', 'http://localhost:3000'],
      ['', 'a', 'https://a/', 'https://a/b', 'https://A', '**'],
    ],
    [
      'link-source',
      [
        '*',
        'a.example',
        '*.a.example',
        'Bücher.example',
        'LOCALHOST',
        'http://127.0.0.1:8080',
        'https://[fd00::1]:8443',
      ],
      [
        '',
        '*.',
        '*a.example',
        '*.*.example',
        'a..example',
        'a.example.',
        '.example',
        'a.example:443',
        'a.example/',
        'https://a/',
        'https://a:443',
        'HTTPS://a',
        'https://u@a',
        'ftp://a',
        '10.1.2.3',
        '2130706433',
        '[::1]',
        '10.0.0.0/8',
        'a b',
        'a%2e',
      ],
    ],
    [
      'route-path',
      ['/', '/a', '/a/', '/:a/b/:c', '/*', '/a/*', '/a*', '/a.b/%2F'],
      [
        '',
        'a',
        '//',
        '/a//b',
        '/../a',
        '/a/%2e%2E',
        '/*/a',
        '/a**',
        '/a b',
        '/a?b',
        '/a#b',
        '/a\\b',
        '/:',
        '/:1',
        '/:a/:a',
        '/:a*',
      ],
    ],
  ])('%s', (format, good, bad) => {
    expect(good.filter((text) => !accepts(format, text))).toEqual([]);
    expect(bad.filter((text) => accepts(format, text))).toEqual([]);
  });
});
