/** Connections to PostgreSQL: bounded, with deadlines, and with a word on whether a failure has changed anything. */
import { DatabaseError, Pool, type ClientBase } from 'pg';
import { OutcomeUnknown } from './queue.ts';
import type { Answered } from './ledger-sql.ts';

export interface LinkOptions {
  /** `postgres://…`; a secret. */
  readonly address: string;
  readonly connections: number;
  /** Milliseconds for one statement. */
  readonly statementMs: number;
}

export interface PreparedStatement {
  /** Prepared under this name, once on each connection; undefined: not prepared. */
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** A transaction, or statements by themselves. */
export interface Session {
  query(statement: PreparedStatement): Promise<readonly Answered[]>;
}

export interface Link extends Session {
  /**
   * Runs work in one transaction.
   * @throws OutcomeUnknown when the connection broke and nobody can tell whether it has happened; otherwise it has not
   */
  transaction<Value>(work: (session: Session) => Promise<Value>): Promise<Value>;
  close(): Promise<void>;
}

/** Milliseconds for a connection. */
const connectMs = 3_000;

/** What a statement may take longer than the server allows it, in milliseconds: then the server is not there any more. */
const networkMs = 2_000;

/** While the server cannot be reached it is tried once in so many milliseconds; nobody waits in between. */
const restMs = 500;

export function createLink({ address, connections, statementMs }: LinkOptions): Link {
  const pool = new Pool({
    connectionString: address,
    max: connections,
    connectionTimeoutMillis: connectMs,
    idleTimeoutMillis: 60_000,
    statement_timeout: statementMs,
    query_timeout: statementMs + networkMs,
    keepAlive: true,
    fallback_application_name: 'pinhole',
    // What is idle keeps no process alive.
    allowExitOnIdle: true,
  });
  // An idle connection that breaks is replaced; without a listener it would end the process.
  pool.on('error', () => undefined);
  let unreachable: { readonly untilMs: number; readonly error: unknown } | undefined;

  async function connect() {
    if (unreachable !== undefined && performance.now() < unreachable.untilMs) throw unreachable.error;
    try {
      const client = await pool.connect();
      unreachable = undefined;
      client.on('error', ignore);
      return client;
    } catch (error) {
      unreachable = { untilMs: performance.now() + restMs, error };
      throw error;
    }
  }

  return {
    async query(statement) {
      const client = await connect();
      try {
        const rows = await run(client, statement);
        client.off('error', ignore);
        client.release();
        return rows;
      } catch (error) {
        client.release(!isRefusal(error));
        throw error;
      }
    },
    async transaction(work) {
      const client = await connect();
      let begun = false;
      try {
        await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
        begun = true;
        const value = await work({ query: (statement) => run(client, statement) });
        await client.query('COMMIT');
        client.off('error', ignore);
        client.release();
        return value;
      } catch (error) {
        // A connection that is closed takes its transaction with it.
        const undone = isRefusal(error) && (await rollBack(client));
        if (undone) client.off('error', ignore);
        client.release(!undone);
        if (!begun || undone) throw error;
        throw new OutcomeUnknown('The connection to the state broke.', { cause: error });
      }
    },
    close: () => pool.end(),
  };
}

function ignore(): void {
  // The statement under way hears of it as well.
}

async function run(client: ClientBase, { name, text, values = [] }: PreparedStatement): Promise<readonly Answered[]> {
  const { rows } = await client.query<Answered>({ ...(name === undefined ? {} : { name }), text, values: [...values] });
  return rows;
}

async function rollBack(client: ClientBase): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}

/** Whether the server has answered, and the connection is still good: what was asked has then not happened. */
function isRefusal(error: unknown): boolean {
  return error instanceof DatabaseError && error.severity === 'ERROR';
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html; undefined when the server has not answered. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** What went wrong, for the operator. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
