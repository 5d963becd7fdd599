/** The rules about kept answers, written once for every store. */
import type { IndexedAnswer, NewAnswer } from './answer-index.ts';

/** An answer as a store keeps it. */
export interface AnswerRow extends IndexedAnswer {
  readonly space: string;
  readonly bytes: number;
  /** When it was given last, in milliseconds since 1970. */
  readonly usedAtMs: number;
}

/** What the rules work on. All that happens within one request is visible together or not at all. */
export interface AnswerTable {
  /** Milliseconds since 1970. */
  nowMs(): number;
  get(key: string): AnswerRow | undefined;
  put(key: string, row: AnswerRow): void;
  use(key: string, atMs: number): void;
  remove(key: string): void;
  size(space: string): SpaceSize;
  /** Those that were not used for the longest time, the longest first. */
  oldest(space: string, limit: number): readonly Evictable[];
}

export interface SpaceSize {
  readonly bytes: number;
  readonly answers: number;
}

export interface Evictable {
  readonly key: string;
  readonly blob: string;
  readonly bytes: number;
}

export type AnswerRequest =
  | { readonly kind: 'find-answer'; readonly key: string }
  | { readonly kind: 'index-answer'; readonly key: string; readonly answer: NewAnswer }
  | { readonly kind: 'forget-answer'; readonly key: string; readonly blob: string };

export type AnswerReport =
  | { readonly kind: 'answer'; readonly answer: IndexedAnswer | undefined }
  | { readonly kind: 'answer-done'; readonly unneeded: readonly string[] };

const answerKinds: ReadonlySet<string> = new Set<AnswerRequest['kind']>([
  'find-answer',
  'index-answer',
  'forget-answer',
]);

export function isAnswerRequest(request: { readonly kind: string }): request is AnswerRequest {
  return answerKinds.has(request.kind);
}

/** Answers in one space: what adds up their bytes reads all of them. */
export const mostAnswers = 100_000;

/** Answers that make room for one. */
export const mostEvicted = 100;

export function performOnAnswer(answers: AnswerTable, request: AnswerRequest): AnswerReport {
  const row = answers.get(request.key);
  switch (request.kind) {
    case 'find-answer': {
      const nowMs = answers.nowMs();
      if (row === undefined || row.expiresAtMs <= nowMs) return { kind: 'answer', answer: undefined };
      answers.use(request.key, Math.max(row.usedAtMs, nowMs));
      const { blob, about, madeAtMs, expiresAtMs } = row;
      return { kind: 'answer', answer: { blob, about, madeAtMs, expiresAtMs } };
    }
    case 'index-answer':
      return { kind: 'answer-done', unneeded: index(answers, request.key, request.answer, row) };
    case 'forget-answer':
      if (row?.blob === request.blob) answers.remove(request.key);
      return { kind: 'answer-done', unneeded: [] };
  }
}

function index(
  answers: AnswerTable,
  key: string,
  { spaceBytes, ...answer }: NewAnswer,
  before: AnswerRow | undefined,
): readonly string[] {
  if (answer.bytes > spaceBytes) return [answer.blob];
  answers.put(key, { ...answer, usedAtMs: answers.nowMs() });
  const replaced = before === undefined || before.blob === answer.blob ? [] : [before.blob];
  const size = answers.size(answer.space);
  if (!isTooLarge(size, spaceBytes)) return replaced;
  const evicted = whatGoes(size, answers.oldest(answer.space, mostEvicted + 1), { key, spaceBytes });
  for (const each of evicted) answers.remove(each.key);
  return [...replaced, ...evicted.map(({ blob }) => blob)];
}

export function isTooLarge({ bytes, answers }: SpaceSize, spaceBytes: number): boolean {
  return bytes > spaceBytes || answers > mostAnswers;
}

/** As many of the oldest as must go, but for the one that all this is done for. */
export function whatGoes(
  size: SpaceSize,
  oldest: readonly Evictable[],
  { key, spaceBytes }: { readonly key: string; readonly spaceBytes: number },
): readonly Evictable[] {
  const evicted: Evictable[] = [];
  let left = size;
  for (const each of oldest) {
    if (each.key === key) continue;
    if (evicted.length === mostEvicted || !isTooLarge(left, spaceBytes)) break;
    evicted.push(each);
    left = { bytes: left.bytes - each.bytes, answers: left.answers - 1 };
  }
  return evicted;
}
