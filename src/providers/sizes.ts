/** Sizes in the terms of vendors that have others than OpenAI's `WIDTHxHEIGHT`. */

/** Width and height in pixels, or the two sides of a ratio. */
export interface Sides {
  readonly width: number;
  readonly height: number;
}

/** What a size asks for. */
export type AskedSize =
  | (Sides & { readonly kind: 'pixels' })
  /** Only a ratio: the vendor chooses how large. */
  | (Sides & { readonly kind: 'ratio' });

/** What `size` asks for: `1024x1024`, or `16:9`; undefined for `auto`, and when nothing was said. */
export function askedSize(size: string | undefined): AskedSize | undefined {
  const match = /^(\d+)([x:])(\d+)$/.exec(size ?? '');
  if (match === null) return undefined;
  return { kind: match[2] === 'x' ? 'pixels' : 'ratio', width: Number(match[1]), height: Number(match[3]) };
}

/**
 * The ratio of a vendor's list that is nearest to the size asked for, by the distance of their logarithms; undefined
 * when nothing was asked for.
 * @param ratios as the vendor spells them: `16:9`, `16x9`, `19.5:9`, or a size such as `1792x1024`
 */
export function nearestRatio<Ratio extends string>(
  size: string | undefined,
  ratios: readonly Ratio[],
): Ratio | undefined {
  const asked = askedSize(size);
  if (asked === undefined) return undefined;
  const wanted = Math.log(asked.width / asked.height);
  const distance = (ratio: Ratio): number => Math.abs(Math.log(quotient(ratio)) - wanted);
  return ratios.toSorted((a, b) => distance(a) - distance(b))[0];
}

/** The size of a vendor's list that was asked for, or else the nearest by ratio, then by number of pixels. */
export function nearestSize<Size extends string>(size: string | undefined, sizes: readonly Size[]): Size | undefined {
  const exact = sizes.find((one) => one === size);
  if (exact !== undefined) return exact;
  const asked = askedSize(size);
  const best = nearestRatio(size, sizes);
  if (asked === undefined || best === undefined) return undefined;
  const alike = sizes.filter((one) => Math.abs(Math.log(quotient(one)) - Math.log(quotient(best))) < 1e-6);
  if (asked.kind === 'ratio') return alike[0];
  const wanted = Math.log(asked.width * asked.height);
  const distance = (one: Size): number => Math.abs(Math.log(pixels(one)) - wanted);
  return alike.toSorted((a, b) => distance(a) - distance(b))[0];
}

/** The number of pixels for a size that is only a ratio. */
const usualPixels = 1024 * 1024;

/** What a vendor takes for pixels. */
export interface PixelRules {
  /** Both sides are multiples of this. */
  readonly multipleOf: number;
  readonly least: number;
  readonly most: number;
  /** The most pixels in all. */
  readonly maxPixels?: number;
}

/**
 * The nearest width and height that a vendor takes: scaled down where they are too large, rounded to its multiples.
 * Undefined when no size was asked for.
 */
export function fittingPixels(size: string | undefined, rules: PixelRules): Sides | undefined {
  const asked = askedSize(size);
  if (asked === undefined) return undefined;
  const { multipleOf, least, most, maxPixels = Infinity } = rules;
  const growth = asked.kind === 'ratio' ? Math.sqrt(usualPixels / (asked.width * asked.height)) : 1;
  const shrink = Math.min(
    1,
    most / (Math.max(asked.width, asked.height) * growth),
    Math.sqrt(maxPixels / (asked.width * asked.height)) / growth,
  );
  const fit = (side: number, round: (value: number) => number): number => {
    const rounded = round((side * growth * shrink) / multipleOf) * multipleOf;
    return Math.min(
      Math.floor(most / multipleOf) * multipleOf,
      Math.max(Math.ceil(least / multipleOf) * multipleOf, rounded),
    );
  };
  const nearest = { width: fit(asked.width, Math.round), height: fit(asked.height, Math.round) };
  if (nearest.width * nearest.height <= maxPixels) return nearest;
  return { width: fit(asked.width, Math.floor), height: fit(asked.height, Math.floor) };
}

/** The longer side in pixels of what was asked for; undefined where only a ratio was, or nothing. */
export function longestEdge(size: string | undefined): number | undefined {
  const asked = askedSize(size);
  return asked?.kind === 'pixels' ? Math.max(asked.width, asked.height) : undefined;
}

function quotient(ratio: string): number {
  const [width = 1, height = 1] = ratio.split(/[:x]/).map(Number);
  return width / height;
}

function pixels(size: string): number {
  const [width = 1, height = 1] = size.split(/[:x]/).map(Number);
  return width * height;
}
