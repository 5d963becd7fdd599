import { randomUUID } from 'node:crypto';
import type { Exchange, ExchangeEnd } from '../pipeline/exchange.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { recordedRow, type LedgerSubject } from './ledger-row.ts';
import { persist } from './persist.ts';

/**
 * Writes the row of a call that was tried, or answered with what was made before, and that no stage has kept in the
 * ledger: because its pipeline has no `budget`, or the books could not be written to. Never rejects.
 */
export async function recordCall(
  exchange: LedgerSubject & Pick<Exchange, 'ledgerIds' | 'log'>,
  end: ExchangeEnd,
  { store, clock }: Pick<StageEnv, 'store' | 'clock'>,
): Promise<void> {
  const { route, attempts, reused, ledgerIds, log } = exchange;
  const hasCall = attempts.length > 0 || reused !== undefined;
  if (route.operation === undefined || !hasCall || ledgerIds.size > 0) return;
  const id = `${exchange.id}/${randomUUID()}`;
  const row = recordedRow(exchange, end, clock.now());
  // Should it never be written, the log has it.
  const fields = { entry: id, row };
  await persist(() => store.record(id, row), {
    clock,
    log,
    failure: 'a call could not be recorded',
    success: 'a call was recorded late',
    fields,
  });
}
