import type { TargetCall } from '../pipeline/call.ts';
import type { PriceQuestion } from '../pipeline/prices.ts';
import type { Target } from '../pipeline/settings.ts';

/** What prices want to know of a call, or of one request of a call that is fanned out. */
export function priceQuestion({ entity }: Target, call: TargetCall): PriceQuestion {
  const { operation, model, parameters, prompt = '', images, mask, partialImages, unknown } = call;
  // What vendors' own members say goes before the parameters; prices do not know them, and take the dearest then.
  const { size, quality } = ownSizes.some((name) => unknown[name] !== undefined) ? {} : parameters;
  return {
    provider: entity.providerNames[0] ?? '',
    entity: entity.id,
    model,
    operation,
    size,
    quality,
    n: parameters.n ?? 1,
    inputImages: images.length + (mask === undefined ? 0 : 1),
    steps: mostOf(ownSteps.map((name) => unknown[name])),
    promptBytes: Buffer.byteLength(prompt),
    partialImages,
  };
}

/** Members by which vendors are told how large a picture is to be. */
const ownSizes = ['width', 'height', 'aspect_ratio', 'image_size', 'resolution', 'megapixels'];
/** Members by which vendors that bill by steps are told how many. */
const ownSteps = ['steps', 'num_inference_steps', 'num_steps'];

function mostOf(values: readonly unknown[]): number | undefined {
  const numbers = values.map(Number).filter((value) => value > 0 && value < 1e6);
  return numbers.length === 0 ? undefined : Math.ceil(Math.max(...numbers));
}
