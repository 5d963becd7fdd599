import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPriceBook, type Estimate, type PriceBook, type PriceOverride } from '../../../src/budget/pricing.ts';
import { formatUsd } from '../../../src/money.ts';
import type { Delivered, PriceQuestion } from '../../../src/pipeline/prices.ts';
import table from '../../../src/budget/image-prices.json' with { type: 'json' };
import { delivery, priceQuestion } from '../../fixtures/prices.ts';

const builtIn = createPriceBook([]);

/** Dollars of an estimate; undefined for none. */
function dollars(estimate: Estimate): string | undefined {
  return estimate.kind === 'priced' ? formatUsd(estimate.nanoUsd) : undefined;
}

const estimated = (given: Partial<PriceQuestion>, book = builtIn) => dollars(book.estimate(priceQuestion(given)));
const cost = (given: Partial<PriceQuestion>, made: Partial<Delivered> = {}, book = builtIn) =>
  dollars(book.actual(priceQuestion(given), delivery(made)));

/** A book with one price for everything at `openai-main`. */
const bookOf = (price: Omit<PriceOverride, 'model' | 'entity' | 'provider'>): PriceBook =>
  createPriceBook([{ entity: 'openai-main', model: '*', ...price }]);

describe('before a call', () => {
  it.each([
    ['the figure for its quality and size', { quality: 'medium', size: '1024x1536' }, '0.041'],
    ['the dearest where the quality is left open', { quality: 'auto', size: '1024x1536' }, '0.165'],
    ['the dearest where nothing is said', {}, '0.211'],
    ['the dearest size where that is left open', { quality: 'low', size: 'auto' }, '0.006'],
    ['the dearest size where only a ratio is asked for', { quality: 'low', size: '2:3' }, '0.006'],
    ['what a better quality is that the model does not have', { quality: 'xhigh', size: '1024x1024' }, '0.211'],
    ['the dearest for a word that nobody knows', { quality: 'superb', size: '1024x1024' }, '0.211'],
    ['the dearest for a size that is not listed', { quality: 'low', size: '1024x768' }, '0.006'],
    ['by the pixel what is larger than any that is listed', { quality: 'low', size: '2048x2048' }, '0.024'],
    ['a begun nano-dollar as a whole one', { quality: 'high', size: '3840x2160' }, '1.669042969'],
  ])('%s is reserved', (_what, given, expected) => {
    expect(estimated(given)).toBe(expected);
  });

  it.each([
    [{ provider: 'openai', model: 'dall-e-3', size: '1024x1024', quality: 'low' }, '0.04'],
    [{ provider: 'openai', model: 'dall-e-3', size: '1024x1024', quality: 'max' }, '0.08'],
    [{ provider: 'openai', model: 'dall-e-3', size: '1024x1024', quality: 'HD' }, '0.08'],
    [{ provider: 'bedrock', model: 'amazon.nova-canvas-v1:0', size: '1024x1024', quality: 'high' }, '0.06'],
    [{ provider: 'ideogram', model: 'V_3', quality: 'low' }, '0.03'],
    [{ provider: 'ideogram', model: 'ideogram-v3', quality: 'medium' }, '0.06'],
    [{ provider: 'grok', model: 'grok-imagine-image-2.0', size: '1024x1024', quality: 'high' }, '0.06'],
  ])('OpenAI’s words for quality mean the vendor’s own: %j', (given, expected) => {
    expect(estimated(given)).toBe(expected);
  });

  it.each([
    ['512x512', '0.045'],
    ['1024x1024', '0.0672'],
    ['1376x768', '0.0672'],
    ['1K', '0.0672'],
    ['2k', '0.101'],
    // Vendors go by the edge.
    ['1792x1024', '0.101'],
    ['1600x1600', '0.101'],
    // And what they make of it may go by the area.
    ['1536x1536', '0.101'],
    ['2752x1536', '0.101'],
    ['4096x4096', '0.151'],
    ['8192x8192', '0.151'],
    ['auto', '0.151'],
  ])('a size goes by its tier where the vendor has tiers: %s', (size, expected) => {
    expect(estimated({ provider: 'gemini', model: 'gemini-3.1-flash-image', size })).toBe(expected);
  });

  it.each([
    ['grok', 'grok-imagine-image', '0.02'],
    ['x-ai', 'grok-imagine-image', '0.02'],
    ['xai', 'grok-imagine-image', '0.02'],
    ['vertex', 'imagen-4.0-generate-001', '0.04'],
    ['google-vertex', 'imagen-4.0-generate-001', '0.04'],
    ['black-forest-labs', 'flux-dev', '0.025'],
    ['bfl', 'flux-dev', '0.025'],
    ['luma-agents', 'uni-1', '0.0404'],
    ['luma', 'photon-1', '0.0073'],
    ['azure-openai', 'dall-e-2', '0.02'],
    ['azure-openai', 'flux.2-pro', '0.04'],
    ['forge', 'any', '0'],
    ['sandbox', 'sandbox-1', '0'],
    ['localai', 'any', '0'],
    ['fireworks', 'accounts/fireworks/models/flux-kontext-max', '0.08'],
    ['bedrock', 'us.stability.stable-image-core-v1:1', '0.04'],
    ['recraft', 'remove-background', '0.01'],
    ['recraft', 'replace-background', '0.04'],
    ['stability', 'inpaint', '0.005'],
    ['stability', 'stable-image-core', '0.03'],
    ['stability', 'creative', '0.06'],
    ['gemini', 'gemini-3-pro-image-preview', '0.24'],
    ['openai', 'no-such-model', undefined],
    ['no-such-provider', 'gpt-image-2', undefined],
    ['__proto__', '__proto__', undefined],
    ['replicate', 'somebody/something', undefined],
    ['openai-compatible', 'gpt-image-2', undefined],
  ])('%s/%s is found', (provider, model, expected) => {
    expect(estimated({ provider, entity: '', model })).toBe(expected);
  });

  it('everything that is sent along is reserved for each picture, since each may take a request of its own', () => {
    const edit = { operation: 'edition', size: '1024x1024', n: 3, inputImages: 2 } as const;
    expect(estimated({ ...edit, provider: 'grok', model: 'grok-imagine-image' })).toBe('0.072');
    // Pictures at the most tokens for one, the prompt at a token for each byte, sketches at a hundred tokens.
    const tokens = { ...edit, quality: 'low', promptBytes: 1000, partialImages: 2 };
    const each = 0.006 + (2 * 8192 * 8 + 1000 * 5 + 200 * 30) / 1e6;
    expect(estimated(tokens)).toBe(String(Number((3 * each).toFixed(9))));
  });
});

