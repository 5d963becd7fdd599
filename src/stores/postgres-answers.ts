/** Kept answers in PostgreSQL. They have statements of their own: nobody waits for them who keeps books. */
import type { AnswerIndex, IndexedAnswer, NewAnswer } from './answer-index.ts';
import { createTurns } from '../turns.ts';
import { isTooLarge, mostEvicted, whatGoes } from './answers.ts';
import type { Answered } from './ledger-sql.ts';
import type { Link, Session } from './postgres-link.ts';

/** Connections that they take: one to look, one to keep. */
export const answerConnections = 2;

/**
 * @param link with connections of its own
 * @param nowMs milliseconds since 1970
 */
export function createPostgresAnswers(link: Link, nowMs: () => number): AnswerIndex {
  // Whoever waits for a connection has only so much time; whoever waits for its turn has not begun.
  const looking = createTurns(1);
  const keeping = createTurns(1);
  return {
    async findAnswer(key) {
      const [row] = await looking.run(() =>
        link.query({
          name: 'pinhole-find-answer',
          text: `UPDATE pinhole_kept_answers SET used_at_ms = greatest(used_at_ms, $2)
                  WHERE key = $1 AND expires_at_ms > $2 RETURNING blob, about, made_at_ms, expires_at_ms`,
          values: [key, nowMs()],
        }),
      );
      return row && readAnswer(row);
    },
    indexAnswer: (key, answer) =>
      answer.bytes > answer.spaceBytes
        ? Promise.resolve([answer.blob])
        : keeping.run(() => link.transaction((session) => index(session, key, answer, nowMs()))),
    async forgetAnswer(key, blob) {
      await keeping.run(() =>
        link.query({
          text: 'DELETE FROM pinhole_kept_answers WHERE key = $1 AND blob = $2',
          values: [key, blob],
        }),
      );
    },
  };
}

function readAnswer(row: Answered): IndexedAnswer {
  return {
    blob: String(row['blob']),
    about: String(row['about']),
    madeAtMs: Number(row['made_at_ms']),
    expiresAtMs: Number(row['expires_at_ms']),
  };
}

/** Any number that nobody else on the database is likely to lock with. */
const spaceLocks = 731_057;

async function index(
  session: Session,
  key: string,
  { space, blob, bytes, about, madeAtMs, expiresAtMs, spaceBytes }: NewAnswer,
  nowMs: number,
): Promise<readonly string[]> {
  // One after the other in a space, or two that do not see each other would both find room.
  await session.query({
    text: 'SELECT pg_advisory_xact_lock($1, hashtext($2))',
    values: [spaceLocks, space],
  });
  const [before] = await session.query({
    text: 'SELECT blob FROM pinhole_kept_answers WHERE key = $1 FOR UPDATE',
    values: [key],
  });
  await session.query({
    name: 'pinhole-index-answer',
    text: `INSERT INTO pinhole_kept_answers (key, space, blob, bytes, about, made_at_ms, used_at_ms, expires_at_ms)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (key) DO UPDATE
              SET space = excluded.space, blob = excluded.blob, bytes = excluded.bytes, about = excluded.about,
                  made_at_ms = excluded.made_at_ms, used_at_ms = excluded.used_at_ms,
                  expires_at_ms = excluded.expires_at_ms`,
    values: [key, space, blob, bytes, about, madeAtMs, nowMs, expiresAtMs],
  });
  const replaced = before === undefined || before['blob'] === blob ? [] : [String(before['blob'])];
  const [sum] = await session.query({
    name: 'pinhole-size-of-answers',
    text: 'SELECT coalesce(sum(bytes), 0) AS bytes, count(*) AS answers FROM pinhole_kept_answers WHERE space = $1',
    values: [space],
  });
  const size = { bytes: Number(sum?.['bytes']), answers: Number(sum?.['answers']) };
  if (!isTooLarge(size, spaceBytes)) return replaced;
  const oldest = await session.query({
    text: `SELECT key, blob, bytes FROM pinhole_kept_answers WHERE space = $1
            ORDER BY used_at_ms, key LIMIT $2 FOR UPDATE`,
    values: [space, mostEvicted + 1],
  });
  const evicted = whatGoes(
    size,
    oldest.map((row) => ({ key: String(row['key']), blob: String(row['blob']), bytes: Number(row['bytes']) })),
    { key, spaceBytes },
  );
  await session.query({
    text: 'DELETE FROM pinhole_kept_answers WHERE key = ANY ($1::text[])',
    values: [evicted.map((each) => each.key)],
  });
  return [...replaced, ...evicted.map((each) => each.blob)];
}
