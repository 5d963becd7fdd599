/** Prices in words. */
import type { PriceExplanation, PriceQuestion, PriceRule } from '../pipeline/prices.ts';
import { mostMegapixels, mostSteps, nanoUsdOf, sumOf, usd, type Bill } from './bill.ts';
import { megapixelsOf } from './picture-size.ts';
import type { PriceSource } from './price-source.ts';
import { tableFacts, type TableEntry } from './price-table.ts';
import type { Tariff, TokenRates } from './tariff.ts';

const nothing: PriceRule = {
  origin: 'none',
  entry: undefined,
  compiled: undefined,
  sources: [],
  confidence: undefined,
  unconfirmed: false,
  status: undefined,
  retiredOn: undefined,
  notes: [],
};

/** Where a price comes from, and what else there is to know of it. */
export function explainSource(source: PriceSource | undefined, question: PriceQuestion): PriceRule {
  if (source === undefined) return nothing;
  const assumed = assumptions(source.tariff, question);
  if (source.origin === 'file') {
    const { entity, provider = '', model } = source.override;
    return { ...nothing, origin: 'file', entry: `${entity ?? provider}/${model}`, notes: assumed };
  }
  const { facts } = source.entry;
  const { confidence, notes } = facts;
  return {
    origin: 'table',
    entry: `${facts.provider}/${facts.model}`,
    compiled: tableFacts.compiled,
    sources: facts.source.flatMap((name) => {
      const known = tableFacts.sources[name];
      return known === undefined ? [] : [{ title: known.title, asOf: known.as_of }];
    }),
    confidence,
    unconfirmed: isUnconfirmed(facts),
    status: facts.status,
    retiredOn: facts.retired_on,
    notes: [...(notes === undefined ? [] : [notes]), ...otherOperation(facts, question), ...assumed],
  };
}

/** The sum, term by term. */
export function explainBill(
  bill: Bill | undefined,
):
  | Pick<Extract<PriceExplanation, { kind: 'priced' }>, 'kind' | 'nanoUsd' | 'basis' | 'arithmetic'>
  | { readonly kind: 'unpriced' } {
  if (bill === undefined) return { kind: 'unpriced' };
  const { basis, each, pictures } = bill;
  const nanoUsd = nanoUsdOf(bill);
  const terms = each.map((term) => `${term.words()} = ${usd(term.nanoUsd)}`);
  const noun = pictures === 1 ? 'picture' : 'pictures';
  const total = `${usd(sumOf(each))} × ${pictures} ${noun} = ${usd(BigInt(nanoUsd))}`;
  return { kind: 'priced', nanoUsd, basis, arithmetic: [...terms, total] };
}

/** The table says `confirmed` first of what has more than one good source, and further on what of it has not. */
function isUnconfirmed({ unit, confidence, notes = '', source }: TableEntry['facts']): boolean {
  if (unit === 'unpriced') return false;
  const isSure = /^(confirmed|self-hosted)/.test(confidence) && !confidence.includes('resellers only');
  return !isSure || /unconfirmed/i.test(`${confidence} ${notes}`) || source.includes('memory');
}

function otherOperation({ operations }: TableEntry['facts'], { operation }: PriceQuestion): readonly string[] {
  if (operations === undefined || operations.includes(operation === 'generation' ? 'generation' : 'edit')) return [];
  return [`The table lists this price for ${operations.join(' and ')}; it is taken for ${operation} as well.`];
}

/** What is taken for granted where the question does not say it. */
function assumptions(
  { perToken, perImage, perStep, perMegapixel }: Tariff,
  question: PriceQuestion,
): readonly string[] {
  return [
    ...(perToken === undefined ? [] : [tokenNote(perToken, perImage === undefined)]),
    ...(perStep === undefined || question.steps !== undefined
      ? []
      : [`The steps are not told: ${mostSteps} are counted.`]),
    ...(perMegapixel === undefined || megapixelsOf(question.size) !== undefined
      ? []
      : [`The size in pixels is not told: ${mostMegapixels} megapixels are counted.`]),
  ];
}

function tokenNote(rates: TokenRates, isBound: boolean): string {
  const kinds: Readonly<Record<string, bigint>> = {
    'text input': rates.textInput,
    'cached text input': rates.textInputCached,
    'image input': rates.imageInput,
    'cached image input': rates.imageInputCached,
    'text output': rates.textOutput,
    'image output': rates.imageOutput,
  };
  const reserved = isBound ? 'the most tokens that a picture takes' : 'the usual price of a picture';
  const listed = Object.entries(kinds).map(([kind, rate]) => `${kind} ${usd(rate)}`);
  return `Reserved is ${reserved}, billed are the tokens that the provider counts, in dollars a million: ${listed.join(', ')}.`;
}
