/** What the file says about the links that callers name: `image_urls`. */
import type { ImageUrlsFile } from '../generated/gateway.ts';

export interface ImageUrlPolicy {
  readonly enabled: boolean;
  /** Of one picture. */
  readonly maxBytes: number;
  /** Milliseconds for all the links of a call, redirects and reading included. */
  readonly timeoutMs: number;
  /** The most redirects that one link may take. */
  readonly redirects: number;
  /**
   * `refused`: not to be followed. `guarded`: to be followed to a public host only. `trusted`: the file names this very
   * origin, so that it is followed wherever it leads.
   */
  judge(url: URL): 'refused' | 'guarded' | 'trusted';
}

export function compileImageUrlPolicy(file: ImageUrlsFile): ImageUrlPolicy {
  const allowed = file.allow.map(compileEntry);
  const denied = file.deny.map(compileEntry);
  return {
    enabled: file.enabled,
    maxBytes: file.max_size,
    timeoutMs: file.timeout,
    redirects: file.redirects,
    judge(url) {
      if (denied.some((entry) => entry.matches(url))) return 'refused';
      const fitting = allowed.filter((entry) => entry.matches(url));
      if (fitting.some(({ isOrigin }) => isOrigin)) return 'trusted';
      return allowed.length === 0 || fitting.length > 0 ? 'guarded' : 'refused';
    },
  };
}

interface Entry {
  readonly isOrigin: boolean;
  matches(url: URL): boolean;
}

/** The file has been checked: an entry is an origin, a host, `*.` and a host, or `*`. */
function compileEntry(text: string): Entry {
  if (/^https?:/.test(text)) return { isOrigin: true, matches: (url) => withoutDot(url).origin === text };
  if (text === '*') return { isOrigin: false, matches: () => true };
  const isWide = text.startsWith('*.');
  // In the spelling that parsed links have: lower case, and ASCII for names in other letters.
  const host = URL.parse(`https://${isWide ? text.slice(2) : text}`)?.hostname ?? text;
  return {
    isOrigin: false,
    matches(url) {
      const { hostname } = withoutDot(url);
      return isWide ? hostname.endsWith(`.${host}`) : hostname === host;
    },
  };
}

/** `example.com.` is `example.com`, only written out. */
function withoutDot(url: URL): URL {
  if (!url.hostname.endsWith('.')) return url;
  const copy = new URL(url);
  copy.hostname = url.hostname.slice(0, -1);
  return copy;
}
