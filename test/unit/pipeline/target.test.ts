import { describe, expect, it } from 'vitest';
import { targetCall } from '../../../src/pipeline/target-call.ts';
import { targetNames } from '../../../src/pipeline/target-names.ts';
import { makeCall, makeEntity, makeOperation, makeTarget } from '../../fixtures/exchange.ts';

describe('a call as a target gets it', () => {
  const entity = makeEntity({
    operations: {
      generation: makeOperation({ parameters: { n: 2, quality: 'low', style: undefined }, responseFormat: 'url' }),
      edition: makeOperation({ parameters: { quality: 'high' } }),
    },
  });
  const target = makeTarget({ entity, model: 'gpt-image-2' });

  it('has the model that was resolved, whatever the caller wrote', () => {
    expect(targetCall(makeCall({ model: 'image-prod' }), target).model).toBe('gpt-image-2');
  });

  it('has the entity’s options where the caller is silent, and only there', () => {
    const asked = makeCall({ parameters: { n: 1, size: '1024x1024', quality: undefined } });
    const given = targetCall(asked, target);
    expect(given.parameters).toEqual({ n: 1, size: '1024x1024', quality: 'low' });
    expect(given.responseFormat).toBe('url');
    expect(targetCall(makeCall({ responseFormat: 'b64_json' }), target).responseFormat).toBe('b64_json');
  });

  it('has the options of its own operation', () => {
    const given = targetCall(makeCall({ operation: 'edition' }), target);
    expect(given.parameters).toEqual({ quality: 'high' });
    expect(given.responseFormat).toBeUndefined();
  });

  it('leaves the caller’s call as it was', () => {
    const call = makeCall({ parameters: { size: 'auto' } });
    targetCall(call, target);
    expect(call).toEqual(makeCall({ parameters: { size: 'auto' } }));
  });
});

describe('the names of a target', () => {
  it('are the bare model, the model behind the id and behind each slug, and the alias as asked', () => {
    const entity = makeEntity({ id: 'openai-main', slugs: ['openai-provider', 'openai_provider'] });
    expect(targetNames({ entity, model: 'gpt-image-2', alias: 'image-prod' })).toEqual([
      'gpt-image-2',
      'openai-main/gpt-image-2',
      'openai-provider/gpt-image-2',
      'openai_provider/gpt-image-2',
      'image-prod',
    ]);
    expect(targetNames({ entity, model: 'flux/schnell', alias: undefined })).not.toContain(undefined);
  });
});
