import { withoutSlash } from './requests.ts';

/**
 * Where an API is: the address from the file; or, when that is only a host, as Otoroshi's documentation has some, with
 * the vendor's own path behind it.
 */
export function completeBase(url: string, usualPath: string): string {
  const base = withoutSlash(url);
  return new URL(base).pathname === '/' ? `${base}${usualPath}` : base;
}
