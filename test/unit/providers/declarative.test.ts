import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { ConfigError } from '../../../src/pipeline/stage.ts';
import { PictureText, type UpstreamReply, type WireJson } from '../../../src/pipeline/upstream.ts';
import { declarative } from '../../../src/providers/declarative.ts';
import type { Asked, Provider } from '../../../src/providers/provider.ts';
import { Secret } from '../../../src/secret.ts';
import { linked, makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { readmeConfig } from '../../fixtures/declarative.ts';
import { png } from '../../fixtures/pictures.ts';

const base = 'https://api.example.com/v1';
const connection = { base_url: base };
const answer = { images: '= reply.body.images', url: '= image.url' };

/** A provider whose generation is this. */
function generating(generation: object, more: object = {}): Provider {
  const written = { connection, operations: { generation }, answer, ...more };
  return declarative.create(providerConfig(declarative, written));
}

/** A provider whose request has this JSON body. */
const writing = (json: object, more: object = {}): Provider =>
  generating({ request: { path: '/images', json }, ...more });

function bodyOf(provider: Provider, call: Partial<TargetCall>): WireJson {
  const { body } = provider.encode(makeTargetCall(call)).request;
  if (body.kind !== 'json') throw new Error(`the body is of the kind ${body.kind}`);
  return body.value;
}

function replyOf(body: object | string | Uint8Array, status = 200, headers = {}): UpstreamReply {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { status, headers, body: bytesSource(bytes) };
}

const thrownBy = async (action: () => unknown): Promise<unknown> => {
  try {
    return await action();
  } catch (error) {
    return error;
  }
};

describe('what a declarative provider can do', () => {
  it('is what its page shows', () => {
    const provider = declarative.create(providerConfig(declarative, readmeConfig()));
    const parameters = { n: 2, size: '640x480', outputFormat: 'gif' };
    const call = makeTargetCall({ model: 'example-1', parameters, unknown: { negative_prompt: 'fog' } });
    const { request, dropped } = provider.encode(call);
    expect(request.body).toEqual({
      kind: 'json',
      value: {
        model: 'example-1',
        prompt: 'a lighthouse',
        count: 2,
        size: { width: 640, height: 480 },
        negative: 'fog',
      },
    });
    expect(dropped).toEqual(['output_format']);
  });

  it('is what its request reads', () => {
    const provider = generating({
      max_images: 4,
      request: {
        path: '= "/" + call.model',
        headers: { 'x-user': '= call.user' },
        json: {
          prompt: '= call.prompt',
          width: '= call.width',
          steps: '= first(call.further.steps, {"low": 4, "high": 8}[call.quality])',
          seed: '= call.seed',
          more: { count: '= call.n', tint: '= call.further.tint' },
        },
      },
    });
    expect(provider.capabilities('any', 'generation')).toEqual({
      maxImages: 4,
      nativeForm: 'url',
      parameters: { n: 'native', size: 'mapped', quality: 'mapped', user: 'native', seed: 'native' },
      further: ['steps', 'tint'],
      promptOptional: false,
    });
    expect(provider.capabilities('any', 'edition')).toBeUndefined();
  });

  it('takes every further member when it reads them as a whole', () => {
    expect(writing({ options: '= call.further' }).capabilities('m', 'generation')?.further).toBe('any');
  });

  it.each([
    [{ ...answer, base64: '= image.b64' }, 'unknown'],
    [{ images: '= reply.body.images', base64: '= image' }, 'b64_json'],
    [{ raw: true }, 'b64_json'],
  ])('gives pictures in the form that its answer has', (written, form) => {
    const provider = generating({ request: { path: '/x' } }, { answer: written });
    expect(provider.capabilities('m', 'generation')?.nativeForm).toBe(form);
  });
});

describe('a declared request', () => {
  it('leaves out what is empty, and what loses everything in it', () => {
    const provider = writing({
      prompt: '= call.prompt',
      size: { width: '= call.width', height: '= call.height' },
      tags: ['= call.style', '= call.quality'],
      empty: {},
      fixed: [1, true, null, 'text'],
    });
    const fixed = { prompt: 'a lighthouse', empty: {}, fixed: [1, true, null, 'text'] };
    expect(bodyOf(provider, {})).toEqual(fixed);
    expect(bodyOf(provider, { parameters: { size: '640x480', quality: 'low' } })).toEqual({
      ...fixed,
      size: { width: 640, height: 480 },
      tags: ['low'],
    });
  });

  it('names what was asked for and came to nothing', () => {
    const provider = writing({
      format: '= {"png": "PNG"}[call.output_format]',
      steps: '= {"high": 8}[call.quality]',
      tint: '= when(call.model == "tinted", call.further.tint)',
    });
    const droppedFor = (call: Partial<TargetCall>): readonly string[] => provider.encode(makeTargetCall(call)).dropped;
    expect(droppedFor({ parameters: { outputFormat: 'png', quality: 'high' } })).toEqual([]);
    expect(droppedFor({ parameters: { outputFormat: 'gif', quality: 'auto' } })).toEqual(['output_format']);
    expect(droppedFor({ unknown: { tint: 'sepia' } })).toEqual(['tint']);
    expect(droppedFor({ unknown: { tint: 'sepia' }, model: 'tinted' })).toEqual([]);
  });

  it('brings sizes into the vendor’s terms', () => {
    const provider = writing({
      ratio: '= first(nearestRatio(call.size, ["1:1", "16:9"]), "1:1")',
      listed: '= nearestSize(call.size, ["1024x1024", "1792x1024"])',
      fitted: '= pixels(call.size, 64, 256, 1024)',
    });
    expect(bodyOf(provider, { parameters: { size: 'auto' } })).toEqual({ ratio: '1:1' });
    expect(bodyOf(provider, { parameters: { size: '1800x1000' } })).toEqual({
      ratio: '16:9',
      listed: '1792x1024',
      fitted: { width: 1024, height: 576 },
    });
  });

  it('carries pictures in the forms that vendors take, and never as text', () => {
    const bytes = png();
    const edition = (json: object, as = 'bytes', mask = {}): Provider =>
      declarative.create(
        providerConfig(declarative, {
          connection,
          operations: { edition: { inputs: { max: 2, as }, ...mask, request: { path: '/edits', json } } },
          answer,
        }),
      );
    const call = { operation: 'edition', images: [uploaded(bytes, 'image/png')] } as const;
    const payload = { kind: 'bytes', bytes } as const;
    expect(
      bodyOf(edition({ a: '= call.images.map(i, dataUri(i))', b: '= base64(call.mask)' }, 'bytes', { mask: 'white' }), {
        ...call,
        mask: uploaded(bytes, 'image/png'),
      }),
    ).toEqual({ a: [new PictureText(payload, 'data:image/png;base64,')], b: new PictureText(payload) });
    const link = 'https://example.com/a.png';
    expect(bodyOf(edition({ a: '= link(call.images[0])' }, 'link'), { ...call, images: [linked(link)] })).toEqual({
      a: link,
    });
  });

  it('is a form if it says so', () => {
    const provider = declarative.create(
      providerConfig(declarative, {
        connection,
        operations: {
          edition: {
            inputs: { max: 4 },
            mask: 'alpha',
            request: {
              path: '/edits',
              form: [
                { name: 'prompt', value: '= call.prompt' },
                { name: 'n', value: '= call.n' },
                { name: 'options', value: '= {"seed": call.seed}' },
                { name: 'image[]', file: '= call.images' },
                { name: 'mask', file: '= call.mask' },
              ],
            },
          },
        },
        answer,
      }),
    );
    const bytes = png();
    const file = { kind: 'file', mediaType: 'image/png', payload: { kind: 'bytes', bytes } };
    const images = [uploaded(bytes, 'image/png'), uploaded(bytes, 'image/png')];
    const { request } = provider.encode(makeTargetCall({ operation: 'edition', images, parameters: { seed: 7 } }));
    expect(request).toMatchObject({ method: 'POST', url: `${base}/edits` });
    expect(request.body).toEqual({
      kind: 'multipart',
      parts: [
        { kind: 'field', name: 'prompt', value: 'a lighthouse' },
        { kind: 'field', name: 'options', value: '{"seed":7}' },
        { ...file, name: 'image[]', fileName: 'image[]-0.png' },
        { ...file, name: 'image[]', fileName: 'image[]-1.png' },
      ],
    });
  });

  it('goes below the base, whatever is in the model’s name', () => {
    const provider = generating({
      request: {
        path: '= "/models/" + call.model + ":make"',
        query: { user: '= call.user' },
        headers: { 'X-Own': 'a' },
      },
    });
    const urlFor = (model: string): string => provider.encode(makeTargetCall({ model })).request.url;
    expect(urlFor('vendor/flux')).toBe(`${base}/models/vendor/flux:make`);
    expect(urlFor('a?b#c d%2f')).toBe(`${base}/models/a%3Fb%23c%20d%252f:make`);
    expect(urlFor('https://elsewhere.example')).toBe(`${base}/models/https://elsewhere.example:make`);
    expect(() => urlFor('a/../../admin')).toThrow(expect.objectContaining({ code: 'model_not_found', param: 'model' }));
    const { request } = provider.encode(makeTargetCall({ model: 'm', parameters: { user: 'a&b' } }));
    expect(request).toEqual({
      method: 'GET',
      url: `${base}/models/m:make?user=a%26b`,
      headers: { accept: 'application/json', 'x-own': 'a' },
      body: { kind: 'none' },
    });
  });

  it('is refused as the caller’s fault for a value that an expression cannot work with', () => {
    const provider = writing({ steps: '= call.further.steps * 2' }, {});
    expect(bodyOf(provider, { unknown: { steps: 4 } })).toEqual({ steps: 8 });
    expect(() => bodyOf(provider, { unknown: { steps: 'many' } })).toThrow(
      expect.objectContaining({ code: 'invalid_value', status: 400, param: 'steps' }),
    );
    const inHeader = generating({ request: { path: '/x', headers: { 'x-user': '= call.user' } } });
    const call = makeTargetCall({ parameters: { user: 'a\nb' } });
    expect(() => inHeader.encode(call)).toThrow(expect.objectContaining({ code: 'invalid_value', param: 'user' }));
  });

  it('shows the token only where the file says', () => {
    const token = new Secret('sk-1');
    expect(generating({ request: { path: '/x' } }).authorise(token)).toEqual({ authorization: 'Bearer sk-1' });
    const own = { ...connection, auth: { header: 'X-Key', value: 'Key {token}' } };
    const provider = generating({ request: { path: '/x' } }, { connection: own });
    expect(provider.authorise(new Secret('a$&b'))).toEqual({ 'x-key': 'Key a$&b' });
    expect(provider.authorise(undefined)).toEqual({});
  });
});

describe('a declared answer', () => {
  const call = makeTargetCall();

  it('gives pictures and what is told about them', async () => {
    const provider = generating(
      { request: { path: '/x' } },
      {
        answer: {
          images: '= reply.body.data',
          url: '= image.url',
          base64: '= image.b64',
          revised_prompt: '= image.prompt',
          created: '= reply.body.made_at',
          size: '= string(reply.body.width) + "x" + string(reply.body.height)',
          cost_usd: '= reply.body.credits * 0.01',
        },
      },
    );
    const bytes = Buffer.alloc(30_000, 7);
    const data = [
      { url: 'https://cdn.example.com/1.png', prompt: 'A tall lighthouse' },
      { b64: bytes.toString('base64') },
    ];
    const body = { data, made_at: '2025-10-09T08:53:20Z', width: 640, height: 480, credits: 4 };
    const { images, ...told } = await provider.decode(replyOf(body), call);
    expect(told).toEqual({
      created: 1_760_000_000,
      effective: { size: '640x480' },
      costNanoUsd: 40_000_000,
      usage: undefined,
    });
    expect(images[0]).toEqual({
      payload: { kind: 'link', url: data[0]?.url, trust: 'response' },
      revisedPrompt: 'A tall lighthouse',
    });
    const payload = images[1]?.payload;
    if (payload?.kind !== 'base64') throw new Error('not in base64');
    expect(Buffer.from(Buffer.concat(payload.text.slices).toString(), 'base64')).toEqual(bytes);
  });

  it('may be the picture itself', async () => {
    const provider = generating(
      { request: { path: '/x' } },
      { answer: { raw: true, cost_usd: '= double(reply.headers.cost)' } },
    );
    expect(provider.encode(call).request.headers).toEqual({ accept: 'image/*' });
    const bytes = png();
    const { images, costNanoUsd } = await provider.decode(replyOf(bytes, 200, { cost: '0.02' }), call);
    expect(images).toEqual([{ payload: { kind: 'bytes', bytes: new Uint8Array(bytes) } }]);
    expect(costNanoUsd).toBe(20_000_000);
    for (const body of ['{}', '', 'oops']) {
      const error = await thrownBy(() => provider.decode(replyOf(body), call));
      expect(error).toMatchObject({ code: 'upstream_invalid_response' });
    }
  });

  it('is invalid when an expression does not fit it, with the expression’s place', async () => {
    const provider = generating({ request: { path: '/x' } }, { answer: { ...answer, size: '= reply.body.size + 1' } });
    const body = { images: [{ url: 'https://cdn.example.com/1.png' }], size: 'large' };
    const error = await thrownBy(() => provider.decode(replyOf(body), call));
    expect(error).toMatchObject({
      code: 'upstream_invalid_response',
      message: 'The provider’s answer cannot be used: `answer.size` cannot be made of it.',
    });
    expect(
      await thrownBy(() => provider.decode(replyOf({ images: Array.from({ length: 2000 }) }), call)),
    ).toMatchObject({
      code: 'upstream_invalid_response',
    });
  });
});

describe('a declared job', () => {
  const call = makeTargetCall();
  const polling = (poll: object): Provider =>
    generating(
      { request: { path: '/jobs', json: { prompt: '= call.prompt' } } },
      { poll: { state: '= reply.body.status', running: ['waiting'], done: ['ok'], failed: ['bad'], ...poll } },
    );
  const asked = (provider: Provider, state?: unknown): Asked => ({
    call,
    request: provider.encode(call).request,
    state,
  });

  it('finds its way by addresses that answers name, and fetches the result at the end', async () => {
    const provider = polling({
      request: { path: '= submitted.body.urls.status' },
      result: { path: '= submitted.body.urls.result' },
      cancel: { method: 'PUT', path: '= submitted.body.urls.cancel' },
    });
    const urls = { status: `${base}/s?a=1`, result: `${base}/r`, cancel: '/c' };
    const get = (url: string) => ({
      method: 'GET',
      url,
      headers: { accept: 'application/json' },
      body: { kind: 'none' },
    });
    const cancel = { ...get(`${base}/c`), method: 'PUT' };

    const first = await provider.poll?.(replyOf({ status: 'waiting', urls }), asked(provider));
    expect(first).toMatchObject({ kind: 'again', now: false, request: get(urls.status), cancel });
    const state = first?.kind === 'again' ? first.state : undefined;
    const second = await provider.poll?.(replyOf({ status: 'ok' }), asked(provider, state));
    expect(second).toMatchObject({ kind: 'again', now: true, request: get(urls.result), cancel });
    const last = await provider.poll?.(
      replyOf({ images: [{ url: 'https://cdn.example.com/1.png' }] }),
      asked(provider, second?.kind === 'again' ? second.state : undefined),
    );
    if (last?.kind !== 'done') throw new Error('not done');
    expect((await provider.decode(last.reply, call)).images).toHaveLength(1);
  });

  it.each([
    'https://elsewhere.example/jobs/1',
    'https://api.example.com.evil.test/v1/jobs/1',
    'http://api.example.com/v1/jobs/1',
    'https://',
    '/jobs/../../admin',
  ])('does not take the credential to %s', async (url) => {
    const provider = polling({ request: { path: '= reply.body.url' } });
    const error = await thrownBy(() => provider.poll?.(replyOf({ status: 'waiting', url }), asked(provider)));
    expect(error).toMatchObject({ code: 'upstream_invalid_response' });
  });

  it('has failed, or is nothing that is known', async () => {
    const provider = polling({ request: { path: '= "/jobs/" + reply.body.id' } });
    const errorFor = (body: object): Promise<unknown> =>
      thrownBy(() => provider.poll?.(replyOf(body), asked(provider)));
    expect(await errorFor({ status: 'bad', message: 'out of memory' })).toMatchObject({
      code: 'upstream_error',
      retry: false,
      message: 'The provider could not make the picture.',
      cause: new Error('out of memory'),
    });
    expect(await errorFor({ status: 'asleep' })).toMatchObject({ code: 'upstream_invalid_response' });
    expect(await errorFor({ status: 'waiting' })).toMatchObject({ code: 'upstream_invalid_response' });
    expect(await errorFor({})).toMatchObject({ code: 'upstream_invalid_response' });
  });
});

describe('a declared error', () => {
  const call = makeTargetCall();
  const ruled = (code: string, message?: string): Provider =>
    generating(
      { request: { path: '/x' } },
      { errors: [{ when: '= reply.body.kind == "it"', code, ...(message === undefined ? {} : { message }) }] },
    );
  const body = { kind: 'it', message: 'In the vendor’s words' };

  it.each([
    ['content_policy_violation', 500, { status: 400, message: body.message }],
    ['content_policy_violation', 200, { status: 400, message: body.message }],
    ['invalid_value', 422, { status: 422, message: body.message }],
    ['invalid_value', 500, { status: 400, message: body.message }],
    ['invalid_value', 200, { status: 400, message: body.message }],
    ['model_not_found', 400, { status: 404, message: body.message }],
    ['rate_limit_exceeded', 403, { status: 429, message: body.message, retryAfterMs: 7000 }],
    ['upstream_auth_failed', 400, { status: 502, message: 'The provider refused the credential of the gateway.' }],
    ['upstream_error', 400, { status: 502, message: 'The provider failed with status 400.' }],
    ['upstream_error', 200, { status: 502, message: 'The provider could not make the picture.', retry: false }],
  ])('is %s, also where the status %i says otherwise', async (code, status, expected) => {
    const provider = ruled(code);
    const reply = replyOf(body, status, { 'retry-after': '7' });
    const error = status === 200 ? await thrownBy(() => provider.decode(reply, call)) : await provider.fault(reply);
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ code, ...expected });
  });

  it('has the words that the file finds', async () => {
    const worded = ruled('invalid_value', '= "Not so: " + reply.body.message');
    expect(await worded.fault(replyOf(body, 400))).toMatchObject({ message: 'Not so: In the vendor’s words' });
    const unfit = ruled('invalid_value', '= reply.body.message + 1');
    expect(await unfit.fault(replyOf(body, 400))).toMatchObject({ message: body.message });
    const silent = ruled('content_policy_violation');
    expect(await silent.fault(replyOf({ kind: 'it' }, 400))).toMatchObject({
      message: 'The provider refused this content.',
    });
  });

  it('is what the status says where no rule holds', async () => {
    const provider = ruled('invalid_value');
    for (const other of [{ message: 'no' }, { kind: ['it'], message: 'no' }]) {
      expect(await provider.fault(replyOf(other, 429))).toMatchObject({ code: 'rate_limit_exceeded', message: 'no' });
    }
  });
});

