import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forwardTarget } from '../../../src/http/forward-target.ts';

const target = (base: string, path: string): string => forwardTarget(new URL(base), path).href;

describe('where a request is forwarded to', () => {
  it.each([
    ['https://host', '/v1/files', 'https://host/v1/files'],
    ['https://host/', '/v1/files?a=b', 'https://host/v1/files?a=b'],
    ['https://host/base', '/v1/files', 'https://host/base/v1/files'],
    ['https://host/base/', '/v1/files/', 'https://host/base/v1/files/'],
    ['https://host/base?key=1', '/v1?a=b', 'https://host/base/v1?key=1&a=b'],
    ['https://host/base?key=1', '/v1', 'https://host/base/v1?key=1'],
    ['https://host', '/a?b?c', 'https://host/a?b?c'],
    ['https://host', '//evil.example/x', 'https://host//evil.example/x'],
    ['https://host', '/a%2Fb%20c', 'https://host/a%2Fb%20c'],
    ['https://host', '/?next=/../x', 'https://host/?next=/../x'],
    ['https://host', '/a..b/...', 'https://host/a..b/...'],
  ])('%s and %s: %s', (base, path, expected) => {
    expect(target(base, path)).toBe(expected);
  });

  it.each([
    '/v1/../admin',
    '/v1/..',
    '/./v1',
    '/v1/%2e%2e/admin',
    '/v1/%2E./admin',
    '/v1/.%2e?x',
    '/v1/..%2fadmin',
    '/v1%2f..%2fadmin',
    '/v1/..%5cadmin',
    '/v1\\..\\admin',
  ])('refuses %s', (path) => {
    expect(() => target('https://host/base', path)).toThrow(/segments/);
  });

  it('never leaves the base', () => {
    const piece = fc.constantFrom('/', '..', '.', '%2e', '%2f', '%5c', '\\', 'a', ':', '@', '//', 'http://x');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        let url: URL;
        try {
          url = forwardTarget(new URL('https://host/base'), `/${pieces.join('')}`);
        } catch {
          return;
        }
        expect(url.origin).toBe('https://host');
        expect(url.pathname.startsWith('/base/')).toBe(true);
      }),
    );
  });
});
