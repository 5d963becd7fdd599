/** Sizes as prices go by them. */

interface Sides {
  readonly width: number;
  readonly height: number;
}

/** The sides of `WIDTHxHEIGHT`; undefined for ratios, tiers, `auto`, and when nothing was said. */
export function sidesOf(size: string | undefined): Sides | undefined {
  const [, width, height] = /^(\d{1,6})x(\d{1,6})$/i.exec(size ?? '') ?? [];
  return width === undefined || height === undefined ? undefined : { width: Number(width), height: Number(height) };
}

/** What vendors bill as a megapixel, rather than a million. Sources: Black Forest Labs' answers; fal's and Replicate's pages. */
const megapixel = 1024 * 1024;

/** Megapixels of a size, a begun one as a whole; undefined where there is none to go by. */
export function megapixelsOf(size: string | undefined): number | undefined {
  const sides = sidesOf(size);
  return sides === undefined ? undefined : Math.max(1, Math.ceil((sides.width * sides.height) / megapixel));
}

/** Pixels of the edge of a square that a tier stands for: `512`, `1K`, `2k`; undefined for what is no tier. */
export function tierEdge(name: string): number | undefined {
  const [, number, kilo] = /^(\d{1,5})(k?)$/i.exec(name) ?? [];
  return number === undefined ? undefined : Number(number) * (kilo === '' ? 1 : 1024);
}

/**
 * The tier that a size is of. Which one is asked for goes by the longer edge with most vendors, and what was made by
 * its area, since pictures of one tier differ in shape but not in area.
 * @param tiers names, in any order
 */
export function tierOf(size: string, tiers: readonly string[], by: 'edge' | 'area'): string | undefined {
  const sides = sidesOf(size);
  const known = tiers.flatMap((name) => {
    const edge = tierEdge(name);
    return edge === undefined ? [] : [{ name, edge }];
  });
  if (sides === undefined || known.length === 0) return undefined;
  const { width, height } = sides;
  const sorted = known.toSorted((left, right) => left.edge - right.edge);
  const fits = ({ edge }: { readonly edge: number }): boolean =>
    by === 'edge' ? Math.max(width, height) <= 1.5 * edge : width * height <= 2 * edge * edge;
  return (sorted.find(fits) ?? sorted.at(-1))?.name;
}