describe('after a call', () => {
  const usage = { inputTokens: 50, outputTokens: 4160, totalTokens: 4210 };

  it('what the provider says that it costs goes before all else, also for what has no price', () => {
    const made = { reportedNanoUsd: 12_345, usage };
    expect(builtIn.actual(priceQuestion(), delivery(made))).toEqual({
      kind: 'priced',
      nanoUsd: 12_345,
      basis: 'reported',
    });
    expect(cost({ provider: 'openrouter', model: 'any' }, made)).toBe('0.000012345');
    expect(cost({ provider: 'openrouter', model: 'any' }, { usage })).toBeUndefined();
  });

  it.each([
    ['all as text and as pictures', usage, 0, 50 * 5 + 4160 * 30],
    ['what is told apart', { ...usage, inputTextTokens: 10, inputImageTokens: 40 }, 1, 10 * 5 + 40 * 8 + 4160 * 30],
    ['the rest of what is told', { ...usage, inputImageTokens: 40 }, 1, 10 * 5 + 40 * 8 + 4160 * 30],
    ['the dearer of what is not told apart', usage, 1, 50 * 8 + 4160 * 30],
    ['details that do not add up', { ...usage, inputTextTokens: 0, inputImageTokens: 0 }, 1, 50 * 8 + 4160 * 30],
    ['text that is cached', { ...usage, inputTextTokens: 50, inputCachedTokens: 20 }, 0, 30 * 5 + 25 + 4160 * 30],
    [
      'what is cached of one and the other',
      { ...usage, inputTextTokens: 10, inputImageTokens: 40, inputCachedTokens: 25 },
      1,
      10 * 1.25 + 25 * 8 + 15 * 2 + 4160 * 30,
    ],
    [
      'what is told of the cache',
      { ...usage, inputTextTokens: 10, inputImageTokens: 40, inputCachedTokens: 25, inputCachedImageTokens: 25 },
      1,
      10 * 5 + 15 * 8 + 25 * 2 + 4160 * 30,
    ],
    ['more cached than there is', { ...usage, inputTextTokens: 50, inputCachedTokens: 99 }, 0, 50 * 1.25 + 4160 * 30],
    ['words on the way', { ...usage, outputTextTokens: 160, outputImageTokens: 4000 }, 0, 50 * 5 + 4160 * 30],
  ])('tokens are billed: %s', (_what, told, inputImages, micro) => {
    expect(cost({ inputImages }, { usage: told })).toBe(formatUsd(micro * 1000));
  });

  it('words have a price of their own where the vendor has one', () => {
    const told = { ...usage, outputTextTokens: 160, outputImageTokens: 4000 };
    expect(cost({ model: 'gpt-image-1.5' }, { usage: told })).toBe(formatUsd((50 * 5 + 160 * 10 + 4000 * 32) * 1000));
  });

  it('a refusal that took tokens is billed by them, and one that tells of none costs nothing', () => {
    expect(cost({}, { images: 0, usage: { inputTokens: 50, outputTokens: 0, totalTokens: 50 } })).toBe('0.00025');
    expect(cost({ inputImages: 3 }, { images: 0 })).toBe('0');
    expect(cost({ provider: 'grok', model: 'grok-imagine-image', inputImages: 3 }, { images: 0 })).toBe('0');
  });

  it('a usage of zeros says nothing about pictures that are there', () => {
    const none = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };
    expect(cost({ quality: 'low', size: '1024x1024' }, { usage: none })).toBe('0.006');
    expect(cost({ model: 'gpt-image-2.5-flare', quality: 'low' }, { usage: none })).toBe('0.03072');
  });

  it('by the picture it costs what was made, and as often', () => {
    const asked = { quality: 'auto', size: 'auto', n: 4 };
    expect(cost(asked, { images: 3, quality: 'low', size: '1024x1536' })).toBe('0.015');
    expect(cost({ ...asked, quality: 'low', size: '1024x1536' }, { images: 2 })).toBe('0.01');
    expect(cost({ provider: 'gemini', model: 'gemini-3.1-flash-image' }, { size: '1584x672' })).toBe('0.0672');
  });

  it('a quality that was left open is the vendor’s usual one, if it has one', () => {
    expect(cost({ provider: 'ideogram', model: 'ideogram-v3' })).toBe('0.06');
    expect(cost({ provider: 'openai', model: 'dall-e-3', quality: 'auto', size: '1024x1024' })).toBe('0.04');
    expect(cost({ quality: 'auto', size: '1024x1024' })).toBe('0.211');
  });

  it('pictures that were sent are billed once for a request', () => {
    expect(cost({ provider: 'luma-agents', model: 'uni-1', n: 2, inputImages: 2 }, { images: 2 })).toBe('0.0868');
  });
});

