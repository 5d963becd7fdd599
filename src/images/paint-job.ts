/** One picture to paint, from its description to the finished file. */
import { GatewayError } from '../errors.ts';
import { decodePicture, encodePicture } from './codecs.ts';
import { drawPicture } from './draw.ts';
import { retouchPicture } from './retouch.ts';
import { blockEdge, enlarged, shrunk } from './sketch.ts';
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
  /** For an unfinished picture: which of them it is, from 0, the coarsest. */
  readonly sketch?: number | undefined;
}

/**
 * @throws GatewayError invalid_image for an input that cannot be read or a mask of another size;
 *   operation_not_supported, unsupported_parameter when sharp is needed and not installed
 */
export async function performJob(job: PaintJob): Promise<Uint8Array<ArrayBuffer>> {
  const raster = job.sketch === undefined ? await painted(job) : await sketched(job, job.sketch);
  return encodePicture(raster, job.format, job.compression);
}

function painted(job: PaintJob): Raster | Promise<Raster> {
  return job.inputs.length === 0 ? drawPicture(job) : retouch(job);
}

/** What is drawn from words alone is drawn small, which takes a fraction of the time. */
async function sketched(job: PaintJob, step: number): Promise<Raster> {
  const { width, height } = job;
  const edge = blockEdge(step, width, height);
  const small =
    job.inputs.length === 0
      ? drawPicture({ ...job, width: Math.ceil(width / edge), height: Math.ceil(height / edge) })
      : shrunk(await retouch(job), edge);
  return enlarged(small, edge, width, height);
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
