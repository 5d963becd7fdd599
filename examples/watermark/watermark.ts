/**
 * A stage of one's own: it stamps every picture with a small pinhole camera's mark in the lower right corner.
 *
 * A module like this one is named under `extensions:` in gateway.yaml. It exports `stages` and, if it brings any,
 * `providers`. The gateway loads it again when the file changes; requests under way finish with the version they started with.
 */
import sharp from 'sharp';
import { collectPayload, completeResult, defineStage, GatewayError, type ResultImage } from 'pinhole';
import schema from './watermark.schema.json' with { type: 'json' };

interface WatermarkConfig {
  readonly colour: string;
  readonly share: number;
}

/** The largest picture that is taken into memory to be stamped. */
const maxBytes = 64 * 1024 * 1024;

export const watermark = defineStage({
  name: 'watermark',
  schema,
  reads: ['result'],
  writes: ['result'],
  create({ colour, share }: WatermarkConfig) {
    return async function watermark({ result }) {
      const answer = await result.read();
      const images = await Promise.all(answer.images.map((image) => stamp(image, colour, share)));
      return { result: completeResult({ ...answer, images }) };
    };
  },
});

export const stages = [watermark];

async function stamp(image: ResultImage, colour: string, share: number): Promise<ResultImage> {
  if (image.payload.kind === 'link') {
    throw new GatewayError('upstream_invalid_response', 'The provider gave a link; only bytes can be stamped.');
  }
  const picture = sharp(await collectPayload(image.payload, maxBytes));
  const { width, height } = await picture.metadata();
  const edge = Math.max(8, Math.round((Math.min(width, height) * share) / 100));
  const margin = Math.round(edge / 3);
  const mark = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${edge}" height="${edge}" viewBox="0 0 24 24">
       <circle cx="12" cy="12" r="10.5" fill="none" stroke="${colour}" stroke-width="2" opacity="0.85"/>
       <circle cx="12" cy="12" r="2.5" fill="${colour}" opacity="0.85"/>
     </svg>`,
  );
  const bytes = await picture
    .composite([{ input: mark, left: width - edge - margin, top: height - edge - margin }])
    .toBuffer();
  return { ...image, payload: { kind: 'bytes', bytes } };
}
