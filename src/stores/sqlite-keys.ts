/** The table of keys in the SQLite file. All of it runs within a transaction of the caller's. */
import type { DatabaseSync } from 'node:sqlite';
import type { KeyRow, KeyTable } from './keys.ts';

/** @param owner of the keys that are claimed */
export function createSqliteKeys(database: DatabaseSync, owner: string, nowMs: () => number): KeyTable {
  const find = database.prepare(
    'SELECT holder, fingerprint, state, held_until_ms, kept_until_ms, answer FROM idempotency_keys WHERE key = ?',
  );
  const write = database.prepare(
    `INSERT OR REPLACE INTO idempotency_keys
       (key, holder, owner, fingerprint, state, held_until_ms, kept_until_ms, answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const forget = database.prepare('DELETE FROM idempotency_keys WHERE key = ?');

  return {
    nowMs,
    get(key) {
      const row = find.get(key);
      if (row === undefined) return undefined;
      const { answer } = row;
      return {
        holder: String(row['holder']),
        fingerprint: String(row['fingerprint']),
        // What the column's own check lets in.
        state: String(row['state']) as KeyRow['state'],
        heldUntilMs: Number(row['held_until_ms']),
        keptUntilMs: Number(row['kept_until_ms']),
        answer: typeof answer === 'string' ? answer : null,
      };
    },
    put(key, { holder, fingerprint, state, heldUntilMs, keptUntilMs, answer }) {
      write.run(key, holder, owner, fingerprint, state, heldUntilMs, keptUntilMs, answer);
    },
    remove(key) {
      forget.run(key);
    },
  };
}

export interface SqliteKeySweeper {
  /** Owners of keys that somebody holds. */
  owners(): readonly string[];
  /** Deals with what an owner that is gone has held, and gives its number. */
  abandon(owner: string, limit: number): number;
  /** Forgets what nobody needs any more, and gives its number. */
  prune(nowMs: number, limit: number): number;
}

export function createSqliteKeySweeper(database: DatabaseSync): SqliteKeySweeper {
  const findOwners = database.prepare(`SELECT DISTINCT owner FROM idempotency_keys WHERE state IN ('claimed', 'sent')`);
  const lose = database.prepare(
    `UPDATE idempotency_keys SET state = 'lost' WHERE key IN (
       SELECT key FROM idempotency_keys WHERE owner = ? AND state = 'sent' LIMIT ?)`,
  );
  const free = database.prepare(
    `DELETE FROM idempotency_keys WHERE key IN (
       SELECT key FROM idempotency_keys WHERE owner = ? AND state = 'claimed' LIMIT ?)`,
  );
  const forget = database.prepare(
    `DELETE FROM idempotency_keys WHERE key IN (
       SELECT key FROM idempotency_keys
        WHERE kept_until_ms <= ?1 AND (state IN ('done', 'lost') OR held_until_ms <= ?1) LIMIT ?2)`,
  );

  return {
    owners: () => findOwners.all().map((row) => String(row['owner'])),
    abandon: (owner, limit) => Math.max(Number(lose.run(owner, limit).changes), Number(free.run(owner, limit).changes)),
    prune: (nowMs, limit) => Number(forget.run(nowMs, limit).changes),
  };
}
