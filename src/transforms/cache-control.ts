/** What a request's `cache-control` says: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1 */
export interface CacheWishes {
  /** A new answer is wanted. */
  readonly noCache: boolean;
  /** Nothing of this call may be kept, and so nothing be shared. */
  readonly noStore: boolean;
  /** No new answer is wanted. */
  readonly onlyIfCached: boolean;
  /** The oldest answer that will do, in seconds. */
  readonly maxAge: number;
  /** For how many seconds the answer has to be good yet. */
  readonly minFresh: number;
}

export function readCacheControl(header: string | undefined): CacheWishes {
  const directives = new Map(
    (header ?? '').split(',').map((directive) => {
      const [name = '', value = ''] = directive.split('=');
      return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')] as const;
    }),
  );
  return {
    noCache: directives.has('no-cache'),
    noStore: directives.has('no-store'),
    onlyIfCached: directives.has('only-if-cached'),
    maxAge: secondsOf(directives.get('max-age'), { absent: Infinity, wrong: 0 }),
    minFresh: secondsOf(directives.get('min-fresh'), { absent: 0, wrong: Infinity }),
  };
}

/** What is not understood is taken for the strictest. */
function secondsOf(value: string | undefined, { absent, wrong }: { absent: number; wrong: number }): number {
  if (value === undefined) return absent;
  return /^\d+$/.test(value) ? Number(value) : wrong;
}
