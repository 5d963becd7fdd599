/** The file format that a caller asked for, where the provider does not give it: the gateway makes it. */
import { canRecode } from '../images/codecs.ts';
import { payloadHead } from '../images/convert-payload.ts';
import { magicBytes, sniffMediaType } from '../images/probe.ts';
import type { Recoder, WantedFormat } from '../images/recoder.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ResultImage } from '../pipeline/result.ts';
import type { OperationCapabilities } from '../providers/provider.ts';

/** What the gateway may have to do to a picture. */
export interface OwedFormat {
  /** The format asked for; undefined: whichever it has. */
  readonly format: WantedFormat['format'] | undefined;
  /** Percent, where the provider cannot be told; undefined: as it is. */
  readonly quality: number | undefined;
}

const formats: ReadonlyMap<string, WantedFormat['format']> = new Map([
  ['png', 'png'],
  ['jpeg', 'jpeg'],
  ['jpg', 'jpeg'],
  ['webp', 'webp'],
]);

/** What the provider is not certain to do by itself and the gateway can; undefined when there is nothing. */
export async function owedFormat(
  { parameters: { outputFormat, outputCompression } }: TargetCall,
  { parameters }: OperationCapabilities,
): Promise<OwedFormat | undefined> {
  const format =
    parameters.outputFormat === 'native' || outputFormat === undefined ? undefined : formats.get(outputFormat);
  const quality = parameters.outputCompression === undefined ? outputCompression : undefined;
  if (format === undefined && quality === undefined) return undefined;
  return (await canRecode()) ? { format, quality } : undefined;
}

/** Quality that is not asked for, as OpenAI has it. */
const bestQuality = 100;

/** The picture as it is owed: the same one when it is so already. Its bytes must be at hand. @throws GatewayError */
export async function inOwedFormat(
  image: ResultImage,
  { format, quality }: OwedFormat,
  recoder: Recoder,
  signal: AbortSignal,
): Promise<ResultImage> {
  const mediaType = sniffMediaType(await payloadHead(image.payload, magicBytes));
  const has = formats.get(mediaType?.replace(/^image\//, '') ?? '');
  const wanted = format ?? has;
  // What is no picture of a kind that can be written is left as it is, and so is a quality that PNG does not have.
  if (wanted === undefined || mediaType === undefined) return image;
  if (has === wanted && (quality === undefined || wanted === 'png')) return image;
  const payload = await recoder.recode(image.payload, { format: wanted, quality: quality ?? bestQuality }, signal);
  return { ...image, payload };
}