describe('the prices of the file', () => {
  const price = (given: Partial<PriceOverride>): PriceOverride => ({ model: '*', ...given });
  const all = [
    price({ provider: 'openai', per_image: 4 }),
    price({ provider: 'openai', model: 'gpt-image-2', per_image: 3 }),
    price({ entity: 'openai-main', per_image: 2 }),
    price({ entity: 'openai-main', model: 'gpt-image-2', per_image: 1 }),
  ];

  it('go before the table: the entity’s before the provider’s, one for a model before one for all', () => {
    const answers = all.map((_, index) => {
      const book = createPriceBook(all.slice(0, index + 1));
      return [
        estimated({}, book),
        estimated({ model: 'other' }, book),
        estimated({ entity: 'second' }, book),
        estimated({ entity: 'second', model: 'other' }, book),
        estimated({ provider: 'grok', entity: 'grok-main', model: 'grok-imagine-image' }, book),
      ];
    });
    expect(answers).toEqual([
      ['4', '4', '4', '4', '0.02'],
      ['3', '4', '3', '4', '0.02'],
      ['2', '2', '3', '4', '0.02'],
      ['1', '2', '3', '4', '0.02'],
    ]);
  });

  it('hold for a model by all of its names', () => {
    const book = createPriceBook([price({ provider: 'openai', model: 'gpt-image-2', per_image: 3 })]);
    expect(estimated({ model: 'gpt-image-2-2026-04-21' }, book)).toBe('3');
    expect(estimated({ model: 'gpt-image-1' }, book)).toBe('0.25');
  });

  it('hold for a provider by all of its names', () => {
    const names = new Map([['mine', ['local-names', 'openai-compatible']]]);
    const book = createPriceBook([price({ provider: 'openai-compatible', model: 'flux', per_image: 3 })], names);
    expect(estimated({ provider: 'local-names', entity: 'mine', model: 'flux' }, book)).toBe('3');
    expect(estimated({ provider: 'local-names', entity: 'other', model: 'flux' }, book)).toBeUndefined();
    const free = createPriceBook([], new Map([['mine', ['localai', 'openai-compatible']]]));
    expect(estimated({ provider: 'openai-compatible', entity: 'mine', model: 'flux' }, free)).toBe('0');
  });

  it('take the place of all that the table says of the model', () => {
    const book = bookOf({ per_image: 0.5 });
    expect(cost({ inputImages: 3 }, { usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } }, book)).toBe('0.5');
  });

  it('may be by quality and size, in the form of the table and in shorter ones', () => {
    const book = bookOf({ per_image: { high: { '1024x1024': 0.17, '*': 0.25 }, medium: 0.1, '*': { '*': 0.04 } } });
    const row = (quality: string | undefined) =>
      ['1024x1024', '64x64', undefined].map((size) => estimated({ quality, size }, book));
    expect(row('high')).toEqual(['0.17', '0.25', '0.25']);
    expect(row('hd')).toEqual(['0.17', '0.25', '0.25']);
    expect(row('medium')).toEqual(['0.1', '0.1', '0.1']);
    expect(row('low')).toEqual(['0.04', '0.04', '0.04']);
    expect(row('superb')).toEqual(['0.04', '0.04', '0.04']);
    expect(row('auto')).toEqual(['0.17', '0.25', '0.25']);
    expect(row(undefined)).toEqual(['0.17', '0.25', '0.25']);
  });

  it('may be by the picture sent, the megapixel, the step and the token', () => {
    const size = '2048x1024';
    expect(estimated({ size, inputImages: 2 }, bookOf({ per_image: 0.1, per_input_image: 0.01 }))).toBe('0.12');
    expect(estimated({ size, inputImages: 2 }, bookOf({ per_megapixel: 0.1 }))).toBe('0.2');
    const megapixels = { output_first: 0.1, output_next: 0.02, input_each: 0.001 };
    expect(estimated({ size, inputImages: 2 }, bookOf({ per_megapixel: megapixels }))).toBe('0.128');
    expect(estimated({ steps: 20 }, bookOf({ per_step: 0.001 }))).toBe('0.02');
    const tokens = bookOf({ per_token: { text_input: 1, image_output: 10 } });
    expect(estimated({ size: '1024x1024', quality: 'low' }, tokens)).toBe('0.00512');
    const told = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };
    expect(cost({ inputImages: 1 }, { usage: told }, tokens)).toBe('0.000037');
  });

  it('may be nothing: free of charge is a price', () => {
    const answer = bookOf({ per_image: 0 }).estimate(priceQuestion());
    expect(answer).toEqual({ kind: 'priced', nanoUsd: 0, basis: 'per_image' });
  });

  it('are no price when they say nothing about a picture', () => {
    expect(estimated({}, bookOf({ per_input_image: 1 }))).toBeUndefined();
    expect(estimated({}, bookOf({ per_image: { high: {} } }))).toBeUndefined();
  });

  it('are exact where floating point is not', () => {
    const book = bookOf({ per_image: 0.1, per_input_image: 0.2 });
    expect(estimated({ inputImages: 1 }, book)).toBe('0.3');
    expect(estimated({ n: 1000 }, bookOf({ per_image: 0.017 }))).toBe('17');
    expect(estimated({ n: 3 }, bookOf({ per_image: 0.000000001 }))).toBe('0.000000003');
  });

  it('are refused when they are no whole nano-dollars', () => {
    expect(() => bookOf({ per_image: 0.0000000001 })).toThrow(RangeError);
    expect(() => bookOf({ per_image: -1 })).toThrow(RangeError);
  });

  it('that come to more than numbers can hold fit no budget', () => {
    const book = bookOf({ per_image: 9_000_000 });
    expect(book.estimate(priceQuestion({ n: 10 }))).toMatchObject({ nanoUsd: Number.MAX_SAFE_INTEGER });
  });
});

