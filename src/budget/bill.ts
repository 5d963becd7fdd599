/** What a call comes to under a tariff, as a sum whose terms can be shown. */
import { formatUsd } from '../money.ts';
import type { Delivered, PriceBasis, PriceQuestion } from '../pipeline/prices.ts';
import { megapixelsOf } from './picture-size.ts';
import { costOf, findCell, type Cell } from './price-cell.ts';
import type { Tariff } from './tariff.ts';
import {
  accompanyingTokens,
  costOfTokens,
  countTokens,
  isTelling,
  mostPictureTokens,
  type TokenCount,
} from './token-price.ts';

export interface Bill {
  readonly basis: PriceBasis;
  readonly pictures: number;
  /** What each picture costs. */
  readonly each: readonly Term[];
  /** What is paid once, however many there are. */
  readonly once: readonly Term[];
}

export interface Term {
  readonly nanoUsd: bigint;
  /** How it comes about, for people. */
  words(): string;
}

/** A whole number. More than nine million dollars is a mistake in a price; the largest number there is fits no budget. */
export function nanoUsdOf({ each, once, pictures }: Bill): number {
  return safe(sumOf(each) * BigInt(pictures) + sumOf(once));
}

export function sumOf(terms: readonly Term[]): bigint {
  return terms.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0n);
}

export function usd(nanoUsd: bigint): string {
  return formatUsd(safe(nanoUsd));
}

function safe(nanoUsd: bigint): number {
  const largest = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(nanoUsd < largest ? nanoUsd : largest);
}

/** The most that a call can come to: every picture by a request of its own. Undefined when there is no price. */
export function largestBill(tariff: Tariff, question: PriceQuestion): Bill | undefined {
  const picture = pictureBill(tariff, question, 'asked');
  if (picture === undefined) return undefined;
  const each = [picture.term, ...inputTerms(tariff, question.inputImages), ...accompanyingTerms(tariff, question)];
  return { basis: picture.basis, pictures: question.n, each, once: [] };
}

/** What a request came to. Undefined when there is no price. */
export function billOf(tariff: Tariff, question: PriceQuestion, delivered: Delivered): Bill | undefined {
  const { images: pictures, usage, size = question.size, quality = question.quality } = delivered;
  if (tariff.perToken !== undefined && isTelling(usage, pictures)) {
    const counts = countTokens(usage, tariff.perToken, question);
    return { basis: 'per_token', pictures, each: [], once: [tokenTerm(...counts)] };
  }
  const picture = pictureBill(tariff, { ...question, size, quality }, 'made');
  if (picture === undefined) return undefined;
  // Where nothing was made, nobody had a use for what was sent.
  const once = pictures === 0 ? [] : inputTerms(tariff, question.inputImages);
  return { basis: picture.basis, pictures, each: [picture.term], once };
}

/** Steps for a picture where nobody says how many: as many as the gateway itself asks for at the most. */
export const mostSteps = 50;

/** Megapixels of a picture whose size nobody says: vendors that bill so make none larger, and shrink what is sent. */
export const mostMegapixels = 4;

interface PictureBill {
  readonly basis: PriceBasis;
  readonly term: Term;
}

/** One picture by itself. */
function pictureBill(tariff: Tariff, question: PriceQuestion, moment: 'asked' | 'made'): PictureBill | undefined {
  const { perImage, perMegapixel, perStep, perToken } = tariff;
  if (perImage !== undefined) {
    const cell = findCell(perImage, { ...question, moment });
    return cell && { basis: 'per_image', term: { nanoUsd: costOf(cell), words: () => cellWords(cell) } };
  }
  if (perMegapixel !== undefined) {
    const { outputFirst, outputNext } = perMegapixel;
    const further = (megapixelsOf(question.size) ?? mostMegapixels) - 1;
    const words = (): string =>
      further === 0
        ? `${usd(outputFirst)} (1 megapixel)`
        : `${usd(outputFirst)} + ${further} × ${usd(outputNext)} (${further + 1} megapixels)`;
    return { basis: 'per_megapixel', term: { nanoUsd: outputFirst + BigInt(further) * outputNext, words } };
  }
  if (perStep !== undefined) {
    return { basis: 'per_step', term: times(question.steps ?? mostSteps, perStep, 'steps') };
  }
  if (perToken === undefined) return undefined;
  const tokens = mostPictureTokens(question);
  return { basis: 'token_bound', term: tokenTerm({ kind: 'image output', tokens, rate: perToken.imageOutput }) };
}

function cellWords({ quality, size, nanoUsd, scale }: Cell): string {
  const words = `${usd(nanoUsd)} (quality ${quality}, size ${size})`;
  return scale === undefined ? words : `${words} × ${scale.pixels} / ${scale.of} pixels`;
}

/** What is sent along, by the prices that there are for that. */
function inputTerms({ perInputImage = 0n, perMegapixel }: Tariff, inputImages: number): readonly Term[] {
  const megapixels = perMegapixel?.inputEach ?? 0n;
  return [
    times(inputImages, perInputImage, 'pictures sent'),
    times(inputImages * mostMegapixels, megapixels, 'megapixels of pictures sent'),
  ].filter(({ nanoUsd }) => nanoUsd > 0n);
}

/** The tokens that are billed beside the pictures made, at the most. */
function accompanyingTerms({ perToken, perInputImage }: Tariff, question: PriceQuestion): readonly Term[] {
  if (perToken === undefined) return [];
  const inputImages = perInputImage === undefined ? question.inputImages : 0;
  return accompanyingTokens({ ...question, inputImages }, perToken).map((count) => tokenTerm(count));
}

function times(count: number, nanoUsd: bigint, what: string): Term {
  return { nanoUsd: BigInt(count) * nanoUsd, words: () => `${count} ${what} × ${usd(nanoUsd)}` };
}

/** Rounded once for all of them. */
function tokenTerm(...counts: readonly TokenCount[]): Term {
  return {
    nanoUsd: costOfTokens(counts),
    words: () =>
      counts.map(({ kind, tokens, rate }) => `${tokens} tokens of ${kind} × ${usd(rate)} / 1000000`).join(' + '),
  };
}
