import type { LiveConnection } from './exchange.ts';
import type { LinkSigner } from './settings.ts';

export interface HostedPicture {
  readonly name: string;
  /** Until when the link is to work at most, in milliseconds since 1970. */
  readonly untilMs: number;
}

/**
 * The link to a picture that the gateway keeps.
 * @param base the address of the route that serves pictures, with `:name` in it
 */
export function hostedLink(base: string, { name, untilMs }: HostedPicture, signer: LinkSigner | undefined): string {
  const link = base.replace(':name', encodeURIComponent(name));
  return signer === undefined ? link : `${link}?${signer.sign(name, untilMs)}`;
}

/** The origin under which the caller has reached the gateway. */
export function originOf({ request }: LiveConnection): string {
  return `${'encrypted' in request.socket ? 'https' : 'http'}://${request.headers.host ?? 'localhost'}`;
}
