/**
 * What a prompt becomes before a pixel is drawn: a motif, a time of day and a palette. Words that we know lead the
 * choice, and a hash of the whole prompt makes it where they leave it open, so that the same prompt is always the same
 * picture and no two prompts look alike.
 */
import { adjust, hex, mix, tint } from './art/colour.ts';
import { createRandom, hashText, scatter } from './art/noise.ts';
import type { Colour } from './art/colour.ts';
import type { Random } from './art/noise.ts';

const motifs = [
  'mountains',
  'ocean',
  'forest',
  'city',
  'desert',
  'winter',
  'meadow',
  'space',
  'flowers',
  'abstract',
] as const;
export type Motif = (typeof motifs)[number];

const times = ['dawn', 'day', 'sunset', 'night'] as const;
export type TimeOfDay = (typeof times)[number];

/** What the colours of a scene are used for. */
const roles = [
  'zenith',
  'sky',
  'horizon',
  /** The light in the air around the sun or moon. */
  'glow',
  /** The sun or moon itself. */
  'disc',
  'cloudLight',
  'cloudShade',
  /** Land in the distance, which fades into the horizon. */
  'far',
  /** Land near by. */
  'near',
  /** The darkest shapes of the foreground. */
  'ink',
  /** What draws the eye: blossoms, sails, a planet. */
  'accent',
] as const;
type Role = (typeof roles)[number];

export type Palette = Readonly<Record<Role, Colour>>;

export interface Scene {
  readonly motif: Motif;
  readonly time: TimeOfDay;
  readonly palette: Palette;
  /** Start of everything that is left to chance within the scene. */
  readonly seed: number;
}

/** Beginnings of words, in lower case. A motif is taken when it is named most often; at a tie, the first in the prompt. */
const motifWords: Readonly<Record<Motif, readonly string[]>> = {
  mountains: [
    'mountain',
    'alp',
    'alpine',
    'peak',
    'summit',
    'cliff',
    'canyon',
    'valley',
    'lake',
    'fjord',
    'volcano',
    'rock',
  ],
  ocean: [
    'ocean',
    'sea',
    'beach',
    'coast',
    'wave',
    'island',
    'ship',
    'boat',
    'sail',
    'harbo',
    'whale',
    'fish',
    'otter',
  ],
  forest: ['forest', 'wood', 'tree', 'jungle', 'pine', 'grove', 'fox', 'bear', 'deer', 'owl', 'wolf', 'fairy'],
  city: ['city', 'town', 'street', 'building', 'skyline', 'tower', 'urban', 'cyber', 'neon', 'car', 'office', 'robot'],
  desert: ['desert', 'dune', 'sand', 'sahara', 'camel', 'cactus', 'pyramid', 'oasis', 'western'],
  winter: ['snow', 'winter', 'ice', 'icy', 'frost', 'frozen', 'arctic', 'ski', 'christmas', 'penguin', 'glacier'],
  meadow: [
    'meadow',
    'field',
    'hill',
    'grass',
    'farm',
    'village',
    'countryside',
    'sheep',
    'cow',
    'horse',
    'house',
    'dog',
  ],
  space: [
    'space',
    'planet',
    'galax',
    'star',
    'cosm',
    'nebula',
    'astro',
    'alien',
    'universe',
    'rocket',
    'orbit',
    'saturn',
  ],
  flowers: [
    'flower',
    'rose',
    'tulip',
    'blossom',
    'bloom',
    'garden',
    'bouquet',
    'daisy',
    'petal',
    'lily',
    'sunflower',
    'cat',
  ],
  abstract: [
    'abstract',
    'pattern',
    'gradient',
    'wallpaper',
    'texture',
    'geometr',
    'minimal',
    'logo',
    'icon',
    'silk',
    'marble',
  ],
};

const timeWords: Readonly<Record<TimeOfDay, readonly string[]>> = {
  dawn: ['dawn', 'sunrise', 'morning', 'mist', 'fog', 'foggy', 'pastel', 'dream', 'spring'],
  day: ['day', 'noon', 'sunny', 'bright', 'summer', 'afternoon', 'blue'],
  sunset: ['sunset', 'dusk', 'evening', 'twilight', 'golden', 'autumn', 'fall', 'warm', 'fire'],
  night: ['night', 'midnight', 'moon', 'dark', 'starry', 'stars', 'neon', 'aurora'],
};

const colourWords: readonly (readonly [readonly string[], Colour])[] = [
  [['red', 'crimson', 'scarlet', 'ruby'], hex('e0312f')],
  [['orange', 'amber', 'copper'], hex('f2872b')],
  [['yellow', 'gold', 'lemon'], hex('f4c430')],
  [['green', 'emerald', 'lime', 'olive'], hex('3aa655')],
  [['teal', 'turquoise', 'cyan', 'aqua'], hex('1fb5b5')],
  [['blue', 'azure', 'navy', 'sapphire', 'indigo'], hex('2f6fe0')],
  [['purple', 'violet', 'lavender', 'lilac'], hex('8a4fd3')],
  [['pink', 'magenta', 'fuchsia'], hex('ec5fa3')],
  [['brown', 'sepia', 'chocolate'], hex('9a6a3c')],
  [['grey', 'gray', 'monochrome', 'silver', 'black', 'white'], hex('808080')],
];

