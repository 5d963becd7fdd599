import { describe, expect, it } from 'vitest';
import { readCacheControl } from '../../../src/transforms/cache-control.ts';

const nothing = { noCache: false, noStore: false, onlyIfCached: false, maxAge: Infinity, minFresh: 0 };

describe('what a request’s `cache-control` says', () => {
  it('is nothing when it is absent, or speaks of something else', () => {
    for (const header of [undefined, '', ',', 'public, max-stale=5, no-transform', 'x-no-cache']) {
      expect(readCacheControl(header)).toEqual(nothing);
    }
  });

  it('is read whatever the case, the spaces and the quotes', () => {
    expect(readCacheControl(' No-Cache ,NO-STORE')).toEqual({ ...nothing, noCache: true, noStore: true });
    expect(readCacheControl('only-if-cached, max-age="60" , Min-Fresh = 5')).toEqual({
      ...nothing,
      onlyIfCached: true,
      maxAge: 60,
      minFresh: 5,
    });
  });

  it('is taken in its strictest sense where it makes none', () => {
    for (const value of ['', '=', '=-1', '=1.5', '=soon', '=1e9']) {
      expect(readCacheControl(`max-age${value}, min-fresh${value}`)).toEqual({
        ...nothing,
        maxAge: 0,
        minFresh: Infinity,
      });
    }
  });
});
