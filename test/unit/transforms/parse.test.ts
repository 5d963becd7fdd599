import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { dataUri, maskPng, png, randomPng } from '../../fixtures/pictures.ts';
import { cut, cuts } from '../body/pieces.ts';
import {
  asForm,
  asJson,
  parsed,
  piecewise,
  prepareParse,
  raw,
  type FormEntry,
  type SentBody,
} from './request-bodies.ts';

const picture = png();
const other = png({ colour: [10, 20, 30, 255] });
const mask = maskPng();
const taken = { bytes: picture, mediaType: 'image/png' };
const longDataUri = dataUri(randomPng(10_000));
const longPrompt = 'a lighthouse — at night, '.repeat(200);

const plain = {
  operation: 'generation',
  model: undefined,
  prompt: 'a lighthouse',
  images: [],
  mask: undefined,
  parameters: {},
  responseFormat: undefined,
  stream: false,
  partialImages: undefined,
  fallbacks: [],
  unknown: {},
};
const prompt = ['prompt', 'a lighthouse'] as const;

const everyParameter = {
  prompt: 'a lighthouse',
  model: 'main/gpt-image-2',
  n: 3,
  size: '1024x1536',
  quality: 'high',
  style: 'vivid',
  background: 'opaque',
  moderation: 'low',
  output_format: 'webp',
  output_compression: 80,
  input_fidelity: 'high',
  user: 'u-1',
  seed: -7,
  response_format: 'b64_ephemeral',
  stream: true,
  partial_images: 2,
};
const parameters = {
  n: 3,
  size: '1024x1536',
  quality: 'high',
  style: 'vivid',
  background: 'opaque',
  moderation: 'low',
  outputFormat: 'webp',
  outputCompression: 80,
  inputFidelity: 'high',
  user: 'u-1',
  seed: -7,
};

