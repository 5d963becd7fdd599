/** Begins one thing after the other, until there is nothing to begin, or no room. */
export interface Filling {
  /** Looks for something to begin, once more if it is looking already. */
  fill(): void;
  /** The look that is under way. */
  underWay(): Promise<void> | undefined;
}

/** @param begin begins one thing; false when there is none, or no room. Never rejects. */
export function createFilling(begin: () => Promise<boolean>): Filling {
  let looking: Promise<void> | undefined;
  let wanted = false;

  async function look(): Promise<void> {
    wanted = false;
    while (await begin());
  }

  function fill(): void {
    wanted = true;
    looking ??= look().finally(() => {
      looking = undefined;
      // Somebody may have asked for it in the last moment.
      if (wanted) fill();
    });
  }

  return { fill, underWay: () => looking };
}
