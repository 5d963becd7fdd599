/** Counts what has happened in the last while, in steps of a tenth of it. */
export interface Recent {
  add(nowMs: number): void;
  /** How many there were. */
  count(nowMs: number): number;
  clear(): void;
}

const steps = 10;

/** @param windowMs how long the last while is, on a clock that only goes forward */
export function createRecent(windowMs: number): Recent {
  const stepMs = windowMs / steps;
  const counts = Array.from({ length: steps }, () => 0);
  let step = 0;

  function moveTo(nowMs: number): void {
    const next = Math.floor(nowMs / stepMs);
    for (let passed = Math.max(step + 1, next - steps + 1); passed <= next; passed += 1) counts[passed % steps] = 0;
    step = Math.max(step, next);
  }

  return {
    add(nowMs) {
      moveTo(nowMs);
      counts[step % steps] = (counts[step % steps] ?? 0) + 1;
    },
    count(nowMs) {
      moveTo(nowMs);
      return counts.reduce((sum, count) => sum + count, 0);
    },
    clear: () => void counts.fill(0),
  };
}