describe('mistakes in a declaration', () => {
  const request = { path: '/x', json: { prompt: '= call.prompt' } };
  const editing = (edition: object): object => ({ operations: { edition } });
  it.each([
    [
      { operations: { generation: { request: { path: '= call.modle' } } } },
      '/operations/generation/request/path',
      'No such key: modle',
    ],
    [
      { operations: { generation: { request: { path: '/x', json: { a: [{ b: '= call.' }] } } } } },
      '/operations/generation/request/json/a/0/b',
      'Expected IDENTIFIER',
    ],
    [
      { operations: { generation: { request: { path: '/x', json: { a: '= call' } } } } },
      '/operations/generation/request/json/a',
      'name a member of `call`',
    ],
    [
      { operations: { generation: { request: { path: '/x', json: { a: '= reply.body' } } } } },
      '/operations/generation/request/json/a',
      'Unknown variable: reply',
    ],
    [{ operations: { generation: { max_images: 4, request } } }, '/operations/generation/max_images', '`call.n`'],
    [
      { operations: { generation: { request: { ...request, form: [] } } } },
      '/operations/generation/request/form',
      '`json` is the body already',
    ],
    [
      { operations: { generation: { request: { path: '/x', form: [{ name: 'a' }] } } } },
      '/operations/generation/request/form/0',
      'either a `value` or a `file`',
    ],
    [
      { operations: { generation: { request: { path: '/x', headers: { 'x-a': 'a – b' } } } } },
      '/operations/generation/request/headers/x-a',
      'a character that a header cannot carry',
    ],
    [
      editing({ inputs: {}, request: { path: '/x', json: { a: '= call.images[0]' } } }),
      '/operations/edition/request/json/a',
      'dataUri(), base64() or link()',
    ],
    [
      editing({ inputs: {}, request: { path: '= "/" + call.images[0]' } }),
      '/operations/edition/request/path',
      'no such overload: string + Picture',
    ],
    [
      editing({ inputs: {}, request: { path: '/x', form: [{ name: 'a', file: '= call.prompt' }] } }),
      '/operations/edition/request/form/0/file',
      'a file is a picture',
    ],
    [editing({ request: { path: '/x', json: { a: '= base64(call.images[0])' } } }), '/operations/edition', '`inputs`'],
    [editing({ inputs: {}, request }), '/operations/edition/inputs', '`call.images`'],
    [editing({ mask: 'white', request }), '/operations/edition/mask', '`call.mask`'],
    [
      editing({ inputs: { as: 'bytes' }, request: { path: '/x', json: { a: '= link(call.images[0])' } } }),
      '/operations/edition/request/json/a',
      'link() needs `inputs.as: link`',
    ],
    [{ options: { edition: { enabled: true } } }, '/options/edition/enabled', '`operations` has no `edition`'],
    [{ answer: { images: '= reply.body.images' } }, '/answer', '`url` or `base64`'],
    [{ answer: { raw: true, images: '= reply.body.images' } }, '/answer/raw', 'the body is the picture'],
    [{ errors: [{ when: '= reply.status', code: 'invalid_value' }] }, '/errors/0/when', 'neither true nor false'],
    [{ errors: [{ when: '= call.n == 1', code: 'invalid_value' }] }, '/errors/0/when', 'Unknown variable: call'],
    [
      { poll: { state: '= reply.body.s', running: ['a'], done: ['b'], request: { path: '= image' } } },
      '/poll/request/path',
      'Unknown variable: image',
    ],
  ])('are found when the file is loaded: %j', (more, pointer, message) => {
    const written = { connection, operations: { generation: { request } }, answer, ...more };
    const config = providerConfig(declarative, written);
    const error = expect.objectContaining({ pointer, message: expect.stringContaining(message) });
    expect(mistakesIn(() => declarative.create(config))).toContainEqual(error);
  });

  it('are told all at once', () => {
    const json = { a: '= call.sise', b: '= call.prompt', c: '= nothing' };
    const mistakes = mistakesIn(() => writing(json));
    expect(mistakes.map(({ pointer }) => pointer)).toEqual([
      '/operations/generation/request/json/a',
      '/operations/generation/request/json/c',
    ]);
  });
});

/** What is wrong with a config. @throws Error when nothing is */
function mistakesIn(create: () => unknown): readonly ConfigError[] {
  try {
    create();
  } catch (error) {
    if (error instanceof AggregateError) return error.errors.filter((each) => each instanceof ConfigError);
    throw error;
  }
  throw new Error('nothing is wrong with it');
}
