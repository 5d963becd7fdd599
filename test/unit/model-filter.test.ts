import { describe, expect, it } from 'vitest';
import { everyModel, filterAllows } from '../../src/model-filter.ts';
import { compilePattern } from '../../src/pattern.ts';

const filter = (include: readonly string[], exclude: readonly string[] = []) => ({
  include: include.map(compilePattern),
  exclude: exclude.map(compilePattern),
});

describe('a model filter', () => {
  it('without rules allows everything', () => {
    expect([filterAllows(everyModel, ['gpt-image-2']), filterAllows(everyModel, [])]).toEqual([true, true]);
  });

  it.each([
    [['gpt-image-.*'], [], 'gpt-image-2', true],
    [['gpt-image-.*'], [], 'my-gpt-image-2', false],
    [['gpt-image'], [], 'gpt-image-2', false],
    [['dall-e-3', 'gpt-image-.*'], [], 'gpt-image-2', true],
    [[], ['gpt-image-2'], 'gpt-image-2', false],
    [[], ['gpt-image'], 'gpt-image-2', true],
    [['gpt-image-.*'], ['.*-2'], 'gpt-image-1', true],
    [['gpt-image-.*'], ['.*-2'], 'gpt-image-2', false],
    [['a|b'], [], 'b', true],
    [['a|b'], [], 'ab', false],
  ])('of include %j and exclude %j: %s', (include, exclude, model, allowed) => {
    expect(filterAllows(filter(include, exclude), [model])).toBe(allowed);
  });

  it('is met under any of the names that a model goes by', () => {
    const names = ['gpt-image-2', 'openai-main/gpt-image-2', 'image-prod'];
    expect(filterAllows(filter(['openai-main/.*']), names)).toBe(true);
    expect(filterAllows(filter(['image-prod']), names)).toBe(true);
    expect(filterAllows(filter([], ['openai-main/.*']), names)).toBe(false);
    expect(filterAllows(filter(['gpt-image-2'], ['image-prod']), names)).toBe(false);
  });
});
