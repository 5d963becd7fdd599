/** Chance that can be repeated: everything here follows from a seed. */

/** A number from 0 up to but not including 1; each call gives the next one. */
export type Random = () => number;

/** A 32-bit number for a text (FNV-1a over its UTF-16 units, then a finaliser, so that similar texts lie far apart). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return scatter(hash);
}

/** Another 32-bit number, as far from its neighbours' as it can be (the finaliser of MurmurHash3). */
export function scatter(value: number): number {
  let hash = value >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The generator known as mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return function nextNumber() {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** A smooth field over the plane, with bumps about one unit wide, from about -1 to 1. */
export interface Noise {
  at(x: number, y: number): number;
  /** Several fields on top of each other, each twice as fine and half as strong. */
  layered(x: number, y: number, octaves: number): number;
  /** Like `layered`, but with sharp crests, from about 0 to 1. */
  ridged(x: number, y: number, octaves: number): number;
}

/** Perlin's gradient noise. */
export function createNoise(seed: number): Noise {
  const random = createRandom(seed);
  const order = new Uint8Array(512);
  for (let at = 0; at < 256; at++) order[at] = at;
  for (let at = 255; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    const kept = order[at] ?? 0;
    order[at] = order[other] ?? 0;
    order[other] = kept;
  }
  order.copyWithin(256, 0, 256);
  const slopeX = new Float64Array(256);
  const slopeY = new Float64Array(256);
  for (let at = 0; at < 256; at++) {
    const angle = random() * 2 * Math.PI;
    slopeX[at] = Math.cos(angle) * 1.5;
    slopeY[at] = Math.sin(angle) * 1.5;
  }

  function at(x: number, y: number): number {
    const column = Math.floor(x);
    const line = Math.floor(y);
    const dx = x - column;
    const dy = y - line;
    const left = (order[column & 255] ?? 0) + (line & 255);
    const right = (order[(column + 1) & 255] ?? 0) + (line & 255);
    const i00 = order[left] ?? 0;
    const i10 = order[right] ?? 0;
    const i01 = order[left + 1] ?? 0;
    const i11 = order[right + 1] ?? 0;
    const weightX = dx * dx * dx * (dx * (dx * 6 - 15) + 10);
    const weightY = dy * dy * dy * (dy * (dy * 6 - 15) + 10);
    const top = (slopeX[i00] ?? 0) * dx + (slopeY[i00] ?? 0) * dy;
    const topRight = (slopeX[i10] ?? 0) * (dx - 1) + (slopeY[i10] ?? 0) * dy;
    const bottom = (slopeX[i01] ?? 0) * dx + (slopeY[i01] ?? 0) * (dy - 1);
    const bottomRight = (slopeX[i11] ?? 0) * (dx - 1) + (slopeY[i11] ?? 0) * (dy - 1);
    const upper = top + (topRight - top) * weightX;
    return upper + (bottom + (bottomRight - bottom) * weightX - upper) * weightY;
  }

  // Each octave is also turned a little, so that the grids of all of them never line up.
  function layered(x: number, y: number, octaves: number): number {
    let sum = 0;
    let strength = 0.55;
    for (let octave = 0; octave < octaves; octave++) {
      sum += at(x, y) * strength;
      strength *= 0.5;
      const turned = 1.6 * x + 1.2 * y + 17.3;
      y = 1.6 * y - 1.2 * x - 9.1;
      x = turned;
    }
    return sum;
  }

  function ridged(x: number, y: number, octaves: number): number {
    let sum = 0;
    let strength = 0.55;
    let weight = 1;
    for (let octave = 0; octave < octaves; octave++) {
      const crest = 1 - Math.abs(at(x, y));
      const value = crest * crest * weight;
      sum += value * strength;
      weight = Math.min(1, value * 1.6);
      strength *= 0.5;
      const turned = 1.6 * x + 1.2 * y + 17.3;
      y = 1.6 * y - 1.2 * x - 9.1;
      x = turned;
    }
    return sum;
  }

  return { at, layered, ridged };
}
