/**
 * Finds the route of a request. A path is exact, or has `:name` segments, or ends in `*`; the most specific one wins, and
 * of equal paths the one with more conditions on host and headers. A route whose method does not fit is passed over, so a
 * catch-all below it may take the request.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** Where a route listens. */
export interface RoutePattern {
  readonly path: string;
  /** Undefined: all. */
  readonly methods: readonly string[] | undefined;
  /** Lower-case, without a port. Undefined: all. */
  readonly hosts: readonly string[] | undefined;
  /** Lower-case names, and the exact value that each must have. */
  readonly headers: Readonly<Record<string, string>>;
}

export type RouteMatch<Route> =
  | { readonly kind: 'found'; readonly route: Route; readonly parameters: Readonly<Record<string, string>> }
  /** The path exists, and answers to these methods. */
  | { readonly kind: 'other-methods'; readonly methods: readonly string[] }
  | { readonly kind: 'none' };

export interface Router<Route> {
  /** @param path percent-encoded, without the query */
  match(method: string, path: string, headers: IncomingHttpHeaders): RouteMatch<Route>;
}

interface Entry<Route> extends RoutePattern {
  readonly route: Route;
  readonly segments: readonly string[];
  readonly wildcard: boolean;
}

export function createRouter<Route>(
  routes: readonly { readonly pattern: RoutePattern; readonly route: Route }[],
): Router<Route> {
  const entries = routes.map(({ pattern, route }) => toEntry(pattern, route)).toSorted(bySpecificity);

  return {
    match(method, path, headers) {
      const segments = decodeSegments(path);
      if (segments === undefined) return { kind: 'none' };
      const others = new Set<string>();
      for (const entry of entries) {
        const parameters = matchSegments(entry, segments);
        if (parameters === undefined || !conditionsHold(entry, headers)) continue;
        if (entry.methods === undefined || entry.methods.includes(method)) {
          return { kind: 'found', route: entry.route, parameters };
        }
        for (const other of entry.methods) others.add(other);
      }
      return others.size > 0 ? { kind: 'other-methods', methods: [...others] } : { kind: 'none' };
    },
  };
}

/** The path's segments, decoded one by one so that an encoded slash stays part of its segment; undefined if not decodable. */
function decodeSegments(path: string): readonly string[] | undefined {
  const raw = path.slice(1).split('/');
  if (!path.includes('%')) return raw;
  try {
    return raw.map(decodeURIComponent);
  } catch {
    // Not UTF-8, or a bare per cent sign: no route can be meant by it.
    return undefined;
  }
}

function toEntry<Route>(pattern: RoutePattern, route: Route): Entry<Route> {
  const wildcard = pattern.path.endsWith('*');
  const path = wildcard ? pattern.path.slice(0, -1) : pattern.path;
  return { ...pattern, route, wildcard, segments: path.slice(1).split('/') };
}

/**
 * More specific first: segment by segment a literal, then the beginning of one (the longer, the more specific), then a
 * name, then the bare `*`; of equal paths the one with more conditions.
 */
function bySpecificity(a: Entry<unknown>, b: Entry<unknown>): number {
  const length = Math.max(a.segments.length, b.segments.length);
  for (let index = 0; index < length; index += 1) {
    const [left, right] = [rank(a, index), rank(b, index)];
    if (left !== right) return right > left ? 1 : -1;
  }
  return conditions(b) - conditions(a);
}

function rank(entry: Entry<unknown>, index: number): number {
  const segment = entry.segments[index];
  const open = entry.wildcard && index === entry.segments.length - 1;
  if (segment === undefined || (open && segment === '')) return 0;
  if (segment.startsWith(':')) return 1;
  return open ? 1 + segment.length : Infinity;
}

function conditions(entry: Entry<unknown>): number {
  return (entry.hosts === undefined ? 0 : 1) + Object.keys(entry.headers).length;
}

function matchSegments(
  { segments, wildcard }: Entry<unknown>,
  given: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (wildcard ? given.length < segments.length : given.length !== segments.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const value = given[index] ?? '';
    if (wildcard && index === segments.length - 1) {
      if (!value.startsWith(segment)) return undefined;
    } else if (segment.startsWith(':')) {
      if (value === '') return undefined;
      parameters[segment.slice(1)] = value;
    } else if (segment !== value) return undefined;
  }
  return parameters;
}

function conditionsHold(entry: Entry<unknown>, headers: IncomingHttpHeaders): boolean {
  if (entry.hosts !== undefined && !entry.hosts.includes(hostName(headers.host ?? ''))) return false;
  return Object.entries(entry.headers).every(([name, value]) => headers[name] === value);
}

/** `example.com` of `Example.com:8080`, `[::1]` of `[::1]:8080`. */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}
