import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRouter, type RouteMatch, type RoutePattern } from '../../../src/runtime/routing.ts';

/** Routes by their path; the route itself is the path as well, unless it has a name. */
type Given = Partial<RoutePattern> & { readonly path: string; readonly name?: string };

function routerOf(...routes: readonly (string | Given)[]) {
  const router = createRouter(
    routes.map((given) => {
      const { name, ...pattern } = typeof given === 'string' ? { path: given } : given;
      return {
        route: name ?? pattern.path,
        pattern: { methods: undefined, hosts: undefined, headers: {}, ...pattern },
      };
    }),
  );
  return (method: string, path: string, headers: Record<string, string> = {}) => router.match(method, path, headers);
}

const found = (route: string, parameters: Record<string, string> = {}): RouteMatch<string> => ({
  kind: 'found',
  route,
  parameters,
});
const none = { kind: 'none' };

describe('a path', () => {
  it('that is exact matches itself and nothing else', () => {
    const match = routerOf('/v1/models');
    expect(match('GET', '/v1/models')).toEqual(found('/v1/models'));
    for (const other of ['/v1/models/', '/v1/model', '/v1/Models', '/v1', '/', '//v1/models', '/v1//models']) {
      expect(match('GET', other)).toEqual(none);
    }
  });

  it('with a name takes one segment that is not empty', () => {
    const match = routerOf('/v1/models/:id');
    expect(match('GET', '/v1/models/gpt-image-2')).toEqual(found('/v1/models/:id', { id: 'gpt-image-2' }));
    for (const other of ['/v1/models/', '/v1/models', '/v1/models/a/b']) expect(match('GET', other)).toEqual(none);
  });

  it('gives every named segment', () => {
    const match = routerOf('/:version/jobs/:id');
    expect(match('GET', '/v2/jobs/7')).toEqual(found('/:version/jobs/:id', { version: 'v2', id: '7' }));
  });

  it('has its segments decoded one by one, so that an encoded slash is a part of its segment', () => {
    const match = routerOf('/v1/models/:id');
    expect(match('GET', '/v1/models/black-forest-labs%2Fflux-schnell')).toEqual(
      found('/v1/models/:id', { id: 'black-forest-labs/flux-schnell' }),
    );
    expect(match('GET', '/v1/models/z-image%3A16b%20%C3%A9')).toEqual(
      found('/v1/models/:id', { id: 'z-image:16b \u{e9}' }),
    );
    expect(match('GET', '/v1%2Fmodels/x')).toEqual(none);
    expect(match('GET', '/v1/%6Dodels/x')).toEqual(found('/v1/models/:id', { id: 'x' }));
  });

  it('is decoded once only', () => {
    expect(routerOf('/:id')('GET', '/%2525')).toEqual(found('/:id', { id: '%25' }));
  });

  it.each(['/v1/%', '/v1/%zz', '/v1/%ff', '/v1/%c3%28', '/v1/100%'])(
    'that cannot be decoded matches no route, not even a catch-all: %s',
    (path) => {
      expect(routerOf('/*', '/v1/:id')('GET', path)).toEqual(none);
    },
  );

  it('that ends in /* takes everything below, the empty rest included, but not the folder itself', () => {
    const match = routerOf('/v1/*');
    for (const path of ['/v1/', '/v1/a', '/v1/a/b/', '/v1/a%2Fb']) expect(match('GET', path)).toEqual(found('/v1/*'));
    for (const path of ['/v1', '/', '/v2/a', '/v1a']) expect(match('GET', path)).toEqual(none);
  });

  it('that ends in a beginning and * takes what begins so', () => {
    const match = routerOf('/v1/image*');
    for (const path of ['/v1/image', '/v1/images', '/v1/images/edits']) {
      expect(match('GET', path)).toEqual(found('/v1/image*'));
    }
    expect(match('GET', '/v1/ima')).toEqual(none);
  });

  it('of a catch-all takes every path', () => {
    for (const path of ['/', '/a', '/a/b', '//']) expect(routerOf('/*')('GET', path)).toEqual(found('/*'));
  });
});

