/** An explanation as it is shown: plain data, with marks in place of secrets and of pictures. */
import { createRedactor, redacted } from '../config/redact.ts';
import { errorTable, type GatewayError } from '../errors.ts';
import { formatUsd } from '../money.ts';
import type { BudgetAccount, CandidateAccount, StageAccount } from '../pipeline/explain.ts';
import type { PriceExplanation } from '../pipeline/prices.ts';
import type { Entity } from '../pipeline/settings.ts';
import { PictureText, type WireBody, type WireJson, type WirePart, type WireRequest } from '../pipeline/upstream.ts';
import { scrub } from '../scrub.ts';
import { Secret } from '../secret.ts';
import { shownAmount, shownEnd } from '../budget/standing.ts';
import type { Explanation } from './explain.ts';

export interface ShownExplanation {
  readonly route: string | null;
  readonly operation: string | null;
  readonly consumer: string | null;
  readonly model: string | null;
  readonly refusal: ShownRefusal | null;
  readonly notes: readonly string[];
  readonly stages: readonly ShownStage[];
  readonly candidates: readonly ShownCandidate[];
  readonly budgets: readonly ShownBudget[];
  readonly rate_limits: readonly ShownLimit[];
}

export interface ShownRefusal {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
  readonly message: string;
}

export interface ShownStage {
  readonly stage: string;
  readonly outcome: StageAccount['outcome'];
  readonly notes: readonly string[];
  readonly stages: readonly ShownStage[];
}

export interface ShownCandidate {
  /** From 1, in the order in which they are tried; null for those that are not. */
  readonly place: number | null;
  readonly entity: string;
  readonly provider: string;
  readonly model: string;
  readonly alias: string | null;
  readonly allowed: boolean;
  readonly rule: string | null;
  readonly refusal: ShownRefusal | null;
  readonly price: ShownPrice | null;
  readonly parameters: CandidateAccount['parameters'];
  readonly requests: readonly ShownRequest[];
}

export interface ShownPrice {
  readonly kind: PriceExplanation['kind'];
  readonly cost_usd: number | null;
  readonly basis: string | null;
  readonly arithmetic: readonly string[];
  readonly origin: string;
  readonly entry: string | null;
  readonly notes: readonly string[];
}

export interface ShownRequest {
  readonly method: string;
  readonly url: string;
  /** Whether the gateway makes the pictures by itself, and sends nothing. */
  readonly local: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON as it is, a form as its fields; null without a body. */
  readonly body: unknown;
}

export interface ShownBudget {
  readonly id: string;
  readonly per: string | null;
  readonly value: string | null;
  readonly unit: string;
  readonly on_exceed: string;
  readonly reserves: number | string;
  readonly limit: number | string;
  readonly window_end: string | null;
  /** Null where nobody counts, as on the command line. */
  readonly used: number | string | null;
  readonly held: number | string | null;
}

export interface ShownLimit {
  readonly limit: string;
  readonly takes: number;
}

/** @param secrets texts of the file that are shown to nobody */
export function showExplanation(explanation: Explanation, secrets: Iterable<string>): ShownExplanation {
  const { asked, route, call, refusal, notes, stages, account } = explanation;
  const known = [...secrets].filter(isLongEnough);
  const tokens = account.candidates.flatMap(({ target }) => target.entity.tokens.all);
  const all = [...tokens.filter((token) => isLongEnough(token.reveal())), ...known.map((text) => new Secret(text))];
  const redactor = createRedactor('', known);
  const hide: Hide = {
    known: (text) => scrub(text, all),
    all: (text) => redactor.message(scrub(text, all)),
  };
  let place = 0;
  return {
    route: route?.id ?? null,
    operation: call?.operation ?? asked.operation ?? null,
    consumer: asked.consumer ?? null,
    model: asked.model ?? null,
    refusal: showRefusal(refusal, hide),
    notes,
    stages: stages.map(showStage),
    candidates: account.candidates.map((candidate) => ({
      place: candidate.allowed ? (place += 1) : null,
      ...showCandidate(candidate, explanation, hide),
    })),
    budgets: account.budgets.map(showBudget),
    rate_limits: account.limits.map(({ text, cost }) => ({ limit: text, takes: cost })),
  };
}

/** Shorter texts stand in a request for many reasons. */
function isLongEnough(text: string): boolean {
  return text.length >= 4;
}

interface Hide {
  /** Hides what is known to be secret. */
  known(text: string): string;
  /** Hides what looks secret as well. */
  all(text: string): string;
}

function showRefusal(error: GatewayError | undefined, hide: Hide): ShownRefusal | null {
  if (error === undefined) return null;
  const { status, code, publicCode, param = null, message } = error;
  return { status, type: errorTable[code].type, code: publicCode, param, message: hide.known(message) };
}

