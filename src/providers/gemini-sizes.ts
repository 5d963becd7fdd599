/** Which ratios and sizes Gemini's image models know. Source: ai.google.dev, "Image generation" (November 2026). */
import type { WireMembers } from './requests.ts';
import { longestEdge, nearestRatio } from './sizes.ts';

/** The values of `imageSize`: the longest edge that each is for, and its size beside that of 1K. */
const tiers = {
  '512': { upTo: 768, scale: 0.5 },
  '1K': { upTo: 1536, scale: 1 },
  '2K': { upTo: 3072, scale: 2 },
  '4K': { upTo: Infinity, scale: 4 },
} as const;
type Tier = keyof typeof tiers;

interface Family {
  readonly ratios: readonly string[];
  /** The smallest first; none where the model makes one size only. */
  readonly tiers: readonly Tier[];
  /** What a ratio comes to at 1K, as far as it is documented. */
  readonly pixels: Readonly<Record<string, string>>;
}

const pro: Family = {
  ratios: ['1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', '21:9'],
  tiers: ['1K', '2K', '4K'],
  pixels: {
    '1:1': '1024x1024',
    '2:3': '848x1264',
    '3:2': '1264x848',
    '3:4': '896x1200',
    '4:3': '1200x896',
    '4:5': '928x1152',
    '5:4': '1152x928',
    '9:16': '768x1376',
    '16:9': '1376x768',
    '21:9': '1584x672',
  },
};
const flash: Family = {
  ...pro,
  ratios: [...pro.ratios, '1:4', '4:1', '1:8', '8:1'],
  tiers: ['512', '1K', '2K', '4K'],
};
const flashLite: Family = { ...flash, tiers: [] };
const oldFlash: Family = {
  ...pro,
  tiers: [],
  pixels: {
    '1:1': '1024x1024',
    '2:3': '832x1248',
    '3:2': '1248x832',
    '3:4': '864x1184',
    '4:3': '1184x864',
    '4:5': '896x1152',
    '5:4': '1152x896',
    '9:16': '768x1344',
    '16:9': '1344x768',
    '21:9': '1536x672',
  },
};

/** Of names that we do not know only what all of today's models take is asked. */
function familyOf(model: string): Family {
  if (model.startsWith('gemini-3.1-flash-lite')) return flashLite;
  if (model.startsWith('gemini-3.1-flash')) return flash;
  return model.startsWith('gemini-2') ? oldFlash : pro;
}

/** `imageConfig` for a size; without members when none was asked for. */
export function geminiSize(model: string, size: string | undefined): WireMembers {
  const family = familyOf(model);
  const edge = longestEdge(size);
  return (
    exactly(size, family) ?? {
      aspectRatio: nearestRatio(size, family.ratios),
      imageSize: edge === undefined ? undefined : family.tiers.find((tier) => edge <= tiers[tier].upTo),
    }
  );
}

/** For a size that the model makes just so; its longest edge may lie above that of its tier. */
function exactly(size: string | undefined, family: Family): WireMembers | undefined {
  const made: readonly (Tier | undefined)[] = family.tiers.length === 0 ? [undefined] : family.tiers;
  for (const [aspectRatio, pixels] of Object.entries(family.pixels)) {
    for (const tier of made) {
      const scaled = pixels.split('x').map((side) => Number(side) * tiers[tier ?? '1K'].scale);
      if (scaled.join('x') === size) return { aspectRatio, imageSize: tier };
    }
  }
  return undefined;
}