describe('an explanation', () => {
  it('shows the entry, the sum, the sources and how sure they are', () => {
    const question = priceQuestion({ quality: 'high', size: '1024x1024', n: 2 });
    expect(builtIn.explain(question)).toMatchObject({
      kind: 'priced',
      nanoUsd: 422_000_000,
      basis: 'per_image',
      origin: 'table',
      entry: 'openai/gpt-image-2',
      compiled: '2026-11-20',
      confidence: 'confirmed',
      unconfirmed: false,
      status: 'current',
      arithmetic: ['0.211 (quality high, size 1024x1024) = 0.211', '0.211 × 2 pictures = 0.422'],
    });
    expect(builtIn.explain(question).sources).toContainEqual({
      title: expect.stringContaining('LiteLLM') as string,
      asOf: '2026-07-17',
    });
  });

  it.each([
    ['openai', 'gpt-image-1', { status: 'retired', retiredOn: '2026-10-23', unconfirmed: false }],
    ['openai', 'gpt-image-1.5', { status: 'scheduled_shutdown', retiredOn: '2026-12-01' }],
    ['openai', 'gpt-image-2.5-flare', { unconfirmed: true }],
    ['bfl', 'flux-2-pro', { confidence: 'single source', unconfirmed: true }],
    ['gemini', 'gemini-3.1-flash-image', { unconfirmed: true }],
    ['comfyui', 'anything', { nanoUsd: 0, unconfirmed: false }],
    ['hive', 'stabilityai/sdxl', { kind: 'unpriced', origin: 'table', entry: 'hive/stabilityai/sdxl' }],
    ['openai', 'unheard-of', { kind: 'unpriced', origin: 'none', entry: undefined }],
  ])('marks what is retired, unconfirmed or unpriced: %s/%s', (provider, model, expected) => {
    expect(builtIn.explain(priceQuestion({ provider, entity: '', model }))).toMatchObject(expected);
  });

  it('says what was taken for granted', () => {
    const notes = (given: Partial<PriceQuestion>): string => builtIn.explain(priceQuestion(given)).notes.join('\n');
    expect(notes({ provider: 'fireworks', model: 'SSD-1B' })).toContain('50 are counted');
    expect(notes({ provider: 'fireworks', model: 'SSD-1B', steps: 3 })).not.toContain('are counted');
    expect(notes({ provider: 'bfl', model: 'flux-2-pro' })).toContain('4 megapixels are counted');
    expect(
      notes({ provider: 'together', model: 'black-forest-labs/FLUX.1-kontext-pro', operation: 'edition' }),
    ).toContain('lists this price for generation');
    expect(notes({})).toContain('image output 30');
  });

  it('of a price of the file names it', () => {
    expect(bookOf({ per_megapixel: 0.5 }).explain(priceQuestion({ size: '2048x1024', inputImages: 1 }))).toMatchObject({
      origin: 'file',
      entry: 'openai-main/*',
      compiled: undefined,
      arithmetic: ['0.5 + 1 × 0.5 (2 megapixels) = 1', '1 × 1 picture = 1'],
    });
  });

  it('is of what is reserved', () => {
    fc.assert(
      fc.property(questions(), (question) => {
        const { kind, ...rest } = builtIn.estimate(question);
        expect(builtIn.explain(question)).toMatchObject({ kind, ...rest });
      }),
    );
  });
});

