import type { AnswerRow, AnswerTable, Evictable } from './answers.ts';

export interface MemoryAnswers extends AnswerTable {
  /** Forgets answers whose time is over. */
  forget(nowMs: number): void;
}

/** What is known of kept answers, in memory; the one that was used last stands last. */
export function createMemoryAnswers(nowMs: () => number): MemoryAnswers {
  const rows = new Map<string, AnswerRow>();

  function put(key: string, row: AnswerRow): void {
    rows.delete(key);
    rows.set(key, row);
  }

  return {
    nowMs,
    get: (key) => rows.get(key),
    put,
    use(key, usedAtMs) {
      const row = rows.get(key);
      if (row !== undefined) put(key, { ...row, usedAtMs });
    },
    remove: (key) => void rows.delete(key),
    size(space) {
      let bytes = 0;
      let answers = 0;
      for (const row of rows.values()) {
        if (row.space !== space) continue;
        bytes += row.bytes;
        answers += 1;
      }
      return { bytes, answers };
    },
    oldest(space, limit) {
      const found: Evictable[] = [];
      for (const [key, row] of rows) {
        if (found.length === limit) break;
        if (row.space === space) found.push({ key, blob: row.blob, bytes: row.bytes });
      }
      return found;
    },
    forget(atMs) {
      for (const [key, { expiresAtMs }] of rows) if (expiresAtMs <= atMs) rows.delete(key);
    },
  };
}
