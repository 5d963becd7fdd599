/** The part of the store contract that is one request each, for stores with a queue. */
import type { AnswerIndex } from './answer-index.ts';
import type { KeyStore } from './key-store.ts';
import type { RequestQueue } from './queue.ts';
import type { StoreAnswer } from './requests.ts';
import type { CounterState, Store } from './store.ts';

export type AskedMethods = Pick<Store, 'reserve' | 'settle' | 'release' | 'record' | 'reset' | 'read'> &
  KeyStore &
  AnswerIndex;

export function askingMethods(queue: Pick<RequestQueue, 'ask'>): AskedMethods {
  return {
    async reserve(id, holds, terms) {
      const answer = await queue.ask({ kind: 'reserve', id, holds, terms });
      if (answer.kind === 'held' || answer.kind === 'refused') return answer;
      throw mixedUp(answer);
    },
    async settle(id, amounts, outcome) {
      await queue.ask({ kind: 'settle', id, amounts, outcome });
    },
    async release(id, outcome) {
      await queue.ask({ kind: 'release', id, outcome });
    },
    async record(id, row) {
      await queue.ask({ kind: 'record', id, row });
    },
    reset: async (counter) => stateOf(await queue.ask({ kind: 'reset', counter })),
    read: async (counter, range) => stateOf(await queue.ask({ kind: 'read', counter, range })),
    async claimKey(key, claim) {
      const answer = await queue.ask({ ...claim, kind: 'claim-key', key });
      if (answer.kind === 'key') return answer.state;
      throw mixedUp(answer);
    },
    async sendKey(key, holder) {
      const answer = await queue.ask({ kind: 'send-key', key, holder });
      if (answer.kind === 'key-sent') return answer.isHeld;
      throw mixedUp(answer);
    },
    async completeKey(key, holder, outcome) {
      await queue.ask({ ...outcome, kind: 'complete-key', key, holder });
    },
    async releaseKey(key, holder) {
      await queue.ask({ kind: 'release-key', key, holder });
    },
    async findAnswer(key) {
      const found = await queue.ask({ kind: 'find-answer', key });
      if (found.kind === 'answer') return found.answer;
      throw mixedUp(found);
    },
    async indexAnswer(key, answer) {
      const done = await queue.ask({ kind: 'index-answer', key, answer });
      if (done.kind === 'answer-done') return done.unneeded;
      throw mixedUp(done);
    },
    async forgetAnswer(key, blob) {
      await queue.ask({ kind: 'forget-answer', key, blob });
    },
  };
}

function stateOf(answer: StoreAnswer): CounterState {
  if (answer.kind === 'state') return answer.state;
  throw mixedUp(answer);
}

function mixedUp(answer: StoreAnswer): Error {
  return new Error(`The state store gave the answer ${answer.kind} to another question.`);
}