/** Calls to all models of the table, with all that the table knows about qualities and sizes. */
function questions(): fc.Arbitrary<PriceQuestion> {
  return fc.constantFrom(...table.models).chain((entry) => {
    const { provider, model, per_image: perImage = {} } = entry;
    const qualities = [undefined, 'auto', 'standard', 'high', ...Object.keys(perImage)];
    const sizes = Object.values(perImage as Record<string, object>).flatMap((row) => Object.keys(row));
    const measures = [undefined, 'auto', '1:1', '512x512', '1024x1024', '2048x2048', ...sizes];
    return fc.record({
      provider: fc.constant(provider),
      entity: fc.constant(''),
      model: fc.constant(model),
      operation: fc.constantFrom('generation' as const, 'edition' as const),
      quality: fc.constantFrom(...qualities),
      size: fc.constantFrom(...measures),
      n: fc.integer({ min: 1, max: 10 }),
      inputImages: fc.integer({ min: 0, max: 16 }),
      steps: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    });
  });
}

describe('for every model of the table', () => {
  it('what is reserved is never less than what the same call costs', () => {
    fc.assert(
      fc.property(questions(), fc.nat({ max: 10 }), fc.boolean(), (question, most, tells) => {
        const images = Math.min(most, question.n);
        const told = tells ? { quality: question.quality, size: question.size } : {};
        const before = builtIn.estimate(question);
        const after = builtIn.actual(question, delivery({ images, ...told }));
        expect(after.kind).toBe(before.kind);
        if (before.kind === 'priced' && after.kind === 'priced') {
          expect(after.nanoUsd).toBeLessThanOrEqual(before.nanoUsd);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('nor less than anything that the vendor may choose where it was left open', () => {
    for (const entry of table.models) {
      const { provider, model } = entry;
      const { per_image: perImage = {} } = entry as { per_image?: Record<string, Record<string, number>> };
      const before = builtIn.estimate(priceQuestion({ provider, entity: '', model, quality: 'auto', size: 'auto' }));
      for (const [quality, row] of Object.entries(perImage)) {
        for (const size of Object.keys(row)) {
          const after = builtIn.actual(priceQuestion({ provider, entity: '', model }), delivery({ quality, size }));
          if (before.kind !== 'priced' || after.kind !== 'priced') throw new Error(`${provider}/${model} has no price`);
          expect(after.nanoUsd).toBeLessThanOrEqual(before.nanoUsd);
        }
      }
    }
  });

  it('what is reserved grows with the number of pictures in proportion', () => {
    fc.assert(
      fc.property(questions(), (question) => {
        const [one, all] = [builtIn.estimate({ ...question, n: 1 }), builtIn.estimate(question)];
        expect(all).toEqual(one.kind === 'priced' ? { ...one, nanoUsd: one.nanoUsd * question.n } : one);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('whatever the prices are', () => {
  /** Up to ten thousand dollars, as many nano-dollars as there may be. */
  const nano = fc.bigInt({ min: 0n, max: 10_000_000_000_000n });
  const asNumber = (amount: bigint): number => Number(formatUsd(Number(amount)));

  it('sums are exact', () => {
    fc.assert(
      fc.property(nano, nano, fc.integer({ min: 1, max: 10 }), fc.nat({ max: 16 }), (image, input, n, inputImages) => {
        const book = bookOf({ per_image: asNumber(image), per_input_image: asNumber(input) });
        const question = priceQuestion({ n, inputImages });
        const before = (image + input * BigInt(inputImages)) * BigInt(n);
        const after = image * BigInt(n) + input * BigInt(inputImages);
        expect(book.estimate(question)).toMatchObject({ nanoUsd: Number(before) });
        expect(book.actual(question, delivery({ images: n }))).toMatchObject({ nanoUsd: Number(after) });
      }),
    );
  });

  it('tokens are exact, and a begun nano-dollar is a whole one', () => {
    const tokens = fc.nat({ max: 1_000_000 });
    fc.assert(
      fc.property(nano, nano, nano, tokens, tokens, tokens, (text, image, output, inText, inImages, out) => {
        const book = bookOf({
          per_token: { text_input: asNumber(text), image_input: asNumber(image), image_output: asNumber(output) },
        });
        const usage = {
          inputTokens: inText + inImages,
          inputTextTokens: inText,
          inputImageTokens: inImages,
          outputTokens: out + 1,
          totalTokens: inText + inImages + out + 1,
        };
        const sum = BigInt(inText) * text + BigInt(inImages) * image + BigInt(out + 1) * output;
        const exact = sum / 1_000_000n + (sum % 1_000_000n === 0n ? 0n : 1n);
        const answer = book.actual(priceQuestion({ inputImages: 1 }), delivery({ usage }));
        expect(answer).toEqual({ kind: 'priced', nanoUsd: Number(exact), basis: 'per_token' });
      }),
    );
  });
});