describe('of several routes that match', () => {
  it('an exact one wins over a name, a name over a catch-all, wherever they stand in the file', () => {
    const paths = ['/v1/images/generations', '/v1/images/:name', '/v1/images/*', '/v1/*', '/:any/*', '/*'];
    for (const listed of [paths, paths.toReversed()]) {
      const match = routerOf(...listed);
      const winners = ['/v1/images/generations', '/v1/images/x', '/v1/images/x/y', '/v1/x', '/x/y', '/'].map((path) => {
        const result = match('GET', path);
        return result.kind === 'found' ? result.route : result.kind;
      });
      expect(winners).toEqual(paths);
    }
  });

  it('the one that is more specific further to the left wins', () => {
    expect(routerOf('/:a/images/edits', '/v1/:b/:c')('GET', '/v1/images/edits')).toMatchObject({ route: '/v1/:b/:c' });
  });

  it('the longer beginning wins', () => {
    for (const paths of [
      ['/v1/im*', '/v1/images*', '/v1/:name'],
      ['/v1/:name', '/v1/images*', '/v1/im*'],
    ]) {
      expect(routerOf(...paths)('GET', '/v1/images-hd')).toMatchObject({ route: '/v1/images*' });
      expect(routerOf(...paths)('GET', '/v1/imprint')).toMatchObject({ route: '/v1/im*' });
    }
  });

  it('of the same path the one with more conditions wins, then the first in the file', () => {
    const match = routerOf(
      { path: '/a', name: 'open' },
      { path: '/a', name: 'for a host', hosts: ['a.example'] },
      { path: '/a', name: 'for a host with a header', hosts: ['a.example'], headers: { 'x-team': 'growth' } },
      { path: '/a', name: 'open too' },
    );
    const host = 'a.example';
    expect(match('GET', '/a', { host, 'x-team': 'growth' })).toMatchObject({ route: 'for a host with a header' });
    expect(match('GET', '/a', { host, 'x-team': 'other' })).toMatchObject({ route: 'for a host' });
    expect(match('GET', '/a', { host: 'b.example' })).toMatchObject({ route: 'open' });
  });

  it('the next one takes over when the conditions of the most specific do not hold', () => {
    const match = routerOf({ path: '/a', hosts: ['a.example'] }, '/:name', '/*');
    expect(match('GET', '/a', { host: 'b.example' })).toEqual(found('/:name', { name: 'a' }));
  });
});

describe('conditions', () => {
  it.each([
    ['example.com', true],
    ['Example.COM:8080', true],
    ['example.com.', false],
    ['api.example.com', false],
    [undefined, false],
  ])('compare the host without its port and its case: %s', (host, matches) => {
    const match = routerOf({ path: '/', hosts: ['example.com', '[::1]'] });
    expect(match('GET', '/', host === undefined ? {} : { host }).kind).toBe(matches ? 'found' : 'none');
  });

  it('know IPv6 hosts', () => {
    const match = routerOf({ path: '/', hosts: ['[::1]'] });
    for (const host of ['[::1]', '[::1]:8080']) expect(match('GET', '/', { host })).toEqual(found('/'));
  });

  it('want every header to have exactly its value', () => {
    const match = routerOf({ path: '/', headers: { 'x-team': 'growth', 'x-tier': '1' } });
    expect(match('GET', '/', { 'x-team': 'growth', 'x-tier': '1', accept: '*/*' })).toEqual(found('/'));
    for (const headers of [{}, { 'x-team': 'growth' }, { 'x-team': 'Growth', 'x-tier': '1' }]) {
      expect(match('GET', '/', headers as Record<string, string>)).toEqual(none);
    }
  });
});

describe('a method', () => {
  const match = routerOf(
    { path: '/v1/images/generations', methods: ['POST'] },
    { path: '/v1/images/:name', methods: ['GET', 'HEAD'] },
    { path: '/v1/files', methods: ['PUT', 'POST'], headers: { 'x-team': 'growth' } },
    { path: '/any' },
  );

  it('that does not fit leaves the request to a less specific route', () => {
    expect(match('GET', '/v1/images/generations')).toMatchObject({ route: '/v1/images/:name' });
  });

  it('that fits none of the routes of the path is told those that do', () => {
    expect(match('DELETE', '/v1/images/generations')).toEqual({
      kind: 'other-methods',
      methods: ['POST', 'GET', 'HEAD'],
    });
    expect(match('POST', '/v1/images/x')).toEqual({ kind: 'other-methods', methods: ['GET', 'HEAD'] });
  });

  it('is not told those of routes whose conditions do not hold', () => {
    expect(match('GET', '/v1/files')).toEqual(none);
    expect(match('GET', '/v1/files', { 'x-team': 'growth' })).toMatchObject({ methods: ['PUT', 'POST'] });
  });

  it('is any where the route names none', () => {
    for (const method of ['GET', 'PROPFIND']) expect(match(method, '/any')).toEqual(found('/any'));
  });
});

