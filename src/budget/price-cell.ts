/** Which figure of a table by quality and size holds for a picture. */
import { sidesOf, tierOf } from './picture-size.ts';
import type { QualityTable, SizeTable } from './tariff.ts';

/** A figure of a table. */
export interface Cell {
  readonly quality: string;
  readonly size: string;
  readonly nanoUsd: bigint;
  /** For a picture larger than any that the table has: how many times as large as the one of this figure. */
  readonly scale: { readonly pixels: number; readonly of: number } | undefined;
}

/** What is known about a picture. */
export interface PictureTraits {
  readonly quality: string | undefined;
  readonly size: string | undefined;
  /** `asked`: it is yet to be made, and may turn out the dearest of what was asked for. `made`: it is there. */
  readonly moment: 'asked' | 'made';
}

/**
 * The exact quality, then `*`; within it the exact size or tier, then `*`. What the table does not have, or what is left
 * to the vendor, is the dearest that it can be.
 */
export function findCell(table: QualityTable, traits: PictureTraits): Cell | undefined {
  const cells = qualityRows(table, traits).flatMap(([quality, sizes]) =>
    sizeCells(sizes, traits).map((cell) => ({ ...cell, quality })),
  );
  return cells.reduce<Cell | undefined>(
    (dearest, cell) => (dearest === undefined || costOf(cell) > costOf(dearest) ? cell : dearest),
    undefined,
  );
}

/** Nano-dollars, a begun one as a whole. */
export function costOf({ nanoUsd, scale }: Pick<Cell, 'nanoUsd' | 'scale'>): bigint {
  if (scale === undefined) return nanoUsd;
  const of = BigInt(scale.of);
  return (nanoUsd * BigInt(scale.pixels) + of - 1n) / of;
}

type Row = readonly [quality: string, sizes: SizeTable];

/** OpenAI's words for quality and those of other vendors, by how much they are. */
const ranks: ReadonlyMap<string, number> = new Map([
  ['low', 0],
  ['turbo', 0],
  ['medium', 1],
  ['standard', 1],
  ['default', 1],
  ['high', 2],
  ['hd', 2],
  ['premium', 2],
  ['quality', 2],
  ['xhigh', 2],
  ['max', 2],
]);

/** What a vendor makes when nothing else is asked for, by the names of its own rows. */
const usual: ReadonlySet<string> = new Set(['standard', 'default']);

/** Words that leave the quality to the vendor, where its table does not have them as rows. */
const open: ReadonlySet<string> = new Set(['', 'auto', 'standard']);

function qualityRows(table: QualityTable, { quality, moment }: PictureTraits): readonly Row[] {
  const rows = [...table];
  const asked = quality?.toLowerCase() ?? '';
  const matching = (fits: (name: string) => boolean): readonly Row[] =>
    rows.filter(([name]) => fits(name.toLowerCase()));
  const exact = matching((name) => name === asked);
  if (exact.length > 0) return exact;
  if (open.has(asked)) {
    const made = moment === 'made' ? matching((name) => usual.has(name)) : [];
    return made.length > 0 ? made : rows;
  }
  const rank = ranks.get(asked);
  const alike = rank === undefined ? [] : matching((name) => ranks.get(name) === rank);
  if (alike.length > 0) return alike;
  const any = matching((name) => name === '*');
  if (any.length > 0) return any;
  const above = rows
    .flatMap(([name]) => ranks.get(name.toLowerCase()) ?? [])
    .filter((other) => other > (rank ?? Infinity));
  return above.length === 0 ? rows : matching((name) => ranks.get(name) === Math.min(...above));
}

function sizeCells(sizes: SizeTable, { size, moment }: PictureTraits): readonly Omit<Cell, 'quality'>[] {
  const all = [...sizes].map(([name, nanoUsd]) => ({ size: name, nanoUsd, scale: undefined }));
  const named = (name: string | undefined) => all.filter((cell) => cell.size.toLowerCase() === name?.toLowerCase());
  const exact = named(size);
  if (exact.length > 0) return exact;
  const sides = sidesOf(size);
  if (size === undefined || sides === undefined) return all;

  const tiers = [...sizes.keys()];
  const byArea = named(tierOf(size, tiers, 'area'));
  if (byArea.length > 0) return moment === 'made' ? byArea : [...byArea, ...named(tierOf(size, tiers, 'edge'))];
  const any = named('*');
  return any.length > 0 ? any : scaled(all, sides.width * sides.height);
}

/** A size that the table does not have costs what the dearest does, and by the pixel what is larger than that. */
function scaled(cells: readonly Omit<Cell, 'quality'>[], pixels: number): readonly Omit<Cell, 'quality'>[] {
  const most = cells.reduce((dearest, { nanoUsd }) => (nanoUsd > dearest ? nanoUsd : dearest), 0n);
  return cells
    .filter(({ nanoUsd }) => nanoUsd === most)
    .map((cell) => {
      const sides = sidesOf(cell.size);
      const of = sides === undefined ? pixels : sides.width * sides.height;
      return pixels > of ? { ...cell, scale: { pixels, of } } : cell;
    });
}
