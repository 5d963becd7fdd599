/**
 * What OpenAI's words for quality come to with a vendor that has three tiers: undefined for those that mean its usual one.
 * Words that are not in here mean nothing to it.
 */
export const qualityTiers: ReadonlyMap<string | undefined, 'low' | 'medium' | 'high' | undefined> = new Map([
  [undefined, undefined],
  ['auto', undefined],
  ['standard', undefined],
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['hd', 'high'],
  ['xhigh', 'high'],
  ['max', 'high'],
]);
