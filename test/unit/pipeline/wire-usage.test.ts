import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ImageUsage } from '../../../src/pipeline/result.ts';
import { addUsage, readUsage, writeUsage } from '../../../src/pipeline/wire-usage.ts';

const wire = {
  total_tokens: 1130,
  input_tokens: 50,
  output_tokens: 1080,
  input_tokens_details: { text_tokens: 10, image_tokens: 40 },
  output_tokens_details: { text_tokens: 0, image_tokens: 1080 },
};

describe('usage', () => {
  it('is read as OpenAI writes it, and written so again', () => {
    const usage = readUsage(wire);
    expect(usage).toEqual({
      inputTokens: 50,
      outputTokens: 1080,
      totalTokens: 1130,
      inputTextTokens: 10,
      inputImageTokens: 40,
      outputTextTokens: 0,
      outputImageTokens: 1080,
    });
    expect(usage && writeUsage(usage)).toEqual(wire);
  });

  it('tells what of the input was cached, as far as it is told', () => {
    const details = { text_tokens: 10, image_tokens: 40, cached_tokens: 30 };
    const cached = { ...wire, input_tokens_details: details };
    expect(readUsage(cached)).toMatchObject({ inputTokens: 50, inputCachedTokens: 30 });
    const usage = readUsage(cached);
    expect(usage && writeUsage(usage)).toEqual(cached);
    const apart = { ...details, cached_tokens_details: { text_tokens: 10, image_tokens: 20 } };
    expect(readUsage({ ...wire, input_tokens_details: apart })).toMatchObject({
      inputCachedTextTokens: 10,
      inputCachedImageTokens: 20,
    });
    expect(addUsage([usage, readUsage(wire)])).toMatchObject({ inputTokens: 100, inputCachedTokens: 30 });
  });

  it('is the sum of both sides where the total is not told', () => {
    expect(readUsage({ input_tokens: 5, output_tokens: 7 })).toMatchObject({ totalTokens: 12 });
  });

  it.each([
    undefined,
    null,
    'much',
    [],
    {},
    { input_tokens: 5 },
    { input_tokens: 5, output_tokens: null },
    { input_tokens: -1, output_tokens: 7 },
    { input_tokens: 1.5, output_tokens: 7 },
    { input_tokens: '5', output_tokens: '7' },
    { input_tokens: 1e300, output_tokens: 7 },
  ])('is not known from %j', (value) => {
    expect(readUsage(value)).toBeUndefined();
  });

  it('does without details that make no sense', () => {
    expect(
      readUsage({ input_tokens: 5, output_tokens: 7, input_tokens_details: 3, output_tokens_details: null }),
    ).toEqual({ inputTokens: 5, outputTokens: 7, totalTokens: 12 });
  });

  it('is written with the details of the input, which clients read without looking', () => {
    expect(writeUsage({ inputTokens: 5, outputTokens: 7, totalTokens: 12 })).toEqual({
      total_tokens: 12,
      input_tokens: 5,
      output_tokens: 7,
      input_tokens_details: { text_tokens: 0, image_tokens: 0 },
    });
  });

  it('comes back as it was written', () => {
    fc.assert(
      fc.property(usage, (one) => {
        expect(readUsage(JSON.parse(JSON.stringify(writeUsage(one))))).toEqual(one);
      }),
    );
  });
});

describe('the usage of several answers', () => {
  it('is their sum', () => {
    const one = { inputTokens: 1, outputTokens: 2, totalTokens: 3, inputTextTokens: 1 };
    const two = { inputTokens: 10, outputTokens: 20, totalTokens: 30, outputImageTokens: 20 };
    expect(addUsage([one, two])).toEqual({
      inputTokens: 11,
      outputTokens: 22,
      totalTokens: 33,
      inputTextTokens: 1,
      outputImageTokens: 20,
    });
  });

  it('is not known when one of them did not say', () => {
    const one = { inputTokens: 1, outputTokens: 2, totalTokens: 3 };
    for (const all of [[one, undefined], [undefined, one], [one, undefined, one], [undefined]]) {
      expect(addUsage(all)).toBeUndefined();
    }
  });

  it('is that of the only one', () => {
    fc.assert(
      fc.property(usage, (one) => {
        expect(addUsage([one])).toEqual(one);
      }),
    );
  });
});

const tokens = fc.nat({ max: 1_000_000 });
const usage: fc.Arbitrary<ImageUsage> = fc
  .record({ inputTextTokens: tokens, inputImageTokens: tokens, outputTextTokens: tokens, outputImageTokens: tokens })
  .map((details) => {
    const inputTokens = details.inputTextTokens + details.inputImageTokens;
    const outputTokens = details.outputTextTokens + details.outputImageTokens;
    return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, ...details };
  });
