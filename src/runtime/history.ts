/** The last so many of something, newest first. */
export interface History<Entry> {
  add(entry: Entry): void;
  /** A copy: it does not change when entries are added. */
  entries(): readonly Entry[];
}

/** @param limit how many are kept */
export function createHistory<Entry>(limit: number): History<Entry> {
  let kept: readonly Entry[] = [];
  return {
    add(entry) {
      kept = [entry, ...kept.slice(0, limit - 1)];
    },
    entries: () => kept,
  };
}
