import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createPriceBook } from '../../../src/budget/pricing.ts';
import type { ImagePrices } from '../../../src/generated/image-prices.ts';
import { providers } from '../../../src/providers/index.ts';
import { schemaFile } from '../../../src/schema-files.ts';
import { compileConfigValidator } from '../../../src/validation.ts';
import { delivery, priceQuestion } from '../../fixtures/prices.ts';

/** The data file with every number as the text that stands there, so that nothing here is computed as the book does. */
const text = readFileSync(new URL('../../../src/budget/image-prices.json', import.meta.url), 'utf8');
const table = JSON.parse(text) as ImagePrices;
type AsText<Value> = Value extends number ? string : { readonly [Key in keyof Value]: AsText<Value[Key]> };
const written = JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
  typeof value === 'number' ? context?.source : value,
) as AsText<ImagePrices>;

/** Nano-dollars of a decimal, by moving the point. */
function nano(decimal: string | undefined): bigint {
  if (decimal === undefined) return 0n;
  const [whole = '', fraction = ''] = decimal.split('.');
  if (fraction.length > 9) throw new Error(`${decimal} has more than nine digits behind the point`);
  return BigInt(whole + fraction.padEnd(9, '0'));
}

const book = createPriceBook([]);

function nanoOf(estimate: ReturnType<typeof book.estimate>): bigint {
  if (estimate.kind === 'unpriced') throw new Error('there is no price');
  return BigInt(estimate.nanoUsd);
}

/** Whatever stands for any; a word and a size that no table has. */
const concrete = (name: string): string => (name === '*' ? 'whatever' : name);

const entries = written.models.flatMap((entry) =>
  [entry.model, ...(entry.aliases ?? [])].map((model) => [`${entry.provider}/${model}`, entry, model] as const),
);

