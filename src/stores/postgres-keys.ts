/**
 * The table of keys in PostgreSQL. Within a transaction keys are locked before all else and in the order of their names,
 * those that are not there yet by a row that says so, which the end of the transaction fills in or takes away.
 */
import { isKeyRequest, type KeyRow, type KeyTable } from './keys.ts';
import type { Link, Session } from './postgres-link.ts';
import type { StoreRequest } from './requests.ts';

/** The keys that some requests touch, locked. */
export interface LockedKeys extends KeyTable {
  /** Writes what has changed. */
  write(): Promise<void>;
}

export interface KeysContext {
  /** Of the keys that are claimed. */
  readonly owner: string;
  readonly nowMs: number;
}

/** A key as it lies in the table. */
interface StoredKey {
  readonly key: string;
  readonly holder: string;
  readonly fingerprint: string;
  readonly state: KeyRow['state'] | 'free';
  readonly held_until_ms: number;
  readonly kept_until_ms: number;
  readonly answer: string | null;
}

const lockText = `
  WITH locked AS (
    INSERT INTO pinhole_idempotency_keys AS old (key, holder, fingerprint, state, held_until_ms, kept_until_ms)
    SELECT key, '', '', 'free', 0, 0 FROM unnest($1::text[]) AS key ORDER BY key COLLATE "C"
        ON CONFLICT (key) DO UPDATE SET state = old.state
    RETURNING key, holder, fingerprint, state, held_until_ms, kept_until_ms, answer
  )
  SELECT coalesce(json_agg(locked), '[]') AS keys FROM locked`;

const writeText = `
  WITH written AS (
    UPDATE pinhole_idempotency_keys AS old
       SET holder = new.holder, owner = $1::text, fingerprint = new.fingerprint, state = new.state,
           held_until_ms = new.held_until_ms, kept_until_ms = new.kept_until_ms, answer = new.answer
      FROM json_to_recordset($2::json) AS new (
             key text, holder text, fingerprint text, state text, held_until_ms bigint, kept_until_ms bigint, answer text)
     WHERE old.key = new.key
  )
  DELETE FROM pinhole_idempotency_keys WHERE key = ANY ($3::text[])`;

export async function lockKeys(
  session: Session,
  requests: readonly StoreRequest[],
  { owner, nowMs }: KeysContext,
): Promise<LockedKeys> {
  const touched = new Set(requests.filter((request) => isKeyRequest(request)).map(({ key }) => key));
  const stored = touched.size === 0 ? [] : await lock(session, [...touched]);
  const rows = new Map(
    stored.flatMap(({ key, state, ...rest }) => (state === 'free' ? [] : [[key, rowOf(state, rest)] as const])),
  );
  const changed = new Set<string>();
  const placed = stored.filter(({ state }) => state === 'free').map(({ key }) => key);

  return {
    nowMs: () => nowMs,
    get: (key) => rows.get(key),
    put(key, row) {
      rows.set(key, row);
      changed.add(key);
    },
    remove(key) {
      rows.delete(key);
      changed.add(key);
    },
    async write() {
      const written = [...changed].flatMap((key) => {
        const row = rows.get(key);
        return row === undefined ? [] : [storedKey(key, row)];
      });
      const removed = [...changed, ...placed].filter((key) => !rows.has(key));
      if (written.length === 0 && removed.length === 0) return;
      await session.query({
        name: 'pinhole-write-keys',
        text: writeText,
        values: [owner, JSON.stringify(written), removed],
      });
    },
  };
}

async function lock(session: Session, keys: readonly string[]): Promise<readonly StoredKey[]> {
  const [found] = await session.query({ name: 'pinhole-lock-keys', text: lockText, values: [keys] });
  // What the statement above gives.
  return found?.['keys'] as readonly StoredKey[];
}

function rowOf(
  state: KeyRow['state'],
  { holder, fingerprint, held_until_ms, kept_until_ms, answer }: Omit<StoredKey, 'key' | 'state'>,
): KeyRow {
  return { holder, fingerprint, state, heldUntilMs: held_until_ms, keptUntilMs: kept_until_ms, answer };
}

function storedKey(key: string, { heldUntilMs, keptUntilMs, ...row }: KeyRow): StoredKey {
  return { key, ...row, held_until_ms: heldUntilMs, kept_until_ms: keptUntilMs };
}

/** Deals with the keys of processes whose lease has run out: what was sent is lost, the others are free again. */
export async function abandonKeys(link: Link, limit: number): Promise<void> {
  await link.query({
    text: `WITH abandoned AS (
        SELECT key FROM pinhole_idempotency_keys AS held
         WHERE state IN ('claimed', 'sent')
           AND NOT EXISTS (SELECT FROM pinhole_owners WHERE owner = held.owner AND expires_at > now())
         LIMIT $1 FOR UPDATE SKIP LOCKED
      ), lost AS (
        UPDATE pinhole_idempotency_keys AS old SET state = 'lost'
          FROM abandoned WHERE old.key = abandoned.key AND old.state = 'sent'
      )
      DELETE FROM pinhole_idempotency_keys AS old
       USING abandoned WHERE old.key = abandoned.key AND old.state = 'claimed'`,
    values: [limit],
  });
}
