/** The table of kept answers in the SQLite file. All of it runs within a transaction of the caller's. */
import type { DatabaseSync } from 'node:sqlite';
import type { AnswerTable } from './answers.ts';

export function createSqliteAnswers(database: DatabaseSync, nowMs: () => number): AnswerTable {
  const find = database.prepare(
    `SELECT space, blob, bytes, about, made_at_ms, used_at_ms, expires_at_ms FROM kept_answers WHERE key = ?`,
  );
  const write = database.prepare(
    `INSERT OR REPLACE INTO kept_answers
       (key, space, blob, bytes, about, made_at_ms, used_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const use = database.prepare('UPDATE kept_answers SET used_at_ms = ? WHERE key = ?');
  const forget = database.prepare('DELETE FROM kept_answers WHERE key = ?');
  const measure = database.prepare(
    'SELECT coalesce(sum(bytes), 0) AS bytes, count(*) AS answers FROM kept_answers WHERE space = ?',
  );
  const findOldest = database.prepare(
    'SELECT key, blob, bytes FROM kept_answers WHERE space = ? ORDER BY used_at_ms, key LIMIT ?',
  );

  return {
    nowMs,
    get(key) {
      const row = find.get(key);
      if (row === undefined) return undefined;
      return {
        space: String(row['space']),
        blob: String(row['blob']),
        bytes: Number(row['bytes']),
        about: String(row['about']),
        madeAtMs: Number(row['made_at_ms']),
        usedAtMs: Number(row['used_at_ms']),
        expiresAtMs: Number(row['expires_at_ms']),
      };
    },
    put(key, { space, blob, bytes, about, madeAtMs, usedAtMs, expiresAtMs }) {
      write.run(key, space, blob, bytes, about, madeAtMs, usedAtMs, expiresAtMs);
    },
    use(key, atMs) {
      use.run(atMs, key);
    },
    remove(key) {
      forget.run(key);
    },
    size(space) {
      const row = measure.get(space);
      return { bytes: Number(row?.['bytes']), answers: Number(row?.['answers']) };
    },
    oldest: (space, limit) =>
      findOldest.all(space, limit).map((row) => ({
        key: String(row['key']),
        blob: String(row['blob']),
        bytes: Number(row['bytes']),
      })),
  };
}

/** Forgets answers whose time is over, and gives their number. */
export function createSqliteAnswerSweeper(database: DatabaseSync): (nowMs: number, limit: number) => number {
  const forget = database.prepare(
    'DELETE FROM kept_answers WHERE key IN (SELECT key FROM kept_answers WHERE expires_at_ms <= ? LIMIT ?)',
  );
  return (nowMs, limit) => Number(forget.run(nowMs, limit).changes);
}
