/** The pictures of a call in the form in which the target's provider takes them. */
import { GatewayError } from '../errors.ts';
import { convertMask, type MaskForm } from '../images/codecs.ts';
import { collectPayload, payloadContent, payloadHead } from '../images/convert-payload.ts';
import { probeDimensions, type Dimensions } from '../images/probe.ts';
import type { InputImage, TargetCall, UploadedImage } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { hostedLink } from '../pipeline/hosted-link.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { InputCapabilities, OperationCapabilities } from '../providers/provider.ts';

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
 * @throws GatewayError too_many_images, unsupported_parameter, image_url_not_allowed, invalid_image
 */
export async function prepareInputs(
  call: TargetCall,
  { inputs, mask: maskForm }: OperationCapabilities,
  exchange: Exchange,
  env: StageEnv,
): Promise<TargetCall> {
  if (inputs === undefined || call.images.length === 0) return call;
  if (call.images.length > inputs.max) {
    const message = `The model takes at most ${inputs.max} input images; these are ${call.images.length}.`;
    throw new GatewayError('too_many_images', message, { param: 'image' });
  }
  const images = await Promise.all(call.images.map((image) => inForm(image, 'image', inputs, exchange, env)));
  if (call.mask === undefined || maskForm === undefined) return { ...call, images };
  const mask = await maskInForm(call.mask, maskForm, images[0], inputs, exchange, env);
  return { ...call, images, mask };
}

async function inForm(
  image: InputImage,
  param: 'image' | 'mask',
  { as, files = false }: InputCapabilities,
  exchange: Exchange,
  env: StageEnv,
): Promise<InputImage> {
  if (image.kind === 'provider-file') {
    if (files) return image;
    throw new GatewayError('unsupported_parameter', 'The provider keeps no files: send the image itself.', { param });
  }
  if (as === 'bytes') return fetched(image, param, exchange, env);
  if (as === 'link' && image.payload.kind !== 'link') return hosted(image, param, exchange, env);
  return image;
}

/** The picture behind a caller's link. */
async function fetched(
  image: UploadedImage,
  param: 'image' | 'mask',
  { signal, route, defer }: Exchange,
  { pictures }: StageEnv,
): Promise<UploadedImage> {
  if (image.payload.kind !== 'link') return image;
  try {
    const options = { signal, maxBytes: route.maxUploadBytes, trustedOrigin: undefined, defer };
    return { kind: 'image', ...(await pictures.fetch(image.payload, options)) };
  } catch (error) {
    if (!(error instanceof GatewayError) || error.param !== undefined) throw error;
    throw new GatewayError(error.code, error.message, { param, cause: error.cause });
  }
}

/** An upload under an address of the gateway's own, for as long as the call lasts. */
async function hosted(
  image: UploadedImage,
  param: 'image' | 'mask',
  { defer, signal }: Exchange,
  { blobs, catalogue, clock }: StageEnv,
): Promise<UploadedImage> {
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
  const url = hostedLink(publicUrl + path, { name, untilMs: expiresAtMs }, signer);
  return { ...image, payload: { kind: 'link', url, trust: 'caller' } };
}

async function maskInForm(
  mask: InputImage,
  form: MaskForm,
  first: InputImage | undefined,
  inputs: InputCapabilities,
  exchange: Exchange,
  env: StageEnv,
): Promise<InputImage> {
  // Masks that need no other form go the way of all pictures.
  if (form === 'alpha' && !(await lacksAlpha(mask))) return inForm(mask, 'mask', inputs, exchange, env);
  const { payload } = await fetchedMask(mask, exchange, env);
  const size = form === 'alpha' ? undefined : await dimensionsOf(first);
  const bytes = await convertMask(await collectPayload(payload, maxMaskBytes), form, size);
  return inForm(
    { kind: 'image', payload: { kind: 'bytes', bytes }, mediaType: 'image/png' },
    'mask',
    inputs,
    exchange,
    env,
  );
}

async function fetchedMask(mask: InputImage, exchange: Exchange, env: StageEnv): Promise<UploadedImage> {
  if (mask.kind === 'image') return fetched(mask, 'mask', exchange, env);
  throw new GatewayError('unsupported_parameter', 'The provider keeps no files: send the mask itself.', {
    param: 'mask',
  });
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
