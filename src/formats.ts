/** The `format`s that schemas may use for text. Each function says what is wrong with a text, or nothing. */
import { isIP } from 'node:net';
import { parseListenAddress } from './listen-address.ts';
import { compilePattern } from './pattern.ts';
import { BadS3Location, parseS3Location } from './s3-location.ts';
import { parseTimestamp } from './timestamp.ts';

export type FormatCheck = (text: string) => string | undefined;

export const formats: Readonly<Record<string, FormatCheck>> = {
  re2: explainPattern,
  'time-zone': explainTimeZone,
  timestamp: explainTimestamp,
  'listen-address': explainListenAddress,
  cidr: explainNetwork,
  'http-url': explainHttpUrl,
  origin: explainOrigin,
  'link-source': explainLinkSource,
  'route-path': explainRoutePath,
  'image-place': explainImagePlace,
  'limits-place': explainLimitsPlace,
};

function explainListenAddress(text: string): string | undefined {
  try {
    parseListenAddress(text);
    return undefined;
  } catch {
    return 'must be HOST:PORT, [IPV6]:PORT or :PORT, such as 127.0.0.1:8080';
  }
}

function explainPattern(text: string): string | undefined {
  try {
    compilePattern(text);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `is not a regular expression in RE2's syntax: ${reason}`;
  }
}

function explainTimeZone(text: string): string | undefined {
  try {
    // The constructor is the only check that the language offers.
    new Intl.DateTimeFormat('en', { timeZone: text }).format(0);
    return undefined;
  } catch {
    return 'is not a time zone that is known here, such as UTC or Europe/Berlin';
  }
}

function explainTimestamp(text: string): string | undefined {
  return parseTimestamp(text) === undefined
    ? 'must be a date such as 2027-01-31, or date and time with a time zone, such as 2027-01-31T12:00:00Z'
    : undefined;
}

function explainNetwork(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.split('/');
  const bits = { 4: 32, 6: 128, 0: -1 }[isIP(address)] ?? -1;
  const prefixIsGood = prefix === undefined || (/^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= bits);
  return bits > 0 && prefixIsGood && rest.length === 0
    ? undefined
    : 'must be an address or a network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8';
}

function explainHttpUrl(text: string): string | undefined {
  const url = URL.parse(text);
  const isGood = /^https?:\/\//i.test(text) && url !== null && url.search === '' && url.hash === '';
  return isGood ? undefined : 'must be an address that starts with http:// or https://, without query and fragment';
}

function explainOrigin(text: string): string | undefined {
  const isGood = text === '*' || (/^https?:\/\//.test(text) && URL.parse(text)?.origin === text);
  return isGood ? undefined : 'must be * or an origin such as https://app.example.com, without a path';
}

function explainLinkSource(text: string): string | undefined {
  if (text === '*') return undefined;
  if (/^https?:/i.test(text)) {
    return URL.parse(text)?.origin === text
      ? undefined
      : 'must be an origin such as https://10.1.2.3:8443, in lower case and without a path';
  }
  const name = text.replace(/^\*\./, '');
  const host = /^[^\s.*:/?#@\\[\]%]+(?:\.[^\s.*:/?#@\\[\]%]+)*$/.test(name)
    ? URL.parse(`https://${name}`)?.hostname
    : undefined;
  if (host === undefined) {
    return 'must be a host such as pictures.example.com, *.example.com, *, or an origin such as https://10.1.2.3:8443';
  }
  return isIP(host) === 0 ? undefined : 'is an address, which is trusted as an origin only: https://10.1.2.3:8443';
}

function explainRoutePath(text: string): string | undefined {
  if (!text.startsWith('/')) return 'must start with /';
  if (/[\s?#\\]/.test(text)) return 'must be a path only, without spaces, backslashes, query and fragment';
  const segments = text.slice(1).split('/');
  const names = new Set<string>();
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === '' && !isLast) return 'must not have empty segments';
    if (/^(\.|%2e){1,2}$/i.test(segment)) return 'must not have the segments . and ..';
    if (segment.slice(0, isLast ? -1 : undefined).includes('*')) return 'may have * only at its end';
    if (!segment.startsWith(':')) continue;
    const name = segment.slice(1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `has a segment without a proper name: :${name}`;
    if (names.has(name)) return `has two segments of the name :${name}`;
    names.add(name);
  }
  return undefined;
}

/** Folders are any text; what is neither a folder nor a bucket is the schema's to refuse. */
function explainLimitsPlace(text: string): string | undefined {
  if (!/^rediss?:/.test(text)) return undefined;
  const address = URL.parse(text);
  const isAddress = /^rediss?:\/\//.test(text) && address !== null && address.hostname !== '';
  const isWhole = isAddress && /^\/?[0-9]*$/.test(address.pathname) && address.search === '' && address.hash === '';
  return isWhole ? undefined : 'must be redis://HOST:PORT/DATABASE, where the database is a number';
}

function explainImagePlace(text: string): string | undefined {
  if (!text.startsWith('s3://')) return undefined;
  try {
    parseS3Location(text);
    return undefined;
  } catch (error) {
    if (error instanceof BadS3Location) return error.message;
    throw error;
  }
}