const skies: Readonly<Record<TimeOfDay, readonly Palette[]>> = {
  dawn: [
    palette('5a6ea8 c9a3bd ffdcb8 ffe6b0 fffaf0 fff0e2 b58fae a9a0c0 4a6b6a 26343f f26d6d'),
    palette('6f9fc4 e3c4cf fbe6c9 ffd9a0 fffdf2 ffffff c7a9ba b0b4cc 5d7f6d 2b3d44 ff8f6b'),
  ],
  day: [
    palette('2a6db5 78b4e3 dff0f4 fff3cf fffbe8 ffffff a9bfd3 93b6c9 3f7a48 1d3b33 f25c54'),
    palette('1f7fb0 6cc6dc e9f5e6 fff6c9 fffdf0 ffffff 9fc3cf 86b7b8 4d8a3f 1c3f38 ff9f45'),
  ],
  sunset: [
    palette('2b2d63 c2557e ffc26b ffb35c fff1c4 ffb48a 6d3f73 a5577e 4a2d4f 1e1730 ffd166'),
    palette('274472 dd7f5f ffdf9a ff9a4a fff4d0 ffd0a0 8a4b62 b8697a 533447 22182c ff6f59'),
    palette('3a2a5e e0567a ff9d66 ff7d5c ffe9b8 ff9a98 5d3470 8d4a86 3c2650 190f2a ffe08a'),
  ],
  night: [
    palette('050a1e 122650 3c5f8f 9fc3ff f4f1e0 6f8fc0 16244a 2c4a75 12263f 060c1a ffd27a'),
    palette('0a0720 2a1d57 5b4a94 c9b2ff f7f0ff 8d7bc4 1f1644 473a78 1c1740 090618 7ef0d4'),
  ],
};

/** @param colours in the order of the roles */
function palette(colours: string): Palette {
  const listed = colours.split(' ').map(hex);
  return paletteOf((role) => listed[roles.indexOf(role)] ?? [0, 0, 0]);
}

function paletteOf(colourOf: (role: Role) => Colour): Palette {
  return {
    zenith: colourOf('zenith'),
    sky: colourOf('sky'),
    horizon: colourOf('horizon'),
    glow: colourOf('glow'),
    disc: colourOf('disc'),
    cloudLight: colourOf('cloudLight'),
    cloudShade: colourOf('cloudShade'),
    far: colourOf('far'),
    near: colourOf('near'),
    ink: colourOf('ink'),
    accent: colourOf('accent'),
  };
}

/**
 * @param seed the caller's, or 0
 * @param index which of the pictures of one call: each is another view of the same motif
 */
export function planScene(prompt: string, seed: number, index: number): Scene {
  const words = prompt.toLowerCase().match(/\p{Letter}+/gu) ?? [];
  const promptHash = hashText(prompt);
  const sceneSeed = scatter(promptHash ^ scatter(seed * 31 + index + 1));
  // The motif belongs to the prompt alone: other seeds give other views, not other subjects.
  const chance = createRandom(promptHash);
  const motif = mostNamed(words, motifs, motifWords) ?? choose(motifs, chance);
  const time = mostNamed(words, times, timeWords) ?? choose(times, createRandom(scatter(promptHash ^ (index + seed))));
  const colours = colourWords.filter(([names]) => words.some((word) => names.some((name) => isMeant(word, name))));
  const random = createRandom(sceneSeed);
  return {
    motif,
    time,
    palette: shiftPalette(
      choose(skies[time], random),
      colours.map(([, colour]) => colour),
      random,
    ),
    seed: sceneSeed,
  };
}

/** Whether a word begins like a known one. Short ones must be there in full: a `car` is not in every `card`. */
function isMeant(word: string, known: string): boolean {
  return known.length > 3 ? word.startsWith(known) : word === known || word === `${known}s`;
}

function mostNamed<Name extends string>(
  words: readonly string[],
  names: readonly Name[],
  table: Readonly<Record<Name, readonly string[]>>,
): Name | undefined {
  let best: { readonly name: Name; readonly count: number; readonly first: number } | undefined;
  for (const name of names) {
    const places = words.flatMap((word, place) => (table[name].some((known) => isMeant(word, known)) ? [place] : []));
    const [first] = places;
    if (first === undefined) continue;
    const count = places.length;
    if (best === undefined || count > best.count || (count === best.count && first < best.first)) {
      best = { name, count, first };
    }
  }
  return best?.name;
}

function choose<Item>(items: readonly [Item, ...Item[]] | readonly Item[], random: Random): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError('There is nothing to choose from.');
  return item;
}

/** Turns all hues a little, so that two sunsets differ, and leans towards the colours that were named. */
function shiftPalette(base: Palette, towards: readonly Colour[], random: Random): Palette {
  const turn = (random() - 0.5) * 0.5;
  const lean = towards.reduce<Colour | undefined>((sum, colour) => (sum ? mix(sum, colour, 0.5) : colour), undefined);
  return paletteOf(function shiftColour(role) {
    if (role === 'disc') return base.disc;
    if (lean === undefined) return adjust(base[role], { turn });
    return role === 'accent' ? lean : tint(adjust(base[role], { turn }), lean, 0.55);
  });
}
