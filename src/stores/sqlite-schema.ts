/** Each entry takes the file from the version of its index to the next. Never change one that was released. */
export const migrations: readonly string[] = [
  `CREATE TABLE counters (
     counter       TEXT PRIMARY KEY,
     settled       INTEGER NOT NULL CHECK (settled >= 0),
     held          INTEGER NOT NULL CHECK (held >= 0),
     expires_at_ms INTEGER
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX counters_expiring ON counters (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

   CREATE TABLE reservations (
     number        INTEGER PRIMARY KEY,
     id            TEXT NOT NULL UNIQUE,
     state         TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released', 'estimated')),
     created_at_ms INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX reservations_closed ON reservations (created_at_ms) WHERE state IN ('settled', 'released');

   CREATE TABLE holds (
     reservation   INTEGER NOT NULL REFERENCES reservations (number) ON DELETE CASCADE,
     position      INTEGER NOT NULL,
     counter       TEXT NOT NULL,
     amount        INTEGER NOT NULL,
     PRIMARY KEY (reservation, position)
   ) STRICT, WITHOUT ROWID;`,

  // The ledger. What the first version knew of reservations that a crash had left behind becomes rows of it; their ids
  // begin with the request's. Reservations that are over are only kept so that their ids are known for a while.
  `CREATE TABLE ledger (
     number        INTEGER PRIMARY KEY,
     request_id    TEXT NOT NULL,
     at_ms         INTEGER NOT NULL,
     consumer      TEXT,
     user_id       TEXT,
     team          TEXT,
     session       TEXT,
     end_user      TEXT,
     route         TEXT,
     alias         TEXT,
     entity        TEXT,
     provider      TEXT,
     model         TEXT,
     operation     TEXT,
     images        INTEGER NOT NULL,
     size          TEXT,
     quality       TEXT,
     input_tokens  INTEGER,
     output_tokens INTEGER,
     cost_nano_usd INTEGER,
     state         TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'estimated', 'released', 'recorded')),
     status        INTEGER,
     latency_ms    INTEGER,
     attempts      INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX ledger_by_time ON ledger (at_ms);

   ALTER TABLE holds ADD COLUMN expires_at_ms INTEGER;
   ALTER TABLE reservations ADD COLUMN owner TEXT;
   ALTER TABLE reservations ADD COLUMN held_until_ms INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE reservations ADD COLUMN ledger_number INTEGER;
   ALTER TABLE reservations RENAME COLUMN created_at_ms TO changed_at_ms;
   DROP INDEX reservations_closed;
   CREATE INDEX reservations_closed ON reservations (changed_at_ms) WHERE state <> 'held';
   CREATE INDEX reservations_open ON reservations (held_until_ms) WHERE state = 'held';
   CREATE INDEX counters_at_zero ON counters (counter) WHERE settled = 0 AND held = 0;

   INSERT INTO ledger (number, request_id, at_ms, images, state, attempts)
     SELECT number, substr(id, 1, instr(id || '/', '/') - 1), changed_at_ms,
            coalesce((SELECT max(amount) FROM holds WHERE reservation = number), 0),
            CASE state WHEN 'held' THEN 'reserved' ELSE 'estimated' END, 1
       FROM reservations WHERE state IN ('held', 'estimated');
   UPDATE reservations SET ledger_number = number WHERE state IN ('held', 'estimated');`,

  `CREATE TABLE idempotency_keys (
     key           TEXT PRIMARY KEY,
     holder        TEXT NOT NULL,
     owner         TEXT NOT NULL,
     fingerprint   TEXT NOT NULL,
     state         TEXT NOT NULL CHECK (state IN ('claimed', 'sent', 'lost', 'done')),
     held_until_ms INTEGER NOT NULL,
     kept_until_ms INTEGER NOT NULL,
     answer        TEXT
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX idempotency_keys_held ON idempotency_keys (owner) WHERE state IN ('claimed', 'sent');
   CREATE INDEX idempotency_keys_kept ON idempotency_keys (kept_until_ms);`,

  `ALTER TABLE ledger ADD COLUMN saved_nano_usd INTEGER;

   CREATE TABLE kept_answers (
     key           TEXT PRIMARY KEY,
     space         TEXT NOT NULL,
     blob          TEXT NOT NULL,
     bytes         INTEGER NOT NULL,
     about         TEXT NOT NULL,
     made_at_ms    INTEGER NOT NULL,
     used_at_ms    INTEGER NOT NULL,
     expires_at_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX kept_answers_used ON kept_answers (space, used_at_ms, bytes);
   CREATE INDEX kept_answers_expiring ON kept_answers (expires_at_ms);`,
  `CREATE TABLE jobs (
     id             TEXT PRIMARY KEY,
     consumer       TEXT,
     state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'sent', 'succeeded', 'failed', 'cancelled')),
     holder         TEXT,
     owner          TEXT,
     claims         INTEGER NOT NULL,
     request        TEXT NOT NULL,
     outcome        TEXT,
     place          TEXT,
     progress       REAL,
     created_at_ms  INTEGER NOT NULL,
     started_at_ms  INTEGER,
     finished_at_ms INTEGER,
     kept_until_ms  INTEGER NOT NULL,
     notify         INTEGER NOT NULL,
     notice_due_ms  INTEGER,
     notice_tries   INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX jobs_waiting ON jobs (created_at_ms, id) WHERE state = 'queued';
   CREATE INDEX jobs_held ON jobs (owner) WHERE state IN ('running', 'sent');
   CREATE INDEX jobs_kept ON jobs (kept_until_ms) WHERE state IN ('succeeded', 'failed', 'cancelled');
   CREATE INDEX jobs_noticed ON jobs (notice_due_ms) WHERE notice_due_ms IS NOT NULL;`,
];
