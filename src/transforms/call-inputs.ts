/** The pictures of a call in the form in which the target's provider takes them. */
import { GatewayError } from '../errors.ts';
import { convertMask, type MaskForm } from '../images/codecs.ts';
import { collectPayload, payloadContent, payloadHead } from '../images/convert-payload.ts';
import { probeDimensions, type Dimensions } from '../images/inspect.ts';
import type { InputImage, InputRules, TargetCall, UploadedImage } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { hostedLink } from '../pipeline/hosted-link.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { OperationCapabilities } from '../providers/provider.ts';
import { createPictureCheck, type PictureParam } from './picture-check.ts';

/** A mask is drawn, so that it shrinks well; this is the largest that OpenAI takes, four times over. */
const maxMaskBytes = 16 * 1024 * 1024;
/**
 * Milliseconds that an upload is hosted if nothing takes it away at the end of its call, as when the gateway is killed. In a
 * call that takes longer it is gone before the end, but providers fetch it when the call begins.
 */
const mostUploadMs = 3_600_000;
/** A JPEG with large metadata tells its size only behind them. */
const dimensionsHeadBytes = 512 * 1024;

/**
 * Links fetched where a provider wants bytes, uploads hosted where it wants links, the mask in the provider's form.
 * @throws GatewayError too_many_images, unsupported_parameter, image_url_not_allowed, invalid_image, payload_too_large
 */
export type PrepareInputs = (
  call: TargetCall,
  capabilities: OperationCapabilities,
  exchange: Exchange,
) => Promise<TargetCall>;

export function createInputPreparer(env: StageEnv): PrepareInputs {
  // What was done with a picture for one candidate serves the others as well.
  /** What was behind the links of calls. */
  const known = new WeakMap<InputImage, UploadedImage>();
  /** Where providers find the pictures of calls. */
  const addresses = new WeakMap<InputImage, Promise<string>>();

  /** The same pictures with their bytes at hand. */
  async function atHand(
    pictures: readonly Picture[],
    call: TargetCall,
    exchange: Exchange,
  ): Promise<readonly Picture[]> {
    const unknown = pictures.filter(({ image }) => !known.has(image));
    const fetched = await fetchLinks(unknown, call.inputRules, exchange, env);
    for (const [image, picture] of fetched) known.set(image, picture);
    return pictures.map(({ image, param }) => ({ image: known.get(image) ?? image, param }));
  }

  /** The same picture under an address that its provider can fetch it from. */
  async function linked({ image, param }: Picture, exchange: Exchange): Promise<InputImage> {
    if (image.kind !== 'image') return image;
    const { payload } = image;
    const address =
      addresses.get(image) ??
      (payload.kind === 'link'
        ? env.pictures.vouch({ url: payload.url, param }, exchange.signal)
        : host(image, param, exchange, env));
    addresses.set(image, address);
    return { ...image, payload: linkTo(await address) };
  }

  return async function prepareInputs(call, { inputs, mask: form }, exchange) {
    if (inputs === undefined || call.images.length === 0) return call;
    const { max, as, files = false } = inputs;
    const pictures = picturesOf(call, form !== undefined);
    checkNumber(call.images.length, max);
    if (!files) for (const picture of pictures) refuseFile(picture);

    const taken = as === 'bytes' ? await atHand(pictures, call, exchange) : pictures;
    const [first] = taken;
    const ready = taken.map(async (picture) => {
      const isMask = picture.param === 'mask' && form !== undefined;
      const turned = isMask
        ? await inMaskForm(picture, form, first, (mask) => atHand([mask], call, exchange))
        : picture;
      return as === 'link' ? linked(turned, exchange) : turned.image;
    });
    const images = [...(await allOf(ready))];
    const mask = pictures.length > call.images.length ? images.pop() : call.mask;
    return { ...call, images, mask };
  };
}

/**
 * What is behind those of these pictures that are links, by the picture that is the link.
 * @throws GatewayError image_url_not_allowed, invalid_image, payload_too_large; `param` names the member
 */
export async function fetchLinks(
  pictures: readonly Picture[],
  rules: InputRules,
  { signal, route, defer }: Exchange,
  env: StageEnv,
): Promise<ReadonlyMap<InputImage, UploadedImage>> {
  const links = pictures.flatMap(({ image, param }) => {
    if (image.kind !== 'image' || image.payload.kind !== 'link') return [];
    const check = createPictureCheck(param, rules);
    return { image, check, url: image.payload.url, param, see: check.see };
  });
  const found = new Map<InputImage, UploadedImage>();
  if (links.length === 0) return found;
  const fetched = await env.pictures.fetchAll(links, { signal, maxBytes: route.maxUploadBytes, defer });
  for (const [index, { image, check }] of links.entries()) {
    const picture = fetched[index];
    if (picture !== undefined) found.set(image, await check.admit(picture.payload));
  }
  return found;
}

