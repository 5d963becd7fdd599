/** What is asked of a store's tables, as plain data, so that it can be gathered into one transaction and sent to a thread. */
import { isAnswerRequest, performOnAnswer, type AnswerReport, type AnswerRequest } from './answers.ts';
import * as rules from './books.ts';
import { StoreMisuse, type Books } from './books.ts';
import { isKeyRequest, performOnKey, type KeyAnswer, type KeyRequest } from './keys.ts';
import type { RecordedRow, RowOutcome } from './ledger.ts';
import type { CounterRange, CounterState, Hold, Reservation, ReservationTerms } from './store.ts';

export type StoreRequest = BooksRequest | KeyRequest | AnswerRequest;

export type BooksRequest =
  | {
      readonly kind: 'reserve';
      readonly id: string;
      readonly holds: readonly Hold[];
      readonly terms: ReservationTerms;
    }
  | {
      readonly kind: 'settle';
      readonly id: string;
      readonly amounts: readonly number[];
      readonly outcome: RowOutcome | undefined;
    }
  | { readonly kind: 'release'; readonly id: string; readonly outcome: RowOutcome | undefined }
  /** Settles an abandoned reservation at the amounts held. */
  | { readonly kind: 'estimate'; readonly id: string }
  | { readonly kind: 'record'; readonly id: string; readonly row: RecordedRow }
  | { readonly kind: 'reset'; readonly counter: string }
  | { readonly kind: 'read'; readonly counter: string; readonly range: CounterRange | undefined };

export type StoreAnswer =
  | KeyAnswer
  | AnswerReport
  | Reservation
  | { readonly kind: 'state'; readonly state: CounterState }
  /** `count`: reservations that were estimated. */
  | { readonly kind: 'done'; readonly count?: number }
  /** The caller broke the contract; nothing was changed. */
  | { readonly kind: 'misuse'; readonly message: string };

/** Does what is asked. @throws Error when the tables cannot be written to, which fails everything around it as well */
export function perform(books: Books, request: StoreRequest): StoreAnswer {
  try {
    if (isAnswerRequest(request)) return performOnAnswer(books.answers, request);
    return isKeyRequest(request) ? performOnKey(books.keys, request) : answer(books, request);
  } catch (error) {
    // It has changed nothing, so what is done together with it stands.
    if (error instanceof StoreMisuse) return { kind: 'misuse', message: error.message };
    throw error;
  }
}

function answer(books: Books, request: BooksRequest): StoreAnswer {
  switch (request.kind) {
    case 'reserve':
      return rules.reserve(books, request.id, request.holds, request.terms);
    case 'settle':
      rules.settle(books, request.id, request.amounts, request.outcome);
      return { kind: 'done' };
    case 'release':
      rules.release(books, request.id, request.outcome);
      return { kind: 'done' };
    case 'estimate':
      return { kind: 'done', count: rules.estimate(books, request.id) ? 1 : 0 };
    case 'record':
      rules.record(books, request.id, request.row);
      return { kind: 'done' };
    case 'reset':
      return { kind: 'state', state: rules.reset(books, request.counter) };
    case 'read':
      return {
        kind: 'state',
        state: request.range === undefined ? books.read(request.counter) : books.sum(request.range),
      };
  }
}
