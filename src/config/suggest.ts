/** The name that somebody most likely meant; undefined when none is near. */
export function suggest(given: string, among: Iterable<string>): string | undefined {
  const wanted = given.toLowerCase().slice(0, 128);
  let nearest: string | undefined;
  // One slip in a short name, a few in a long one; more would be guessing.
  let mostEdits = Math.max(1, Math.floor(wanted.length / 3));
  for (const candidate of among) {
    if (Math.abs(candidate.length - wanted.length) > mostEdits) continue;
    const edits = editDistance(wanted, candidate.toLowerCase());
    if (edits > mostEdits || (edits === mostEdits && nearest !== undefined)) continue;
    nearest = candidate;
    mostEdits = edits;
  }
  return nearest;
}

/** How many letters to add, drop, change or swap with a neighbour to get from one text to the other. */
export function editDistance(left: string, right: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const isSame = left[row - 1] === right[column - 1];
      let edits = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]) {
        edits = Math.min(edits, (beforeLast[column - 2] ?? Infinity) + 1);
      }
      current.push(edits);
    }
    [beforeLast, last] = [last, current];
  }
  return last[right.length] ?? 0;
}
