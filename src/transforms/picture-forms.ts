/** What becomes of a provider's pictures before they go out: how large they are, and their form, format and metadata. */
import { GatewayError } from '../errors.ts';
import { payloadByteLength, payloadBytes, payloadHead } from '../images/convert-payload.ts';
import { inspectPicture, probeDimensions } from '../images/inspect.ts';
import { magicBytes, sniffMediaType } from '../images/probe.ts';
import type { Recoder } from '../images/recoder.ts';
import { withoutMetadata } from '../images/strip.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import type { PriceBook } from '../pipeline/prices.ts';
import type { EffectiveParameters, ResultImage } from '../pipeline/result.ts';
import type { Clock, PictureFetcher } from '../pipeline/stage.ts';
import { inOwedFormat, type OwedFormat } from './output-format.ts';
import { withBytes } from './result-picture.ts';

/** What it takes to give pictures in another form. */
export interface Delivery {
  readonly pictures: PictureFetcher;
  readonly clock: Clock;
  readonly prices: PriceBook;
  /** Whether the gateway can hand out links of its own. */
  readonly canHost: boolean;
  readonly recoder: Recoder;
  /** Whether pictures go out without their metadata. */
  readonly strip: boolean;
  /** The file format that is still to be made. */
  readonly owed: OwedFormat | undefined;
}

/** A JPEG with large metadata tells its size only behind them; further we do not look. */
const dimensionsHeadBytes = 64 * 1024;

/** What was really made, by the header of the first picture: many providers make other sizes than were asked for. */
export async function withSize<
  Made extends { readonly images: readonly ResultImage[]; readonly effective: EffectiveParameters },
>(made: Made): Promise<Made> {
  const [first] = made.images;
  if (made.effective.size !== undefined || first === undefined || first.payload.kind === 'link') return made;
  const dimensions = probeDimensions(await payloadHead(first.payload, dimensionsHeadBytes));
  if (dimensions === undefined) return made;
  return { ...made, effective: { ...made.effective, size: `${dimensions.width}x${dimensions.height}` } };
}

/** So far a document is looked through for the picture that it may be. */
const prologBytes = 4096;

/**
 * That what a provider calls pictures are some, by their first bytes: where a model refuses, its words may come in their place.
 * Here another candidate can still be tried, and nothing has been sent. Links are looked at when they are fetched.
 * @throws GatewayError upstream_invalid_response
 */
export async function checkPictures(images: readonly ResultImage[]): Promise<void> {
  for (const { payload } of images) {
    if (payload.kind === 'link') continue;
    if (payloadByteLength(payload) === undefined)
      throw new GatewayError('upstream_invalid_response', 'A picture in the provider’s answer is not base64.');
    if (!(await isPicture(payload)))
      throw new GatewayError('upstream_invalid_response', 'What the provider calls a picture is none.');
  }
}

/** Nearly all tell by their first bytes; a document in XML may have a long prolog. */
async function isPicture(payload: ResultImage['payload']): Promise<boolean> {
  for (const byteLength of [magicBytes, prologBytes]) {
    if (sniffMediaType(await payloadHead(payload, byteLength)) !== undefined) return true;
  }
  return false;
}

/** A picture as it goes out: fetched where links are not what the caller may get, in the format that is owed. */
export async function imageInForm(
  image: ResultImage,
  { responseFormat, stream }: TargetCall,
  exchange: ExchangeView<'call' | 'target'>,
  { canHost, recoder, strip, owed, ...sources }: Delivery,
): Promise<ResultImage> {
  const wantsLinks = stream
    ? exchange.call.responseFormat === 'url'
    : responseFormat === 'url' || responseFormat === undefined;
  // A link without TLS is that of a server of our own, which callers need not know of.
  const isOurs = canHost && image.payload.kind === 'link' && !image.payload.url.startsWith('https:');
  const mayStay = wantsLinks && exchange.route.urlMode === 'provider' && !isOurs;
  if (mayStay && owed === undefined && !strip) return image;
  const fetched = await withBytes(image, exchange.target, exchange, sources);
  const made = owed === undefined ? fetched : await inOwedFormat(fetched, owed, recoder, exchange.signal);
  return strip ? withoutItsMetadata(made) : made;
}

async function withoutItsMetadata(image: ResultImage): Promise<ResultImage> {
  const { edits } = await inspectPicture(payloadBytes(image.payload));
  return { ...image, payload: await withoutMetadata(image.payload, edits) };
}