function showStage({ name, outcome, notes, stages }: StageAccount): ShownStage {
  return { stage: name, outcome, notes, stages: stages.map(showStage) };
}

function showCandidate(
  { target, allowed, rule, refusal, parameters, upstream }: CandidateAccount,
  { priceOf }: Explanation,
  hide: Hide,
): Omit<ShownCandidate, 'place'> {
  const { entity, model, alias = null } = target;
  const price = priceOf(target);
  return {
    entity: entity.id,
    provider: entity.providerNames[0] ?? '',
    model,
    alias,
    allowed,
    rule: rule ?? null,
    refusal: showRefusal(refusal, hide),
    price: price === undefined ? null : showPrice(price),
    parameters,
    requests: upstream.map(({ request }) => showRequest(request, entity, hide)),
  };
}

function showPrice(price: PriceExplanation): ShownPrice {
  const { kind, origin, entry = null, notes } = price;
  const isPriced = price.kind === 'priced';
  return {
    kind,
    cost_usd: isPriced ? Number(formatUsd(price.nanoUsd)) : null,
    basis: isPriced ? price.basis : null,
    arithmetic: isPriced ? price.arithmetic : [],
    origin,
    entry,
    notes,
  };
}

function showBudget({ id, per, value, unit, limit, amount, ...rest }: BudgetAccount): ShownBudget {
  const { onExceed, windowEndMs, standing } = rest;
  return {
    id,
    per: per ?? null,
    value: value ?? null,
    unit,
    on_exceed: onExceed,
    reserves: shownAmount(unit, amount),
    limit: shownAmount(unit, limit),
    window_end: shownEnd(windowEndMs),
    used: standing === undefined ? null : shownAmount(unit, standing.settled),
    held: standing === undefined ? null : shownAmount(unit, standing.held),
  };
}

function showRequest({ method, url, headers, body }: WireRequest, entity: Entity, hide: Hide): ShownRequest {
  const mediaType = mediaTypeOf(body);
  const shown = Object.entries(headers).map(([name, value]): [string, string] => [
    name,
    isSecretName(name) ? redacted : hide.all(value),
  ]);
  return {
    method,
    url: hide.all(url),
    local: entity.provider.answer !== undefined,
    headers: {
      ...(mediaType === undefined ? {} : { 'content-type': mediaType }),
      ...Object.fromEntries(shown),
      ...credentialHeaders(entity),
    },
    body: showBody(body, hide),
  };
}

/** The names of the headers that carry the credential, and how it is announced: never itself. */
function credentialHeaders({ provider, tokens }: Entity): Readonly<Record<string, string>> {
  const token = tokens.all[0];
  if (provider.answer !== undefined) return {};
  const carried = Object.entries(provider.authorise(token)).map(([name, value]): [string, string] => [
    name,
    `${/^(?:Bearer|Basic|Key|Token) /i.exec(value)?.[0] ?? ''}${redacted}`,
  ]);
  const signed = provider.sign === undefined || token === undefined ? {} : { authorization: redacted };
  return { ...signed, ...Object.fromEntries(carried) };
}

function mediaTypeOf(body: WireBody): string | undefined {
  const types: Readonly<Record<WireBody['kind'], string | undefined>> = {
    none: undefined,
    json: 'application/json',
    multipart: 'multipart/form-data',
    form: 'application/x-www-form-urlencoded',
  };
  return types[body.kind];
}

const picture = '[picture]';

function showBody(body: WireBody, hide: Hide): unknown {
  switch (body.kind) {
    case 'none':
      return null;
    case 'json':
      return showJson(body.value, hide);
    case 'multipart':
      return body.parts.map((part) => showPart(part, hide));
    case 'form':
      return Object.fromEntries(
        Object.entries(body.fields).map(([name, value]) => [name, isSecretName(name) ? redacted : hide.known(value)]),
      );
  }
}

function showPart(part: WirePart, hide: Hide): object {
  const { name } = part;
  if (part.kind === 'file') return { name, file_name: part.fileName, media_type: part.mediaType, content: picture };
  return { name, value: isSecretName(name) ? redacted : hide.known(part.value) };
}

function showJson(value: WireJson, hide: Hide): unknown {
  if (value instanceof PictureText) return `${value.prefix}${picture}`;
  if (typeof value === 'string') return hide.known(value);
  if (Array.isArray(value)) return (value as readonly WireJson[]).map((item) => showJson(item, hide));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as Readonly<Record<string, WireJson>>).map(([name, item]) => [
      name,
      typeof item === 'string' && isSecretName(name) ? redacted : showJson(item, hide),
    ]),
  );
}

function isSecretName(name: string): boolean {
  return /^(?:.*[_-])?(?:api[_-]?key|key|token|authorization|cookie|password|secret|credential)s?$/i.test(name);
}
