import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { isJsonObject } from '../../../src/json.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { ConfigError } from '../../../src/pipeline/stage.ts';
import type { UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import { comfyui } from '../../../src/providers/comfyui.ts';
import type { Asked, PollOutcome, Provider } from '../../../src/providers/provider.ts';
import { png } from '../../fixtures/pictures.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { comfyuiConfig, comfyuiEdit, comfyuiFixtures } from '../../fixtures/providers/comfyui.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { providerContract, type RecordedReply } from '../provider-contract.ts';

const settings = providerConfig(comfyui, comfyuiConfig);

providerContract({ definition: comfyui, settings, fixtures: comfyuiFixtures });

// The contract looks for parameters in the first request, which for an edit is an upload.
it('uploads the pictures of an edit before its graph', async () => {
  const provider = comfyui.create(settings);
  const { call, request, steps, reply, result } = comfyuiEdit;
  let asked: Asked = { call, request: provider.encode(call).request, state: undefined };
  expect(asked.request).toEqual(request);
  for (const step of steps) {
    const outcome = await provider.poll?.(replyOf(step.reply.body), asked);
    if (outcome?.kind !== 'again') throw new Error('the provider asks nothing more');
    expect(outcome.request).toEqual(step.request);
    expect(outcome.now ?? false).toBe(step.now ?? false);
    asked = { call, request: outcome.request, state: outcome.state };
  }
  const last = await provider.poll?.(replyOf(reply.body), asked);
  if (last?.kind !== 'done') throw new Error('the provider asks on');
  const { images } = await provider.decode(last.reply, call);
  expect(images.map(({ payload }) => payload)).toEqual(
    result.images.map(({ bytes }) => ({ kind: 'bytes', bytes: new Uint8Array(bytes) })),
  );
});

function replyOf(body: RecordedReply['body']): UpstreamReply {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
  return { status: 200, headers: {}, body: bytesSource(bytes) };
}

/** A provider with one workflow, of one node with these inputs. */
const withInputs = (inputs: object, operation = 'generation'): Provider => {
  const graph = { '1': { class_type: 'Anything', inputs } };
  return comfyui.create(providerConfig(comfyui, { connection: { workflows: { own: { [operation]: graph } } } }));
};

function inputsOf({ body }: WireRequest): unknown {
  const value: unknown = body.kind === 'json' ? body.value : undefined;
  const graph: unknown = isJsonObject(value) ? value['prompt'] : undefined;
  const node: unknown = isJsonObject(graph) ? graph['1'] : undefined;
  return isJsonObject(node) ? node['inputs'] : undefined;
}
const inputsFor = (provider: Provider, call: Partial<TargetCall> = {}): unknown =>
  inputsOf(provider.encode(makeTargetCall({ model: 'own', ...call })).request);

describe('a workflow for ComfyUI', () => {
  it('has its placeholders filled in with values of their own types', () => {
    const provider = withInputs({
      text: 'photo of {prompt}, {prompt}, not {negative_prompt}',
      exact: '{prompt}',
      sides: ['{width}', '{height=512}'],
      nested: { count: '{n}' },
      seed: '{seed}',
      cfg: '{cfg=7.5}',
      tiled: '{tiled=false}',
      name: '{name=plain}',
      link: ['4', 0],
      literal: '{red|blue} {other} {}',
    });
    expect(inputsFor(provider, { parameters: { seed: 3 } })).toEqual({
      text: 'photo of a lighthouse, a lighthouse, not ',
      exact: 'a lighthouse',
      sides: [1024, 512],
      nested: { count: 1 },
      seed: 3,
      cfg: 7.5,
      tiled: false,
      name: 'plain',
      link: ['4', 0],
      literal: '{red|blue} {other} {}',
    });
    const unknown = { negative_prompt: '$& fog', cfg: 4, tiled: true, name: 'x' };
    expect(inputsFor(provider, { parameters: { seed: 3, n: 2, size: '640x480' }, unknown })).toMatchObject({
      text: 'photo of a lighthouse, a lighthouse, not $& fog',
      sides: [640, 480],
      nested: { count: 2 },
      cfg: 4,
      tiled: true,
      name: 'x',
    });
  });

  it('says by its placeholders what it can do', () => {
    expect(withInputs({ text: '{prompt}', width: '{width}' }).capabilities('own', 'generation')).toEqual({
      maxImages: 1,
      nativeForm: 'b64_json',
      parameters: { size: 'mapped' },
      further: [],
      promptOptional: false,
    });
    const edition = { a: '{image}', b: '{image_2}', m: '{mask}', n: '{n}', s: '{steps}', c: '{cfg=7}', x: '{seed}' };
    expect(withInputs(edition, 'edition').capabilities('own', 'edition')).toEqual({
      maxImages: 4,
      nativeForm: 'b64_json',
      parameters: { n: 'mapped', quality: 'mapped', seed: 'native' },
      further: ['cfg', 'steps'],
      promptOptional: true,
      inputs: { max: 2, as: 'bytes' },
      mask: 'white',
    });
    expect(withInputs({}).capabilities('own', 'edition')).toBeUndefined();
    expect(withInputs({}).capabilities('another', 'generation')).toBeUndefined();
  });

  it('lets no member of a request stand for a link to another node', () => {
    const provider = withInputs({ cfg: '{cfg=7}' });
    expect(() => inputsFor(provider, { unknown: { cfg: ['4', 0] } })).toThrow(
      expect.objectContaining({ code: 'invalid_value', param: 'cfg' }),
    );
  });

  it('is refused with a placeholder that nothing stands for', () => {
    const broken = (): Provider => withInputs({ text: ['{promt}'] });
    expect(broken).toThrow(ConfigError);
    expect(broken).toThrow(
      expect.objectContaining({
        pointer: '/connection/workflows/own/generation/1/inputs/text/0',
        message: expect.stringContaining('{promt=…}'),
      }),
    );
  });

  it('tells at once which pictures it lacks', () => {
    const call = { operation: 'edition', images: [uploaded(png(), 'image/png')] } as const;
    expect(() => inputsFor(withInputs({ a: '{image}', m: '{mask}' }, 'edition'), call)).toThrow(
      expect.objectContaining({ code: 'missing_required_parameter', param: 'mask' }),
    );
    expect(() => inputsFor(withInputs({ a: '{image}', b: '{image_2}' }, 'edition'), call)).toThrow(
      'This model needs 2 input images.',
    );
  });
});

describe('a seed that nobody asked for', () => {
  const provider = withInputs({ text: '{prompt}', seed: '{seed}' });

  it('is another one for each call, and the same for the same call', () => {
    const call = makeTargetCall({ model: 'own' });
    expect(provider.encode(call)).toEqual(provider.encode(call));
    const seeds = new Set(Array.from({ length: 20 }, () => JSON.stringify(inputsFor(provider))));
    expect(seeds.size).toBe(20);
  });

  it('is changed once when the server has run the graph before, and gives nothing', async () => {
    const call = makeTargetCall({ model: 'own' });
    const seedOf = (request: WireRequest): unknown => Object(inputsOf(request)).seed;
    let asked: Asked = { call, request: provider.encode(call).request, state: undefined };
    const first = seedOf(asked.request);
    const next = async (body: object): Promise<PollOutcome | undefined> => {
      const outcome = await provider.poll?.(replyOf(body), asked);
      if (outcome?.kind === 'again') asked = { call, request: outcome.request, state: outcome.state };
      return outcome;
    };
    await next({ prompt_id: 'a' });
    expect(await next({ a: { outputs: {}, status: { status_str: 'success' } } })).toMatchObject({ now: true });
    expect(seedOf(asked.request)).toBe(Number(first) + 1);
    await next({ prompt_id: 'b' });
    await expect(next({ b: { outputs: {} } })).rejects.toMatchObject({ code: 'upstream_invalid_response' });
  });
});
