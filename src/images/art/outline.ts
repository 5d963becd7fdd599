/** Shapes before they have a colour. */

/** Corners of a shape as x and y in turn, in pixels. The last one is joined to the first. */
export type Outline = readonly number[];

/** The outline of a line through the given points whose width changes evenly from its first to its last point. */
export function strokeOutline(points: Outline, startWidth: number, endWidth: number): number[] {
  const there: number[] = [];
  const back: number[] = [];
  const count = points.length / 2;
  for (let index = 0; index < count; index++) {
    const x = points[index * 2] ?? 0;
    const y = points[index * 2 + 1] ?? 0;
    const before = Math.max(0, index - 1) * 2;
    const after = Math.min(count - 1, index + 1) * 2;
    const alongX = (points[after] ?? 0) - (points[before] ?? 0);
    const alongY = (points[after + 1] ?? 0) - (points[before + 1] ?? 0);
    const length = Math.hypot(alongX, alongY) || 1;
    const half = (startWidth + ((endWidth - startWidth) * index) / Math.max(1, count - 1)) / 2;
    there.push(x - (alongY / length) * half, y + (alongX / length) * half);
    back.unshift(x + (alongY / length) * half, y - (alongX / length) * half);
  }
  return [...there, ...back];
}

/** Points along a curve from one end to the other, pulled towards a third point (a quadratic Bézier curve). */
export function curve(
  from: readonly [number, number],
  pull: readonly [number, number],
  to: readonly [number, number],
  steps = 12,
): number[] {
  const points: number[] = [];
  for (let step = 0; step <= steps; step++) {
    const t = step / steps;
    const a = (1 - t) * (1 - t);
    const b = 2 * t * (1 - t);
    const c = t * t;
    points.push(a * from[0] + b * pull[0] + c * to[0], a * from[1] + b * pull[1] + c * to[1]);
  }
  return points;
}