describe('the built-in table', () => {
  it('fits its schema', () => {
    expect(compileConfigValidator(schemaFile('image-prices'))(structuredClone(table)).problems).toEqual([]);
  });

  it('refers to sources that it names', () => {
    const named = new Set(Object.keys(table.meta.sources));
    expect(table.models.flatMap(({ source }) => source.filter((name) => !named.has(name)))).toEqual([]);
  });

  it('has one entry for each model', () => {
    const names = entries.map(([name]) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it.each(entries)('%s costs what its entry says', (_name, entry, model) => {
    const {
      provider,
      per_image: perImage,
      per_megapixel: perMegapixel,
      per_token: perToken,
      per_step: perStep,
    } = entry;
    const asked = { provider, entity: '', model: concrete(model) };
    const input = nano(entry.per_input_image);

    if (entry.unit === 'unpriced') {
      expect(book.estimate(priceQuestion(asked))).toEqual({ kind: 'unpriced' });
      expect(book.actual(priceQuestion(asked), delivery({ images: 1 }))).toEqual({ kind: 'unpriced' });
      expect(book.explain(priceQuestion(asked))).toMatchObject({ kind: 'unpriced', origin: 'table' });
    }

    let cells = 0;
    for (const [quality, sizes] of Object.entries(perImage ?? {})) {
      for (const [size, figure] of Object.entries(sizes)) {
        const picture = { quality: concrete(quality), size: concrete(size) };
        for (const n of [1, 2, 10]) {
          const call = priceQuestion({ ...asked, ...picture, n });
          expect(book.estimate(call)).toEqual({
            kind: 'priced',
            nanoUsd: Number(nano(figure) * BigInt(n)),
            basis: 'per_image',
          });
          const made = delivery({ images: n });
          expect(nanoOf(book.actual(call, made))).toBe(nano(figure) * BigInt(n));
          // What was made counts, and not what was asked for.
          const open = priceQuestion({ ...asked, quality: 'auto', size: 'auto', n });
          expect(nanoOf(book.actual(open, { ...made, ...picture }))).toBe(nano(figure) * BigInt(n));
          cells += 1;
        }
        const edit = priceQuestion({ ...asked, ...picture, operation: 'edition', n: 3, inputImages: 2 });
        const images = delivery({ images: 3 });
        expect(nanoOf(book.actual(edit, images))).toBe(nano(figure) * 3n + input * 2n);
        if (perToken === undefined || input > 0n) {
          expect(nanoOf(book.estimate(edit))).toBe((nano(figure) + input * 2n) * 3n);
        }
      }
    }
    expect(cells).toBe(Object.values(perImage ?? {}).reduce((sum, sizes) => sum + 3 * Object.keys(sizes).length, 0));

    if (perMegapixel !== undefined) {
      const first = nano(perMegapixel.output_first);
      const next = nano(perMegapixel.output_next);
      const each = nano(perMegapixel.input_each);
      for (const [size, further] of [
        ['64x64', 0n],
        ['1024x1024', 0n],
        ['1024x1025', 1n],
        ['1920x1080', 1n],
        ['2048x2048', 3n],
        ['2048x2064', 4n],
        [undefined, 3n],
      ] as const) {
        const call = priceQuestion({ ...asked, size, n: 2 });
        expect(nanoOf(book.estimate(call))).toBe((first + further * next) * 2n);
        expect(nanoOf(book.actual(call, delivery({ images: 2 })))).toBe((first + further * next) * 2n);
        const edit = priceQuestion({ ...asked, size, inputImages: 3 });
        expect(nanoOf(book.estimate(edit))).toBe(first + further * next + 12n * each);
      }
    }

    if (perStep !== undefined) {
      const call = priceQuestion({ ...asked, steps: 28, n: 3 });
      expect(nanoOf(book.estimate(call))).toBe(28n * nano(perStep) * 3n);
      expect(nanoOf(book.actual(call, delivery({ images: 2 })))).toBe(28n * nano(perStep) * 2n);
      expect(nanoOf(book.estimate(priceQuestion(asked)))).toBe(50n * nano(perStep));
    }

    if (perToken !== undefined) {
      const { text_input: textInput, image_output: imageOutput } = perToken;
      const usage = {
        inputTokens: 1000 + 3000,
        inputTextTokens: 1000,
        inputImageTokens: 3000,
        inputCachedTokens: 500 + 700,
        inputCachedTextTokens: 500,
        inputCachedImageTokens: 700,
        outputTokens: 40 + 4160,
        outputTextTokens: 40,
        outputImageTokens: 4160,
        totalTokens: 8200,
      };
      const imageInput = perToken.image_input ?? textInput;
      const sum =
        500n * nano(textInput) +
        500n * nano(perToken.text_input_cached ?? textInput) +
        2300n * nano(imageInput) +
        700n * nano(perToken.image_input_cached ?? imageInput) +
        40n * nano(perToken.text_output ?? imageOutput) +
        4160n * nano(imageOutput);
      expect(sum % 1_000_000n).toBe(0n);
      const edit = priceQuestion({ ...asked, operation: 'edition', inputImages: 1 });
      const answer = book.actual(edit, delivery({ images: 1, usage }));
      expect(answer).toEqual({ kind: 'priced', nanoUsd: Number(sum / 1_000_000n), basis: 'per_token' });
      if (perImage === undefined) {
        const bounds = { low: 512n, medium: 2048n, high: 8192n, xhigh: 8192n, max: 8192n };
        for (const [quality, tokens] of Object.entries(bounds)) {
          const estimate = book.estimate(priceQuestion({ ...asked, quality, size: '1536x1024', n: 2 }));
          expect(estimate).toMatchObject({ basis: 'token_bound' });
          expect(nanoOf(estimate)).toBe(((tokens * 2n * nano(imageOutput)) / 1_000_000n) * 2n);
        }
      }
    }
  });

  it('has a way to each of its vendors from a provider of ours, but for those that we do not have', () => {
    const names = providers.flatMap(({ name, aliases }) => [name, ...aliases]);
    const found = new Set(
      names.flatMap((provider) =>
        table.models.flatMap(({ model }) => {
          const { entry = '' } = book.explain(priceQuestion({ provider, entity: '', model }));
          return entry.slice(0, entry.indexOf('/'));
        }),
      ),
    );
    const missed = new Set(table.models.map(({ provider }) => provider).filter((provider) => !found.has(provider)));
    // Reached by `provider_name: localai` of an `openai-compatible` entity.
    expect([...missed]).toEqual(['localai']);
  });

  it('prices all models that our providers name, but for those whose vendor has no public price', () => {
    const missing = providers.flatMap(({ name: provider, models }) =>
      models
        // Names with `*` are families.
        .filter(({ name }) => !name.endsWith('*'))
        .filter(({ name: model }) => book.estimate(priceQuestion({ provider, entity: '', model })).kind === 'unpriced')
        .map(({ name }) => `${provider}/${name}`),
    );
    expect(missing).toMatchInlineSnapshot(`
      [
        "cloud-temple/z-image:16b",
        "hive/black-forest-labs/flux-schnell",
        "hive/hive/flux-schnell-enhanced",
        "hive/stabilityai/sdxl",
        "hive/hive/sdxl-enhanced",
        "openrouter/google/gemini-3.1-flash-image",
        "openrouter/google/gemini-3-pro-image",
        "openrouter/openai/gpt-image-2",
        "openrouter/black-forest-labs/flux.2-pro",
        "openrouter/bytedance-seed/seedream-4.5",
        "openrouter/google/gemini-2.5-flash-image",
        "together/black-forest-labs/FLUX.2-dev",
        "together/black-forest-labs/FLUX.2-flex",
        "together/black-forest-labs/FLUX.2-pro",
        "together/black-forest-labs/FLUX.2-max",
        "imagerouter/black-forest-labs/FLUX-2-pro",
        "imagerouter/test/test",
        "replicate/black-forest-labs/flux-schnell",
        "replicate/black-forest-labs/flux-dev",
        "replicate/black-forest-labs/flux-1.1-pro",
        "replicate/black-forest-labs/flux-kontext-pro",
        "ideogram/ideogram-4-5",
        "stability/sd3.5-flash",
        "black-forest-labs/flux-3-image",
      ]
    `);
  });
});
