/** So much at the same time and no more; everything else waits for its turn, first come, first served. */
export interface Turns {
  /** Does the work when its turn has come. @throws what the work throws */
  run<Value>(work: () => Promise<Value>): Promise<Value>;
}

export function createTurns(atOnce: number): Turns {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return {
    async run(work) {
      if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
      else free -= 1;
      try {
        return await work();
      } finally {
        // Whoever is next takes over the place.
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
