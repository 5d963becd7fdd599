import type { PricedModelFile } from '../generated/image-prices.ts';
import type { PriceFile } from '../generated/gateway.ts';
import { parseUsd } from '../money.ts';

/** What a model costs, in nano-dollars. */
export interface Tariff {
  readonly perImage: QualityTable | undefined;
  readonly perInputImage: bigint | undefined;
  readonly perToken: TokenRates | undefined;
  readonly perMegapixel: MegapixelRates | undefined;
  readonly perStep: bigint | undefined;
}

/** Nano-dollars for a picture, by quality and then by size; `*` is any. */
export type QualityTable = ReadonlyMap<string, SizeTable>;
export type SizeTable = ReadonlyMap<string, bigint>;

/** Nano-dollars for a million tokens. */
export interface TokenRates {
  readonly textInput: bigint;
  readonly textInputCached: bigint;
  readonly imageInput: bigint;
  readonly imageInputCached: bigint;
  readonly textOutput: bigint;
  readonly imageOutput: bigint;
}

/** Nano-dollars for a megapixel. */
export interface MegapixelRates {
  readonly outputFirst: bigint;
  readonly outputNext: bigint;
  readonly inputEach: bigint;
}

/** The members of a price, in dollars, that the file and the built-in table have in common. */
export type PriceMembers = Pick<
  PriceFile & PricedModelFile,
  'per_image' | 'per_input_image' | 'per_token' | 'per_megapixel' | 'per_step'
>;

/** @throws RangeError for what is no amount of whole nano-dollars */
export function readTariff(members: Pick<PriceFile, keyof PriceMembers>): Tariff {
  const {
    per_image: image,
    per_input_image: input,
    per_token: token,
    per_megapixel: megapixel,
    per_step: step,
  } = members;
  return {
    perImage: image === undefined ? undefined : readQualities(image),
    perInputImage: optional(input),
    perToken: token === undefined ? undefined : readTokens(token),
    perMegapixel: megapixel === undefined ? undefined : readMegapixels(megapixel),
    perStep: optional(step),
  };
}

/** The shortest text of a number is what was written in the file, so no digit comes from the binary form. */
function nano(dollars: number): bigint {
  const exact = parseUsd(String(dollars));
  if (exact === undefined) throw new RangeError(`${dollars} is not an amount of whole nano-dollars`);
  return BigInt(exact);
}

function optional(dollars: number | undefined): bigint | undefined {
  return dollars === undefined ? undefined : nano(dollars);
}

function readQualities(price: NonNullable<PriceFile['per_image']>): QualityTable {
  if (typeof price === 'number') return new Map([['*', readSizes(price)]]);
  return new Map(Object.entries(price).map(([quality, sizes]) => [quality, readSizes(sizes)]));
}

function readSizes(price: number | Readonly<Record<string, number>>): SizeTable {
  if (typeof price === 'number') return new Map([['*', nano(price)]]);
  return new Map(Object.entries(price).map(([size, dollars]) => [size, nano(dollars)]));
}

function readTokens(token: NonNullable<PriceFile['per_token']>): TokenRates {
  const textInput = nano(token.text_input);
  const imageOutput = nano(token.image_output);
  const imageInput = optional(token.image_input) ?? textInput;
  return {
    textInput,
    textInputCached: optional(token.text_input_cached) ?? textInput,
    imageInput,
    imageInputCached: optional(token.image_input_cached) ?? imageInput,
    textOutput: optional(token.text_output) ?? imageOutput,
    imageOutput,
  };
}

function readMegapixels(price: NonNullable<PriceFile['per_megapixel']>): MegapixelRates {
  if (typeof price === 'number') return { outputFirst: nano(price), outputNext: nano(price), inputEach: 0n };
  const { output_first: first, output_next: next, input_each: input = 0 } = price;
  return { outputFirst: nano(first), outputNext: nano(next), inputEach: nano(input) };
}
