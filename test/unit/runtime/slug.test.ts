import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slugsOf } from '../../../src/runtime/slug.ts';

describe('the slugs of a name', () => {
  it.each([
    ['OpenAI Provider', ['openai-provider', 'openai_provider']],
    ['openai', ['openai']],
    ['openai-main', ['openai-main', 'openai_main']],
    ['  Front   desk  ', ['front-desk', 'front_desk']],
    ["Bob's (new) FLUX.1!", ['bob-s-new-flux-1', 'bob_s_new_flux_1']],
    ["a-._~!$'()*,;&=@:/b", ['a-b', 'a_b']],
    ['Crème Brûlée', ['creme-brulee', 'creme_brulee']],
    ['Cre\u{300}me', ['creme']],
    ['Größe Ärger', ['große-arger', 'große_arger']],
    ['画像 モデル', ['画像-モテル', '画像_モテル']],
    ['Łódź', ['łodz']],
    ['100% real', ['100%-real', '100%_real']],
    ['...', []],
    ['', []],
  ])('%j are %j', (name, slugs) => {
    expect(slugsOf(name)).toEqual(slugs);
  });

  it('are the slugs of each slug again, and have no separator at an end or twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        for (const slug of slugsOf(name)) {
          expect(slugsOf(slug)).toContain(slug);
          expect(slug).not.toMatch(/^[-_]|[-_]$|[-_]{2}/);
        }
      }),
    );
  });
});
