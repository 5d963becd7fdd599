import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from './settings.ts';

/** What goes into logs and books as it is: printable ASCII, short, no blanks around it. */
const saneLabel = /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/;

/** What a request says about the end user and the session behind it; what is not sane is not taken down. */
export function callerLabels(headers: IncomingHttpHeaders): Pick<Caller, 'endUser' | 'session'> {
  const label = (what: 'user' | 'session'): string | undefined =>
    [headers[`x-pinhole-${what}-id`], headers[`x-opengateway-${what}-id`]].find(isSane);
  return { endUser: label('user'), session: label('session') };
}

function isSane(value: string | readonly string[] | undefined): value is string {
  return typeof value === 'string' && saneLabel.test(value);
}
