/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * One limit, written here, and any number of further ones under `limits`. A request counts on all of them, or, when one has no room, on none.
 */
export interface RateLimitConfig {
  /**
   * A name. Limits that read the same are one limit wherever they stand; with names of their own they count apart.
   */
  id?: string;
  /**
   * How many requests there may be in one `window`.
   */
  requests?: number;
  /**
   * How many pictures may be asked for in one `window`; a call counts with its `n`. The stage must then stand below `parse`, and sees the entity's own `n` only below `route-resolve`.
   */
  images?: number;
  /**
   * The length of time that `requests` and `images` are for: a duration, or milliseconds. Room comes back evenly over it, not all at its end. Here: milliseconds.
   */
  window: number;
  /**
   * How many there may be at once after a pause. Absent: as many as in one window. Only with one of `requests` and `images`.
   */
  burst?: number;
  /**
   * How many requests may be under way at the same time.
   */
  concurrency?: number;
  /**
   * Count apart for each value of this; callers that have none share one count. ip: by the address that is left when `server.trusted_proxies` are taken off, IPv6 by its /64. entity: for the entity that a call goes to; a stage within `fallback` then lets the next candidate have a try. global: one count for all.
   */
  per: 'consumer' | 'user' | 'team' | 'ip' | 'route' | 'entity' | 'global';
  /**
   * Further limits.
   */
  limits: RateLimitFile[];
}
/**
 * A limit: at least one of `requests`, `images` and `concurrency`.
 */
export interface RateLimitFile {
  /**
   * A name. Limits that read the same are one limit wherever they stand; with names of their own they count apart.
   */
  id?: string;
  /**
   * How many requests there may be in one `window`.
   */
  requests?: number;
  /**
   * How many pictures may be asked for in one `window`; a call counts with its `n`. The stage must then stand below `parse`, and sees the entity's own `n` only below `route-resolve`.
   */
  images?: number;
  /**
   * The length of time that `requests` and `images` are for: a duration, or milliseconds. Room comes back evenly over it, not all at its end. Here: milliseconds.
   */
  window: number;
  /**
   * How many there may be at once after a pause. Absent: as many as in one window. Only with one of `requests` and `images`.
   */
  burst?: number;
  /**
   * How many requests may be under way at the same time.
   */
  concurrency?: number;
  /**
   * Count apart for each value of this; callers that have none share one count. ip: by the address that is left when `server.trusted_proxies` are taken off, IPv6 by its /64. entity: for the entity that a call goes to; a stage within `fallback` then lets the next candidate have a try. global: one count for all.
   */
  per: 'consumer' | 'user' | 'team' | 'ip' | 'route' | 'entity' | 'global';
}
