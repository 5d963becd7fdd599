/**
 * Reading pictures, and writing formats other than PNG, with sharp. It is an optional dependency with native code,
 * loaded when it is first needed; without it, whatever does not need it goes on working.
 */
import type sharpModule from 'sharp';
import { GatewayError } from '../errors.ts';
import { encodePng } from './png.ts';
import type { Raster } from './raster.ts';

export type OutputFormat = 'png' | 'jpeg' | 'webp' | 'avif';

/** Decoded, this is 256 MiB. A small file can claim far more than it holds. */
const maxInputPixels = 64 * 1024 * 1024;

/** Everything else that libvips can read (SVG, PDF, TIFF, …) has no business in a request. */
const loaders = ['Png', 'Jpeg', 'Webp', 'Nsgif', 'Heif'].map((name) => `VipsForeignLoad${name}`);

let loading: Promise<typeof sharpModule> | undefined;

async function loadSharp(): Promise<typeof sharpModule> {
  const { default: sharp } = await import('sharp');
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: loaders });
  return sharp;
}

/** @param missing the error to throw when sharp is not installed */
async function openSharp(missing: (cause: unknown) => GatewayError): Promise<typeof sharpModule> {
  loading ??= loadSharp();
  try {
    return await loading;
  } catch (cause) {
    loading = undefined;
    throw missing(cause);
  }
}

export interface DecodedPicture {
  readonly raster: Raster;
  /** What the file itself measures, upright. */
  readonly width: number;
  readonly height: number;
}

/**
 * A picture file as pixels of the given size: scaled to cover it, and cut evenly where it sticks out. A picture that
 * has this size already comes out bit by bit.
 * @param param the request parameter that the picture came in
 * @throws GatewayError invalid_image; operation_not_supported when sharp is not installed
 */
export async function decodePicture(
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  param: string,
): Promise<DecodedPicture> {
  const sharp = await openSharp(
    (cause) =>
      new GatewayError('operation_not_supported', 'Editing pictures needs the optional dependency sharp.', { cause }),
  );
  const { width, height } = size;
  try {
    const picture = sharp(bytes, { limitInputPixels: maxInputPixels, failOn: 'error' }).autoOrient();
    const { autoOrient } = await picture.metadata();
    const pixels = await picture
      .resize(width, height, { fit: 'cover' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer();
    const data = new Uint8ClampedArray(width * height * 4);
    data.set(pixels);
    return { raster: { width, height, data }, width: autoOrient.width, height: autoOrient.height };
  } catch (cause) {
    const message = 'The image cannot be read: it is damaged, too large, or not a PNG, JPEG, WebP, GIF or AVIF file.';
    throw new GatewayError('invalid_image', message, { param, cause });
  }
}

/**
 * A picture file. PNG is written without sharp.
 * @param quality percent, 0 to 100; PNG has none
 * @throws GatewayError unsupported_parameter when sharp is not installed
 */
export async function encodePicture(
  raster: Raster,
  format: OutputFormat,
  quality: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (format === 'png') return encodePng(raster);
  const sharp = await openSharp(cannotWrite(format));
  const { width, height, data } = raster;
  const picture = sharp(data, { raw: { width, height, channels: 4 } });
  const options = { quality: Math.max(1, Math.round(quality)) };
  const encoded =
    format === 'jpeg'
      ? picture.flatten({ background: '#ffffff' }).jpeg(options)
      : format === 'webp'
        ? picture.webp({ ...options, effort: 2 })
        : picture.avif({ ...options, effort: 2 });
  // Into memory of its own, so that it can be handed to another thread.
  return new Uint8Array(await encoded.toBuffer());
}

/**
 * How a mask marks the part of a picture to change: OpenAI's transparency; or a grey picture in which it is white, or black.
 */
export type MaskForm = 'alpha' | 'white' | 'black';

/**
 * A mask in another form, strict: each pixel is to change or not. What is half transparent or more in the mask given is to
 * change; of one without any transparency it is what is half white or more, as most tools draw them.
 * @param size scaled to this; its own if not given
 * @throws GatewayError invalid_image; operation_not_supported when sharp is not installed
 */
export async function convertMask(
  mask: Uint8Array,
  form: MaskForm,
  size: { readonly width: number; readonly height: number } | undefined,
): Promise<Uint8Array> {
  const sharp = await openSharp(
    (cause) =>
      new GatewayError('operation_not_supported', 'Converting masks needs the optional dependency sharp.', { cause }),
  );
  try {
    const open = () => sharp(mask, { limitInputPixels: maxInputPixels, failOn: 'error' }).autoOrient();
    const { autoOrient, hasAlpha } = await open().metadata();
    const { width, height } = size ?? autoOrient;
    const sized = open().resize(width, height, { fit: 'fill', kernel: 'nearest' });
    const byAlpha = hasAlpha && !(await open().stats()).isOpaque;
    const grey = byAlpha ? sized.ensureAlpha().extractChannel('alpha') : sized.flatten().greyscale();
    // White is what stays when alpha was read, and what changes when brightness was.
    const strict = grey.threshold(128).toColourspace('b-w');
    const turned = byAlpha === (form === 'white') ? strict.negate() : strict;
    if (form !== 'alpha') return new Uint8Array(await turned.png().toBuffer());
    const raw = { width, height, channels: 1 } as const;
    const alpha = await turned.raw().toBuffer();
    const black = { width, height, channels: 3, background: '#000000' } as const;
    return new Uint8Array(await sharp({ create: black }).joinChannel(alpha, { raw }).png().toBuffer());
  } catch (cause) {
    const message = 'The mask cannot be read: it is damaged, too large, or not a PNG, JPEG, WebP, GIF or AVIF file.';
    throw new GatewayError('invalid_image', message, { param: 'mask', cause });
  }
}

const cannotWrite = (format: OutputFormat) => (cause: unknown) =>
  new GatewayError('unsupported_parameter', `Writing ${format} needs the optional dependency sharp.`, {
    param: 'output_format',
    cause,
  });

/** Whether pictures can be written anew in another format: whether sharp is installed. */
export async function canRecode(): Promise<boolean> {
  loading ??= loadSharp();
  try {
    await loading;
    return true;
  } catch {
    // An optional dependency: without it, whoever asks does without.
    loading = undefined;
    return false;
  }
}

/**
 * A picture file written anew in another format. What it tells besides pixels is kept as far as the format has room for it.
 * @param quality percent, 0 to 100; PNG has none
 * @throws GatewayError upstream_invalid_response when the file cannot be read; unsupported_parameter without sharp
 */
export async function recodePicture(
  bytes: Uint8Array,
  format: Exclude<OutputFormat, 'avif'>,
  quality: number,
): Promise<Uint8Array> {
  const sharp = await openSharp(cannotWrite(format));
  const options = { quality: Math.max(1, Math.round(quality)) };
  try {
    const picture = sharp(bytes, { limitInputPixels: maxInputPixels, failOn: 'error' }).keepMetadata();
    const encoded =
      format === 'jpeg'
        ? picture.flatten({ background: '#ffffff' }).jpeg(options)
        : format === 'webp'
          ? picture.webp({ ...options, effort: 2 })
          : picture.png({ compressionLevel: 6 });
    return new Uint8Array(await encoded.toBuffer());
  } catch (cause) {
    throw new GatewayError('upstream_invalid_response', 'The provider’s picture cannot be read.', { cause });
  }
}
