/** From an exchange to its row in the ledger, at the beginning and at the end. */
import { printableText } from '../log-values.ts';
import type { ImageCall, TargetCall } from '../pipeline/call.ts';
import type { Exchange, ExchangeEnd } from '../pipeline/exchange.ts';
import type { PriceBook } from '../pipeline/prices.ts';
import type { Caller, Target } from '../pipeline/settings.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { LedgerRow, OpenRow, RecordedRow, RowOutcome } from '../stores/ledger.ts';
import { imagesAsked, mostCost } from './measures.ts';
import { costOf, imagesUsed, isLost, tokensOf, triesOf, type Try } from './usage.ts';

/** What is known of an exchange; the slots as far as they have been filled. */
export interface LedgerSubject extends Pick<Exchange, 'id' | 'route' | 'startedAtMs' | 'attempts'> {
  readonly reused?: Exchange['reused'];
  readonly caller?: Caller | undefined;
  readonly call?: ImageCall | undefined;
  readonly candidates?: readonly Target[] | undefined;
}

/** A call that is about to be tried: its first candidate, and the most that one of them may come to. */
export function openRow(subject: LedgerSubject, prices: PriceBook): OpenRow {
  const calls = callsOf(subject);
  const costs = calls.map(({ target, call }) => mostCost(target, call, prices)).filter((cost) => cost !== undefined);
  return {
    ...whoAndWhere(subject),
    ...targetMembers(subject, undefined),
    images: Math.max(0, ...calls.map(({ call }) => imagesAsked(call))),
    inputTokens: null,
    outputTokens: null,
    costNanoUsd: costs.length === 0 ? null : Math.max(...costs),
    attempts: 0,
  };
}

/** A call that is over. */
export function rowOutcome(subject: LedgerSubject, end: ExchangeEnd, nowMs: number): RowOutcome {
  const { attempts, startedAtMs, reused } = subject;
  const tries = triesOf(attempts);
  const tokens = tokensOf(attempts);
  return {
    ...targetMembers(subject, tries.at(-1)),
    ...(reused === undefined ? {} : { entity: reused.entity, provider: reused.provider, model: shown(reused.model) }),
    // What the provider may have made for a client that left counts, whatever budgets make of it: it may be billed.
    images: imagesUsed(attempts),
    inputTokens: tokens?.inputTokens ?? null,
    outputTokens: tokens?.outputTokens ?? null,
    costNanoUsd: costOf(attempts) ?? null,
    savedNanoUsd: (end.kind === 'answered' ? reused?.savedNanoUsd : undefined) ?? null,
    status: end.status,
    latencyMs: Math.max(0, Math.round(nowMs - startedAtMs)),
    attempts: attempts.length,
    estimated: attempts.some(isLost),
  };
}

/** A call that is over, and for which nothing was reserved. */
export function recordedRow(subject: LedgerSubject, end: ExchangeEnd, nowMs: number): RecordedRow {
  const { estimated, ...outcome } = rowOutcome(subject, end, nowMs);
  return { ...whoAndWhere(subject), ...outcome, state: estimated ? 'estimated' : 'recorded' };
}

function whoAndWhere({ id, startedAtMs, caller, route, call, candidates }: LedgerSubject) {
  return {
    requestId: id,
    atMs: Math.round(startedAtMs),
    consumer: caller?.consumer?.id ?? null,
    user: caller?.consumer?.user ?? null,
    team: caller?.consumer?.team ?? null,
    session: shown(caller?.session),
    endUser: shown(caller?.endUser ?? call?.parameters.user),
    route: route.id,
    alias: candidates?.find(({ alias }) => alias !== undefined)?.alias ?? null,
    operation: call?.operation ?? null,
  } satisfies Partial<LedgerRow>;
}

/** The members that say who made the pictures, and what they were to be like. */
function targetMembers(subject: LedgerSubject, tried: Try | undefined) {
  const calls = callsOf(subject);
  const found = (tried && calls.find(({ target }) => isTarget(target, tried))) ?? calls[0];
  const last = tried?.attempts.at(-1);
  const parameters = found?.call.parameters ?? subject.call?.parameters;
  return {
    entity: last?.entity ?? found?.target.entity.id ?? null,
    provider: last?.provider ?? found?.target.entity.providerNames[0] ?? null,
    model: shown(last?.model ?? found?.target.model),
    size: shown(parameters?.size),
    quality: shown(parameters?.quality),
  } satisfies Partial<LedgerRow>;
}

/** What callers write, without the pictures that it may hold. */
function shown(text: string | undefined): string | null {
  return text === undefined ? null : printableText(text);
}

/** The call as each candidate would get it. */
function callsOf({ call, candidates = [] }: LedgerSubject): readonly { target: Target; call: TargetCall }[] {
  return call === undefined ? [] : candidates.map((target) => ({ target, call: targetCall(call, target) }));
}

function isTarget({ entity, model }: Target, tried: Try): boolean {
  return entity.id === tried.entity && model === tried.model;
}
