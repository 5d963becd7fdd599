/**
 * Colours and how they mix. Mixing happens in OKLab (https://bottosson.github.io/posts/oklab/), where the way from blue
 * to orange leads through soft violets and not through mud.
 */

/** sRGB, each from 0 to 255, not rounded. */
export type Colour = readonly [red: number, green: number, blue: number];

type Lab = readonly [lightness: number, a: number, b: number];

/** @param text six hexadecimal digits */
export function hex(text: string): Colour {
  const value = Number.parseInt(text, 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** @param amount 0 for the first colour, 1 for the second */
export function mix(first: Colour, second: Colour, amount: number): Colour {
  const from = toLab(first);
  const to = toLab(second);
  return fromLab([
    from[0] + (to[0] - from[0]) * amount,
    from[1] + (to[1] - from[1]) * amount,
    from[2] + (to[2] - from[2]) * amount,
  ]);
}

/** Turns the hue and scales what makes a colour colourful and light. */
export function adjust(
  colour: Colour,
  change: { readonly turn?: number; readonly chroma?: number; readonly lightness?: number },
): Colour {
  const [lightness, a, b] = toLab(colour);
  const { turn = 0, chroma = 1, lightness: light = 1 } = change;
  const cosine = Math.cos(turn) * chroma;
  const sine = Math.sin(turn) * chroma;
  return fromLab([lightness * light, a * cosine - b * sine, a * sine + b * cosine]);
}

/** Keeps the lightness, and goes so far towards the other's hue. */
export function tint(colour: Colour, towards: Colour, amount: number): Colour {
  const [lightness, a, b] = toLab(colour);
  const [, otherA, otherB] = toLab(towards);
  return fromLab([lightness, a + (otherA - a) * amount, b + (otherB - b) * amount]);
}

/** A gradient as 256 colours in one row, red, green and blue in turn. */
export type Ramp = Float32Array;

const rampSteps = 255;

/** @param stops positions from 0 to 1, in rising order */
export function ramp(stops: readonly (readonly [position: number, colour: Colour])[]): Ramp {
  const colours = new Float32Array((rampSteps + 1) * 3);
  for (let step = 0; step <= rampSteps; step++) colours.set(colourAmong(stops, step / rampSteps), step * 3);
  return colours;
}

/** Where in the ramp the colour for a position from 0 to 1 begins. */
export function rampAt(position: number): number {
  return 3 * (position <= 0 ? 0 : position >= 1 ? rampSteps : Math.round(position * rampSteps));
}

function colourAmong(stops: readonly (readonly [number, Colour])[], position: number): Colour {
  let before = stops[0];
  for (const stop of stops) {
    if (before !== undefined && stop[0] >= position) {
      const span = stop[0] - before[0];
      return span <= 0 ? stop[1] : mix(before[1], stop[1], (position - before[0]) / span);
    }
    before = stop;
  }
  return before?.[1] ?? [0, 0, 0];
}

function toLab([red, green, blue]: Colour): Lab {
  const r = toLinear(red);
  const g = toLinear(green);
  const b = toLinear(blue);
  const long = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const middle = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const short = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * long + 0.793617785 * middle - 0.0040720468 * short,
    1.9779984951 * long - 2.428592205 * middle + 0.4505937099 * short,
    0.0259040371 * long + 0.7827717662 * middle - 0.808675766 * short,
  ];
}

function fromLab([lightness, a, b]: Lab): Colour {
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    fromLinear(4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short),
    fromLinear(-1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short),
    fromLinear(-0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short),
  ];
}

function toLinear(value: number): number {
  const part = Math.min(1, Math.max(0, value / 255));
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
}

function fromLinear(value: number): number {
  const part = Math.min(1, Math.max(0, value));
  return 255 * (part <= 0.0031308 ? part * 12.92 : 1.055 * part ** (1 / 2.4) - 0.055);
}
