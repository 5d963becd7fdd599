import type { LedgerRow, TextColumn } from './ledger.ts';

/** The columns of the ledger's table, by the member of a row that they hold; the same in every database. */
export const ledgerColumns = {
  requestId: 'request_id',
  atMs: 'at_ms',
  consumer: 'consumer',
  user: 'user_id',
  team: 'team',
  session: 'session',
  endUser: 'end_user',
  route: 'route',
  alias: 'alias',
  entity: 'entity',
  provider: 'provider',
  model: 'model',
  operation: 'operation',
  images: 'images',
  size: 'size',
  quality: 'quality',
  inputTokens: 'input_tokens',
  outputTokens: 'output_tokens',
  costNanoUsd: 'cost_nano_usd',
  savedNanoUsd: 'saved_nano_usd',
  state: 'state',
  status: 'status',
  latencyMs: 'latency_ms',
  attempts: 'attempts',
} as const satisfies Record<keyof LedgerRow, string>;

/** Members of a row, in the order of the columns. */
export const ledgerMembers = Object.keys(ledgerColumns) as readonly (keyof LedgerRow)[];

export const textColumns: readonly TextColumn[] = [
  'requestId',
  'consumer',
  'user',
  'team',
  'session',
  'endUser',
  'route',
  'alias',
  'entity',
  'provider',
  'model',
  'operation',
  'size',
  'quality',
  'state',
];