/** The values of all. Waits for every one of them, so that nothing is left under way. @throws the first failure in the list */
async function allOf<Value>(work: readonly Promise<Value>[]): Promise<readonly Value[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

export interface Picture {
  readonly image: InputImage;
  readonly param: PictureParam;
}

/** The images in their order, and the mask behind them. */
function picturesOf({ images, mask }: TargetCall, takesMask: boolean): readonly Picture[] {
  const pictures = images.map((image): Picture => ({ image, param: 'image' }));
  return mask === undefined || !takesMask ? pictures : [...pictures, { image: mask, param: 'mask' }];
}

function checkNumber(given: number, max: number): void {
  if (given <= max) return;
  const message = `The model takes at most ${max} input images; these are ${given}.`;
  throw new GatewayError('too_many_images', message, { param: 'image' });
}

function refuseFile({ image, param }: Picture): void {
  if (image.kind !== 'provider-file') return;
  throw new GatewayError('unsupported_parameter', `The provider keeps no files: send the ${param} itself.`, { param });
}

function linkTo(url: string): { readonly kind: 'link'; readonly url: string; readonly trust: 'caller' } {
  return { kind: 'link', url, trust: 'caller' };
}

/** Keeps an upload under an address of the gateway's own for as long as the call lasts. */
async function host(
  image: UploadedImage,
  param: PictureParam,
  { defer, signal }: Exchange,
  { blobs, catalogue, clock }: StageEnv,
): Promise<string> {
  const { publicUrl, path, signer } = catalogue.hosting;
  if (publicUrl === undefined || path === undefined) {
    const message =
      'The provider takes only links to images, and this gateway cannot offer it any: ' +
      'send a public https URL, or set `server.public_url` and a route that serves hosted images.';
    throw new GatewayError('unsupported_parameter', message, { param });
  }
  const expiresAtMs = clock.now() + mostUploadMs;
  const options = { expiresAtMs, oneCall: true, signal };
  const content = payloadContent(image.payload);
  const name = await blobs.put(content, image.mediaType ?? 'application/octet-stream', options);
  defer(() => blobs.remove(name));
  return hostedLink(publicUrl + path, { name, untilMs: expiresAtMs }, signer);
}

/** @param fetch brings the bytes of a mask that is still behind its link */
async function inMaskForm(
  mask: Picture,
  form: MaskForm,
  first: Picture | undefined,
  fetch: (mask: Picture) => Promise<readonly Picture[]>,
): Promise<Picture> {
  // Masks that need no other form go the way of all pictures.
  if (form === 'alpha' && !(await lacksAlpha(mask.image))) return mask;
  // A vendor that keeps files gets a mask that it has as it is asked for, which is in OpenAI's form.
  const [here] = await fetch(mask);
  if (here?.image.kind !== 'image')
    throw new GatewayError('unsupported_parameter', 'Send the mask itself.', { param: 'mask' });
  const size = form === 'alpha' ? undefined : await dimensionsOf(first?.image);
  const bytes = await convertMask(await collectPayload(here.image.payload, maxMaskBytes), form, size);
  return { param: 'mask', image: { kind: 'image', payload: { kind: 'bytes', bytes }, mediaType: 'image/png' } };
}

/** Whether a mask certainly has no transparency: any kind of file but a PNG, and a PNG of grey or of colours alone. */
async function lacksAlpha(mask: InputImage): Promise<boolean> {
  if (mask.kind !== 'image' || mask.payload.kind === 'link') return false;
  if (mask.mediaType === 'image/jpeg') return true;
  if (mask.mediaType !== 'image/png') return false;
  // The colour type, in the header of a PNG: https://www.w3.org/TR/png-3/#11IHDR
  const colourType = (await payloadHead(mask.payload, 26))[25];
  return colourType === 0 || colourType === 2;
}

async function dimensionsOf(image: InputImage | undefined): Promise<Dimensions | undefined> {
  if (image?.kind !== 'image' || image.payload.kind === 'link') return undefined;
  return probeDimensions(await payloadHead(image.payload, dimensionsHeadBytes));
}
