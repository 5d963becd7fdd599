/** Bands of silk that lie over each other, each with its own fold of light. */
import { fillBelow } from '../art/canvas.ts';
import { adjust, mix, ramp, rampAt } from '../art/colour.ts';
import { dither, smoothStep } from '../art/studio.ts';
import type { Studio } from '../art/studio.ts';

const bands = 9;

export function paintSilk(studio: Studio): void {
  const { data, width, height, unit, palette, noise, subjectOnly, detail, scene } = studio;
  const random = studio.randomFor('silk');
  const colours = ramp([
    [0, palette.zenith],
    [0.24, palette.sky],
    [0.45, mix(palette.accent, palette.sky, 0.35)],
    [0.62, palette.accent],
    [0.82, mix(palette.accent, palette.glow, 0.6)],
    [1, mix(palette.horizon, [255, 255, 255], 0.25)],
  ]);
  if (!subjectOnly) {
    const [red, green, blue] = mix(palette.zenith, palette.ink, 0.55);
    for (let y = 0; y < height; y++) {
      const light = 1 + 0.9 * (1 - y / height);
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 4;
        data[at] = red * light + dither(x, y);
        data[at + 1] = green * light + dither(x, y);
        data[at + 2] = blue * light + dither(x, y);
        data[at + 3] = 255;
      }
    }
  }
  const tilt = (random() < 0.5 ? -1 : 1) * (0.25 + random() * 0.35);
  const shift = random() * 40;
  const turned = random() < 0.5;
  const lines = Array.from({ length: bands }, function lineOf(_, band) {
    const part = band / (bands - 1);
    const phase = random() * 7;
    const line = new Float32Array(width);
    for (let x = 0; x < width; x++) {
      const u = (x - width / 2) / unit;
      const swing =
        Math.sin(u * (2.1 + 0.7 * part) + phase + part * 2) * 0.13 + noise.at(u * 0.9 + band * 0.6, shift) * 0.2;
      line[x] = height * (0.1 + 0.92 * part) + unit * (swing + u * tilt * (1 - 0.35 * part));
    }
    return line;
  });
  const rim = rims[scene.time];
  for (const [band, line] of lines.entries()) {
    if (!subjectOnly || band > 0) paintShadow(studio, line);
    const place = (turned ? bands - 1 - band : band) / (bands - 1);
    const fold = unit * (0.09 + 0.08 * random());
    fillBelow(
      studio,
      line,
      function silkAt(x, y, below, out) {
        const sheen = 1 / (1 + (below / fold) * (1 + below / fold));
        const u = (x + y * 0.35) / (unit * 0.6);
        const crease = noise.layered(u, below / (unit * 0.13) + band * 3, Math.max(1, detail.octaves - 2));
        const from = rampAt(place * 0.9 + 0.16 * sheen + 0.12 * crease);
        const thread = detail.octaves > 4 ? 1 + 0.018 * Math.sin((below + x * 0.4) / (unit * 0.0016)) : 1;
        const light = (0.84 + 0.26 * sheen + 0.12 * crease - 0.1 * smoothStep(0, unit * 0.5, below)) * thread;
        const edge = below < unit * 0.0035 ? rim : 0;
        out[0] = (colours[from] ?? 0) * light * (1 - edge) + 255 * edge;
        out[1] = (colours[from + 1] ?? 0) * light * (1 - edge) + 255 * edge;
        out[2] = (colours[from + 2] ?? 0) * light * (1 - edge) + 255 * edge;
      },
      { samples: detail.samples, bottom: height, hiddenBy: lines[band + 1] },
    );
  }
}

/** How brightly light catches on the edges. */
const rims = { dawn: 0.3, day: 0.28, sunset: 0.24, night: 0.18 };

/** The soft shadow that a band throws on the one behind it. */
function paintShadow(studio: Studio, line: Float32Array): void {
  const { unit, palette, height, detail } = studio;
  const reach = unit * 0.055;
  const dark = adjust(palette.ink, { lightness: 0.5 });
  fillBelow(
    studio,
    line.map((y) => y - reach),
    function shadowAt(_x, _y, below, out) {
      out[0] = dark[0];
      out[1] = dark[1];
      out[2] = dark[2];
      out[3] = smoothStep(0, reach, below) ** 2 * 0.5;
    },
    { samples: detail.samples, bottom: height, hiddenBy: line },
  );
}
