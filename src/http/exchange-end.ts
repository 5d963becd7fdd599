/** How an exchange has ended. */
import { GatewayError, toGatewayError } from '../errors.ts';
import type { LogFields } from '../log.ts';
import type { ExchangeEnd } from '../pipeline/exchange.ts';
import type { RunningExchange } from '../pipeline/run.ts';

/** What went wrong: where the exchange was given up, that, and not what came of it. */
export function errorOf({ signal }: RunningExchange, thrown: unknown): GatewayError {
  return toGatewayError(signal.aborted ? signal.reason : thrown);
}

/** The end in an error. What is a fault of the gateway goes to the log as it was thrown. */
export function failedEnd({ log }: RunningExchange, error: GatewayError, thrown: unknown): ExchangeEnd {
  if (error.code === 'client_closed_request') return { kind: 'aborted', status: error.status, error };
  if (error.code === 'internal_error') log.error('internal error', { error: thrown });
  return { kind: 'failed', status: error.status, error };
}

/** What the log says of an exchange that is over. */
export function accessFields(exchange: RunningExchange, end: ExchangeEnd): LogFields {
  const { caller, target, call, attempts } = exchange;
  const last = attempts.at(-1);
  const error = end.error instanceof GatewayError ? end.error : undefined;
  return {
    consumer: caller?.consumer?.id,
    user: caller?.consumer?.user,
    end_user: caller?.endUser,
    session: caller?.session,
    operation: call?.operation,
    alias: target?.alias,
    entity: last?.entity,
    model: last?.model,
    attempts: attempts.length,
    reused: exchange.reused?.kind,
    images: attempts.reduce((sum, attempt) => sum + (attempt.images ?? 0), 0),
    ...(error === undefined ? {} : { code: error.code, error: error.cause ?? error.message }),
  };
}
