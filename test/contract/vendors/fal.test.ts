import { describe, expect, it } from 'vitest';
import type { WireRequest } from '../../../src/pipeline/upstream.ts';
import { fal } from '../../../src/providers/fal.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { Secret } from '../../../src/secret.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { falFixtures, queueBase, syncBase, syncFixtures } from '../../fixtures/providers/fal.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: fal,
  settings: providerConfig(fal, {}),
  fixtures: falFixtures,
  base: queueBase,
});

providerContract({
  definition: fal,
  settings: providerConfig(fal, { connection: { mode: 'sync', image_key: 'image_urls' } }),
  fixtures: syncFixtures,
  base: syncBase,
});

describe('how fal is reached', () => {
  const connect = (connection: object): Provider => fal.create(providerConfig(fal, { connection }));
  const membersOf = ({ body }: WireRequest): unknown => (body.kind === 'json' ? body.value : undefined);

  it('sends the key in fal’s own scheme', () => {
    expect(connect({}).authorise(new Secret('id:secret'))).toEqual({ authorization: 'Key id:secret' });
  });

  it('prefers the address of the file, whatever the mode', () => {
    const { request } = connect({ base_url: 'https://proxy.example/fal/', mode: 'sync' }).encode(
      makeTargetCall({ model: 'fal-ai/flux/dev' }),
    );
    expect(request.url).toBe('https://proxy.example/fal/fal-ai/flux/dev');
  });

  it('asks after no job in the mode `sync`', () => {
    expect(connect({ mode: 'sync' }).poll).toBeUndefined();
  });

  it.each([
    ['image_size', 'fal-ai/flux-pro/kontext', { image_size: { width: 1536, height: 1024 } }],
    ['aspect_ratio', 'fal-ai/flux/schnell', { aspect_ratio: '3:2' }],
    [undefined, 'fal-ai/nano-banana', { aspect_ratio: '3:2' }],
    [undefined, 'fal-ai/flux-2-pro', { image_size: { width: 1536, height: 1024 } }],
  ])('says the size as %s to %s', (sizeAs, model, members) => {
    const provider = connect(sizeAs === undefined ? {} : { size_as: sizeAs });
    const { request } = provider.encode(makeTargetCall({ model, parameters: { size: '1536x1024' } }));
    expect(membersOf(request)).toEqual({ prompt: 'a lighthouse', ...members });
  });

  it('asks for a square where the models’ own default is none, and leaves edits their shape', () => {
    const parameters = { size: 'auto' };
    const made = connect({}).encode(makeTargetCall({ model: 'fal-ai/flux-pro/v1.1-ultra', parameters }));
    const changed = connect({}).encode(
      makeTargetCall({ model: 'fal-ai/flux/dev/image-to-image', operation: 'edition', parameters }),
    );
    expect(membersOf(made.request)).toEqual({ prompt: 'a lighthouse', aspect_ratio: '1:1' });
    expect(membersOf(changed.request)).toEqual({ prompt: 'a lighthouse' });
  });

  it.each([
    ['image_url', 'fal-ai/flux-pro/v1/fill', 'white', 1],
    ['image_url', 'fal-ai/flux-pro/kontext', undefined, 1],
    ['image_urls', 'fal-ai/flux-2-pro/edit', undefined, 10],
  ])('with %s gives %s the mask %s, and %i pictures', (imageKey, model, mask, max) => {
    const capabilities = connect({ image_key: imageKey }).capabilities(model, 'edition');
    expect(capabilities?.mask).toBe(mask);
    expect(capabilities?.inputs).toEqual({ max, as: 'bytes' });
  });

  it.each(['..', 'fal-ai/../secrets', 'fal-ai//flux', '', '/'])(
    'refuses the model %j, which leads elsewhere',
    (model) => {
      expect(() => connect({}).encode(makeTargetCall({ model }))).toThrow(
        expect.objectContaining({ code: 'model_not_found', param: 'model' }),
      );
    },
  );

  it('keeps what is special in a name within it', () => {
    const { url } = connect({}).encode(makeTargetCall({ model: 'a/b?c#d/%2e%2e' })).request;
    expect(url).toBe('https://queue.fal.run/a/b%3Fc%23d/%252e%252e');
  });
});
