import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { ImageCall, TargetCall } from '../../../src/pipeline/call.ts';
import type { OperationSettings, Route } from '../../../src/pipeline/settings.ts';
import type { WireRequest } from '../../../src/pipeline/upstream.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { providerTransform } from '../../../src/transforms/provider-transform.ts';
import {
  filledBy,
  makeCall,
  makeCapabilities,
  makeEntity,
  makeExchange,
  makeOperation,
  makeRoute,
  makeStageEnv,
  makeTarget,
} from '../../fixtures/exchange.ts';
import { png } from '../../fixtures/pictures.ts';
import { uploaded } from '../../fixtures/providers/calls.ts';

const hosting = { publicUrl: undefined, path: '/files/:name', signer: undefined };
const handle = providerTransform.create({}, makeStageEnv({ catalogue: { hosting } }));

/** Encodes a call to a request with the call in it, and leaves out what it is told. */
function provider(maxImages: number, dropped: (call: TargetCall) => readonly string[] = () => []): Provider {
  return {
    ...makeEntity().provider,
    capabilities: () => makeCapabilities({ maxImages }),
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
  route: Partial<Route> = {},
): Promise<{ readonly values: readonly unknown[]; readonly dropped: string | undefined }> {
  const operations = {
    generation: makeOperation(settings),
    edition: makeOperation({ parameters: { quality: 'low' } }),
  };
  const target = makeTarget({ entity: makeEntity({ provider, operations }), model: 'resolved' });
  const exchange = makeExchange({ call: makeCall(call), target }, { route: makeRoute(route) });
  exchange.responseHeaders.set('x-pinhole-dropped-params', 'of an earlier candidate');
  const { upstream } = await filledBy(handle(exchange));
  return {
    values: upstream.map(({ request: { body } }) => (body.kind === 'json' ? body.value : undefined)),
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

  it('refuses links that nobody could give, before anything is sent', async () => {
    const target = makeTarget({ entity: makeEntity({ provider: provider(1) }) });
    const exchange = makeExchange({ call: makeCall({ responseFormat: 'url' }), target });
    const unable = providerTransform.create({}, makeStageEnv());
    await expect(unable(exchange)).rejects.toMatchObject({ code: 'unsupported_parameter' });
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

  it('gives each part of a call another seed, as equal ones would give equal pictures', async () => {
    const seeds: (number | undefined)[] = [];
    const noting: Provider = {
      ...provider(2),
      encode(call) {
        seeds.push(call.parameters.seed);
        return { request: requestOf(call), dropped: [] };
      },
    };
    await encode({ parameters: { n: 5, seed: 40 } }, noting);
    await encode({ parameters: { n: 5 } }, noting);
    expect(seeds).toEqual([40, 42, 44, undefined, undefined, undefined]);
  });

  it('refuses an operation that the model does not have', async () => {
    const without: Provider = { ...provider(1), capabilities: () => undefined };
    await expect(encode({}, without)).rejects.toMatchObject({ code: 'operation_not_supported', status: 501 });
  });

  describe('with what the provider cannot take', () => {
    const mask = uploaded(png(), 'image/png');
    const asked: Partial<ImageCall> = {
      parameters: { n: 2, size: '1024x1024', style: 'vivid', seed: 7 },
      unknown: { steps: 4, guidance: 3 },
      mask,
    };
    /** Takes a size and steps, and sends what it is given. */
    const modest: Provider = {
      ...provider(10),
      capabilities: () => makeCapabilities({ parameters: { size: 'native' }, further: ['steps'], mask: undefined }),
      encode: ({ parameters, unknown, mask }) => ({
        request: {
          method: 'POST',
          url: 'https://provider.test/',
          headers: {},
          body: { kind: 'json', value: { ...unknown, size: parameters.size ?? '', masked: mask !== undefined } },
        },
        dropped: [],
      }),
    };

    it('drops it, and names it', async () => {
      expect(await encode(asked, modest)).toEqual({
        values: [{ steps: 4, size: '1024x1024', masked: false }],
        dropped: 'style, seed, guidance, mask',
      });
    });

    it('refuses the call where the route says so, naming the first', async () => {
      const refused = encode(asked, modest, {}, { unsupportedParams: 'reject' });
      await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'style', status: 400 });
      await expect(refused).rejects.toThrow('`style`, `seed`, `guidance`, `mask`');
      const fine: Partial<ImageCall> = { parameters: { size: '1024x1024' }, unknown: { steps: 4 } };
      expect((await encode(fine, modest, {}, { unsupportedParams: 'reject' })).dropped).toBeUndefined();
    });

    it('refuses a value that the provider leaves out as well', async () => {
      const picky = provider(1, () => ['style']);
      const refused = encode({ parameters: { style: 'vivid' } }, picky, {}, { unsupportedParams: 'reject' });
      await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'style' });
    });

    it('passes it on where the route says so, all but a mask', async () => {
      expect(await encode(asked, modest, {}, { unsupportedParams: 'pass' })).toEqual({
        values: [{ steps: 4, size: '1024x1024', masked: false, style: 'vivid', seed: 7, guidance: 3 }],
        dropped: 'mask',
      });
    });

    it('writes no header that a caller could break', async () => {
      const { dropped } = await encode({ unknown: { 'a\r\nx-evil: 1': 1, 'ü, b': 2, '🗼': 3, '\ud800': 4 } }, modest);
      expect(dropped).toBe('a%0D%0Ax-evil:%201, %C3%BC%2C%20b, %F0%9F%97%BC, %EF%BF%BD');
    });
  });
});
