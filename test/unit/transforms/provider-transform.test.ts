import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { ImageCall, TargetCall } from '../../../src/pipeline/call.ts';
import type { OperationSettings } from '../../../src/pipeline/settings.ts';
import type { WireRequest } from '../../../src/pipeline/upstream.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { providerTransform } from '../../../src/transforms/provider-transform.ts';
import {
  filledBy,
  makeCall,
  makeEntity,
  makeExchange,
  makeOperation,
  makeStageEnv,
  makeTarget,
} from '../../fixtures/exchange.ts';

const hosting = { publicUrl: undefined, path: '/files/:name' };
const handle = providerTransform.create({}, makeStageEnv({ catalogue: { hosting } }));

/** Encodes a call to a request with the call in it, and leaves out what it is told. */
function provider(maxImages: number, dropped: (call: TargetCall) => readonly string[] = () => []): Provider {
  return {
    ...makeEntity().provider,
    capabilities: () => ({ operations: ['generation', 'edition'], maxImages, nativeForm: 'b64_json' }),
    encode: (call) => ({ request: requestOf(call), dropped: dropped(call) }),
  };
}

function requestOf({ model, prompt = '', parameters, responseFormat }: TargetCall): WireRequest {
  const value = {
    model,
    prompt,
    n: parameters.n ?? 0,
    quality: parameters.quality ?? '',
    responseFormat: responseFormat ?? '',
  };
  return { method: 'POST', url: 'https://provider.test/', headers: {}, body: { kind: 'json', value } };
}

async function encode(
  call: Partial<ImageCall>,
  provider: Provider,
  settings: Partial<OperationSettings> = {},
): Promise<{ readonly values: readonly unknown[]; readonly dropped: string | undefined }> {
  const operations = {
    generation: makeOperation(settings),
    edition: makeOperation({ parameters: { quality: 'low' } }),
  };
  const target = makeTarget({ entity: makeEntity({ provider, operations }), model: 'resolved' });
  const exchange = makeExchange({ call: makeCall(call), target });
  exchange.responseHeaders.set('x-pinhole-dropped-params', 'of an earlier candidate');
  const { upstream } = await filledBy(handle(exchange));
  return {
    values: upstream.map(({ body }) => (body.kind === 'json' ? body.value : undefined)),
    dropped: exchange.responseHeaders.get('x-pinhole-dropped-params'),
  };
}

describe('provider-transform', () => {
  it('sends the model that was resolved, and the entity’s own options where the caller is silent', async () => {
    const settings = { parameters: { quality: 'high', n: 2 }, responseFormat: 'url' } as const;
    const asked = { model: 'alias', parameters: { n: undefined, quality: 'medium' } };
    expect((await encode(asked, provider(10), settings)).values).toEqual([
      { model: 'resolved', prompt: 'a lighthouse', n: 2, quality: 'medium', responseFormat: 'url' },
    ]);
    const explicit = { responseFormat: 'b64_json', parameters: { n: 1 } } as const;
    expect((await encode(explicit, provider(10), settings)).values).toMatchObject([
      { n: 1, quality: 'high', responseFormat: 'b64_json' },
    ]);
  });

  it('refuses links that nobody could give, before anything is sent', () => {
    const target = makeTarget({ entity: makeEntity({ provider: provider(1) }) });
    const exchange = makeExchange({ call: makeCall({ responseFormat: 'url' }), target });
    const unable = providerTransform.create({}, makeStageEnv());
    expect(() => unable(exchange)).toThrow(expect.objectContaining({ code: 'unsupported_parameter' }));
  });

  it('takes the options of the operation', async () => {
    expect((await encode({ operation: 'edition' }, provider(10))).values).toMatchObject([{ quality: 'low' }]);
  });

  it.each([
    [undefined, 10, [0]],
    [1, 1, [1]],
    [10, 10, [10]],
    [4, 1, [1, 1, 1, 1]],
    [10, 4, [4, 4, 2]],
  ])('asks for %s pictures of at most %i at a time', async (n, maxImages, counts) => {
    const { values } = await encode({ parameters: { n } }, provider(maxImages));
    expect(values).toMatchObject(counts.map((count) => ({ n: count })));
  });

  it('asks for exactly as many pictures as are wanted, whatever the number and the maximum', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 }), async (n, maxImages) => {
        const { values } = await encode({ parameters: { n } }, provider(maxImages));
        const counts = values.map((value) => Number(Object(value).n));
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(n);
        expect(counts.every((count) => count >= 1 && count <= maxImages)).toBe(true);
      }),
    );
  });

  it('names what was left out, once, and only that of this candidate', async () => {
    const dropped = ({ parameters }: TargetCall): readonly string[] => ['seed', parameters.n === 1 ? 'style' : 'user'];
    expect((await encode({ parameters: { n: 3 } }, provider(2, dropped))).dropped).toBe('seed, user, style');
    expect((await encode({}, provider(1))).dropped).toBeUndefined();
  });

  it('passes on what the provider says about a call that it cannot express', async () => {
    const error = new GatewayError('invalid_value', 'no such size', { param: 'size' });
    const refusing = {
      ...provider(1),
      encode: () => {
        throw error;
      },
    };
    await expect(encode({}, refusing)).rejects.toBe(error);
  });
});
