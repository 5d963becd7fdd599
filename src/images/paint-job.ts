/** One picture to paint, from its description to the finished file. */
import { GatewayError } from '../errors.ts';
import { decodePicture, encodePicture } from './codecs.ts';
import { drawPicture } from './draw.ts';
import { retouchPicture } from './retouch.ts';
import type { OutputFormat } from './codecs.ts';
import type { Commission } from './draw.ts';
import type { Raster } from './raster.ts';

export interface PaintJob extends Commission {
  readonly format: OutputFormat;
  /** Of the file, in percent; PNG has none. */
  readonly compression: number;
  /** Picture files to paint over; none: a picture from the prompt alone. */
  readonly inputs: readonly Uint8Array[];
  /** A picture file of the first input's size; what is transparent in it is painted over. */
  readonly mask: Uint8Array | undefined;
}

/**
 * @throws GatewayError invalid_image for an input that cannot be read or a mask of another size;
 *   operation_not_supported, unsupported_parameter when sharp is needed and not installed
 */
export async function performJob(job: PaintJob): Promise<Uint8Array<ArrayBuffer>> {
  const raster = job.inputs.length === 0 ? drawPicture(job) : await retouch(job);
  return encodePicture(raster, job.format, job.compression);
}

async function retouch(job: PaintJob): Promise<Raster> {
  const inputs = [];
  for (const bytes of job.inputs) inputs.push(await decodePicture(bytes, job, 'image'));
  const mask = job.mask === undefined ? undefined : await decodePicture(job.mask, job, 'mask');
  const [first] = inputs;
  if (mask !== undefined && (mask.width !== first?.width || mask.height !== first.height)) {
    throw new GatewayError('invalid_image', 'The mask must have the size of the first image.', { param: 'mask' });
  }
  return retouchPicture(
    job,
    inputs.map(({ raster }) => raster),
    mask?.raster,
  );
}