describe('any set of routes', () => {
  it('gives each request to the route that a walk down the tree of paths finds first', () => {
    fc.assert(
      fc.property(fc.array(route, { maxLength: 8 }), request, (routes, { method, segments, host }) => {
        const router = createRouter(routes.map((pattern) => ({ pattern, route: pattern })));
        const path = `/${segments.map(encodeURIComponent).join('/')}`;
        const walked = walk(routes, segments).filter(({ hosts }) => hosts === undefined || hosts.includes(host));
        const expected = walked.find(({ methods }) => methods === undefined || methods.includes(method));
        const result = router.match(method, path, { host });
        if (expected !== undefined) expect(result).toMatchObject({ kind: 'found', route: expected });
        else if (walked.length === 0) expect(result).toEqual(none);
        else expect(result).toEqual({ kind: 'other-methods', methods: unique(walked) });
      }),
      { numRuns: 2000 },
    );
  });
});

const unique = (routes: readonly RoutePattern[]): string[] => [
  ...new Set(routes.flatMap(({ methods }) => methods ?? [])),
];

const segment = fc.constantFrom('a', 'b', 'ab', ':x', ':y');
const route: fc.Arbitrary<RoutePattern> = fc
  .record({
    segments: fc.array(segment, { maxLength: 3 }),
    end: fc.constantFrom('', '', '*', 'a*', 'ab*'),
    methods: fc.constantFrom(undefined, ['GET'], ['POST', 'PUT']),
    hosts: fc.constantFrom(undefined, undefined, ['h.example']),
  })
  .map(({ segments, end, ...conditions }) => {
    const all = end === '' ? segments : [...segments, end];
    return { path: `/${all.join('/')}`, headers: {}, ...conditions };
  });
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
  segments: fc.array(fc.constantFrom('a', 'b', 'ab', 'abc', 'c', '', 'a/b', ':x', '%'), { minLength: 1, maxLength: 4 }),
  host: fc.constantFrom('h.example', 'i.example'),
});

/** All routes that match, best first: a plain walk down the tree of their segments. Routes of the same path by conditions. */
function walk(routes: readonly RoutePattern[], given: readonly string[]): readonly RoutePattern[] {
  const [head, ...rest] = given;
  const firstOf = ({ path }: RoutePattern): string => path.slice(1).split('/')[0] ?? '';
  const isLast = ({ path }: RoutePattern): boolean => !path.slice(1).includes('/');
  const below = (matching: readonly RoutePattern[]): readonly RoutePattern[] => {
    const shorter = matching
      .filter((one) => !isLast(one))
      .map((one) => ({ one, path: one.path.slice(1 + firstOf(one).length) }));
    const tails = new Map(shorter.map(({ one, path }) => [{ ...one, path }, one] as const));
    const deeper = rest.length === 0 ? [] : walk([...tails.keys()], rest).flatMap((tail) => tails.get(tail) ?? []);
    return [...(rest.length === 0 ? byConditions(matching.filter(isLast)) : []), ...deeper];
  };
  const open = routes.filter(
    (one) => isLast(one) && one.path.endsWith('*') && (head ?? '').startsWith(firstOf(one).slice(0, -1)),
  );
  const closed = routes.filter((one) => !(isLast(one) && one.path.endsWith('*')));
  const beginnings = open.filter(({ path }) => path !== '/*').toSorted((a, b) => b.path.length - a.path.length);
  return [
    ...below(closed.filter((one) => firstOf(one) === head && !firstOf(one).startsWith(':'))),
    ...[...new Set(beginnings.map(({ path }) => path))].flatMap((path) =>
      byConditions(open.filter((one) => one.path === path)),
    ),
    ...(head === '' ? [] : below(closed.filter((one) => firstOf(one).startsWith(':')))),
    ...byConditions(open.filter(({ path }) => path === '/*')),
  ];
}

function byConditions(routes: readonly RoutePattern[]): readonly RoutePattern[] {
  return [...routes.filter(({ hosts }) => hosts !== undefined), ...routes.filter(({ hosts }) => hosts === undefined)];
}
