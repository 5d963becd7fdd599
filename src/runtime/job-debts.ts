import { reasonOf } from '../budget/persist.ts';
import { GatewayError } from '../errors.ts';
import type { LogFields, Logger } from '../log.ts';
import type { Store } from '../stores/store.ts';

/** Something that a state has yet to be told of a job. */
export interface JobDebt {
  readonly store: Store;
  /** @throws GatewayError overloaded while the state cannot be written to */
  write(): Promise<void>;
  /** For the log. */
  readonly fields: LogFields;
}

/** What is owed to states that could not be written to, for as long as they are in force: nobody else can tell them. */
export interface JobDebts {
  /** Writes at once, or later when that fails. Never rejects. */
  settle(holder: string, debt: JobDebt): Promise<void>;
  /** Leaves to later what may have happened although it has failed. */
  owe(holder: string, debt: JobDebt): void;
  /** Whether a state has yet to be told something. */
  isOwed(store: Store): boolean;
  /** Tries again. Never rejects. @param inForce what fails elsewhere is given up: to that state, this process is as good as gone */
  pay(inForce: Store): Promise<void>;
}

export function createJobDebts(log: Logger): JobDebts {
  const debts = new Map<string, JobDebt>();
  const isAway = (error: unknown): boolean => error instanceof GatewayError && error.code === 'overloaded';

  return {
    async settle(holder, debt) {
      try {
        await debt.write();
      } catch (error) {
        const isPassing = isAway(error);
        const failure = 'what has become of a job could not be written down';
        log.error(isPassing ? `${failure}, trying again` : failure, { ...debt.fields, ...reasonOf(error) });
        if (isPassing) debts.set(holder, debt);
      }
    },
    owe: (holder, debt) => void debts.set(holder, debt),
    isOwed: (store) => [...debts.values()].some((debt) => debt.store === store),
    async pay(inForce) {
      const away = new Set<Store>();
      for (const [holder, { store, write, fields }] of debts) {
        if (away.has(store)) continue;
        try {
          await write();
          debts.delete(holder);
          log.info('what has become of a job was written down late', fields);
        } catch (error) {
          if (isAway(error) && store === inForce) {
            away.add(store);
            continue;
          }
          debts.delete(holder);
          log.error('what has become of a job could not be written down, given up', { ...fields, ...reasonOf(error) });
        }
      }
    },
  };
}