describe('parse', () => {
  describe('understands JSON and a form alike:', () => {
    it.each<[string, object, readonly FormEntry[], object]>([
      ['only a prompt', { prompt: 'a lighthouse' }, [prompt], {}],
      ['a prompt of several KiB', { prompt: longPrompt }, [['prompt', longPrompt]], { prompt: longPrompt }],
      [
        'every parameter, numbers and booleans as text in the form',
        everyParameter,
        Object.entries(everyParameter).map(([name, value]) => [name, String(value)]),
        { model: 'main/gpt-image-2', parameters, responseFormat: 'b64_ephemeral', stream: true, partialImages: 2 },
      ],
      [
        'a boolean as Python writes it in a form',
        { prompt: 'a lighthouse', stream: true },
        [prompt, ['stream', 'True']],
        { stream: true },
      ],
      [
        'extra members and fallbacks',
        { prompt: 'a lighthouse', extra: { negative_prompt: 'people', steps: 4 }, fallbacks: ['a/b', 'c'] },
        [prompt, ['extra', '{"negative_prompt":"people","steps":4}'], ['fallbacks', '["a/b","c"]']],
        { fallbacks: ['a/b', 'c'], unknown: { negative_prompt: 'people', steps: 4 } },
      ],
      [
        'fallbacks one by one in the form, in `extra` in JSON',
        { prompt: 'a lighthouse', extra: { fallbacks: ['a/b', 'c'] } },
        [prompt, ['fallbacks[]', 'a/b'], ['fallbacks[]', 'c']],
        { fallbacks: ['a/b', 'c'] },
      ],
      [
        'extra members of several KiB, at any depth',
        { prompt: 'a lighthouse', extra: { negative_prompt: longPrompt, hints: { words: [longPrompt] } } },
        [prompt, ['extra', JSON.stringify({ negative_prompt: longPrompt, hints: { words: [longPrompt] } })]],
        { unknown: { negative_prompt: longPrompt, hints: { words: [longPrompt] } } },
      ],
      [
        'members that it does not know',
        { prompt: 'a lighthouse', safety_identifier: 'x', words: longPrompt },
        [prompt, ['safety_identifier', 'x'], ['words', longPrompt]],
        { unknown: { safety_identifier: 'x', words: longPrompt } },
      ],
      [
        'a picture as a data URI and as a file',
        { prompt: 'a lighthouse', image: dataUri(picture) },
        [prompt, ['image', picture]],
        { operation: 'edition', images: [taken] },
      ],
      [
        'several pictures in their order, and a mask',
        { prompt: 'a lighthouse', image: [dataUri(picture), dataUri(other)], mask: dataUri(mask) },
        [prompt, ['image[]', picture], ['mask', mask], ['image[]', other]],
        {
          operation: 'edition',
          images: [taken, { bytes: other, mediaType: 'image/png' }],
          mask: { bytes: mask, mediaType: 'image/png' },
        },
      ],
      [
        'links, as they are',
        { prompt: 'a lighthouse', images: [{ image_url: 'https://example.com/a.png' }] },
        [prompt, ['image', 'https://example.com/a.png']],
        { operation: 'edition', images: [link('https://example.com/a.png')] },
      ],
    ])('%s', async (_, document, entries, expected) => {
      const call = { ...plain, ...expected };
      expect(await parsed(asJson(document))).toEqual(call);
      expect(await parsed(await asForm(entries))).toEqual(call);
    });
  });

  it.each([undefined, 'application/json', 'APPLICATION/JSON; charset=utf-8', 'application/vnd.api+json'])(
    'reads JSON under the content type %s',
    async (contentType) => {
      expect(await parsed(raw(contentType, '{"prompt":"a lighthouse"}'))).toEqual(plain);
    },
  );

  it('takes null for absent, at every member', async () => {
    const members = ['model', 'n', 'size', 'quality', 'style', 'background', 'moderation', 'output_format'];
    members.push('output_compression', 'response_format', 'user', 'seed', 'stream', 'partial_images');
    members.push('input_fidelity', 'extra', 'fallbacks', 'image', 'images', 'mask', 'something_new');
    const document = { ...Object.fromEntries(members.map((name) => [name, null])), prompt: 'a lighthouse' };
    expect(await parsed(asJson(document), { route: { strict: true } })).toEqual(plain);
  });

  it('fills in what the route says where the caller is silent', async () => {
    const route = { defaults: { response_format: 'url', output_format: 'webp', n: 2, safety: 'on' } };
    const parameters = { outputFormat: 'webp', n: 2 };
    const filled = { ...plain, responseFormat: 'url', parameters, unknown: { safety: 'on' } };
    expect(await parsed(asJson({ prompt: 'a lighthouse', n: null }), { route })).toEqual(filled);
    const asked = asJson({ prompt: 'a lighthouse', n: 1, output_format: 'png' });
    expect(await parsed(asked, { route })).toMatchObject({ parameters: { n: 1, outputFormat: 'png' } });
    expect(await parsed(await asForm([prompt, ['n', '1']]), { route })).toMatchObject({ parameters: { n: 1 } });
  });

  it('makes an edition of every call with a picture, whichever path it came by', async () => {
    const document = asJson({ prompt: 'a lighthouse', image: dataUri(picture) });
    for (const operation of ['generation', 'edition', undefined] as const) {
      expect(await parsed(document, { route: { operation } })).toMatchObject({ operation: 'edition', images: [taken] });
    }
  });

  it('passes what it does not know on, and refuses it by name on a strict route', async () => {
    const document = asJson({ prompt: 'a lighthouse', frame_count: 4, extra: { steps: 7 } });
    expect(await parsed(document)).toEqual({ ...plain, unknown: { frame_count: 4, steps: 7 } });
    await expect(parsed(document, { route: { strict: true } })).rejects.toMatchObject({
      code: 'unknown_parameter',
      status: 400,
      param: 'steps',
    });
  });

  it('reads the same call from a body in any pieces', async () => {
    const document = {
      prompt: longPrompt,
      image: [dataUri(picture), 'https://example.com/a.png'],
      mask: dataUri(mask),
    };
    const form: FormEntry[] = [
      ['prompt', longPrompt],
      ['image', longDataUri],
      ['image', picture],
    ];
    for (const sent of [asJson({ ...document, extra: { hints: [longDataUri] } }), await asForm(form)]) {
      const whole = await parsed(sent);
      await fc.assert(
        fc.asyncProperty(cuts, async (positions) => {
          expect(await parsed(sent, { body: piecewise(cut(sent.bytes, positions)) })).toEqual(whole);
        }),
      );
    }
  });

  it('takes random members or refuses them, and fails in no other way', async () => {
    await fc.assert(fc.asyncProperty(randomMembers, async (members) => takenOrRefused(asJson(members))));
  });

  it('takes random forms or refuses them, and fails in no other way', async () => {
    const text = fc.oneof(
      randomText,
      fc.jsonValue().map((value) => JSON.stringify(value)),
    );
    const entries = fc.array(
      fc.tuple(
        memberName,
        fc.oneof(
          text,
          fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
        ),
      ),
    );
    await fc.assert(fc.asyncProperty(entries, async (given) => takenOrRefused(await asForm([prompt, ...given]))));
  });

  it('takes random bodies or refuses them, and fails in no other way', async () => {
    const contentType = fc.constantFrom('application/json', 'multipart/form-data; boundary=x', 'text/plain', '');
    const text = fc.oneof(
      fc.string(),
      fc.string().map((inside) => `--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n${inside}\r\n--x--\r\n`),
    );
    await fc.assert(fc.asyncProperty(contentType, text, async (type, body) => takenOrRefused(raw(type, body))));
  });
});

const known = ['prompt', 'model', 'n', 'size', 'stream', 'response_format', 'extra', 'fallbacks', 'image', 'image[]'];
const memberName = fc.oneof(
  fc.constantFrom(...known, 'images', 'mask', 'mask[]', '__proto__', 'constructor'),
  fc.string(),
);
const randomText = fc.oneof(
  fc.string(),
  fc.base64String().map((text) => `data:image/png;base64,${text}`),
  fc.constantFrom(
    dataUri(picture),
    longDataUri,
    'https://example.com/a.png',
    'http://example.com',
    'data:',
    '1024x1024',
  ),
);
const randomValue = fc.oneof(
  randomText,
  fc.jsonValue(),
  fc.array(randomText, { maxLength: 20 }),
  fc.record({ image_url: randomText, file_id: randomText }, { requiredKeys: [] }),
  fc.array(fc.record({ image_url: fc.oneof(randomText, fc.record({ url: randomText })) })),
);
const randomMembers = fc
  .tuple(fc.array(fc.tuple(memberName, randomValue)), fc.constantFrom({}, { prompt: 'a lighthouse' }))
  .map(([members, rest]) => ({ ...Object.fromEntries(members), ...rest }));

async function takenOrRefused(sent: SentBody): Promise<void> {
  const { exchange, run } = prepareParse(sent);
  try {
    expect((await run()).prompt).not.toBe('');
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    const { status } = error as GatewayError;
    expect(status >= 400 && status < 500).toBe(true);
  } finally {
    await exchange.finish();
  }
}

function link(url: string): object {
  return { kind: 'image', payload: { kind: 'link', url, trust: 'caller' }, mediaType: undefined };
}
