/** Pictures that go out while others are in the making: from providers that stream, from the sandbox, and from those that do not. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient } from '../fixtures/openai-client.ts';
import { dataUri, formatOf, png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';
import { startFakeLuma } from '../fixtures/vendors/fake-luma.ts';
import type { FakeVendor } from '../fixtures/vendors/fake-vendor.ts';

let main: FakeOpenAi;
let second: FakeOpenAi;
let luma: FakeVendor;
let gateway: Gateway;
let client: OpenAI;

const consumers = ['anybody', 'broken', 'left', 'forgiven', 'tokens', 'fallback', 'error', 'pinged'];
const keyOf = (id: string): string => `sk-stream-${id}`;

beforeAll(async () => {
  main = await startFakeOpenAi({ alsoKnown: ['cents'] });
  second = await startFakeOpenAi();
  luma = await startFakeLuma();
  const nested = (ping: string) => [
    'provider-transform',
    { plugin: 'dispatch', config: { poll_interval: '5ms', poll_interval_max: '20ms', ping_interval: ping } },
    'response-normalise',
  ];
  const pipeline = (ping: string) => [
    'authenticate',
    'parse',
    'route-resolve',
    'budget',
    { plugin: 'fallback', config: { stages: nested(ping) } },
    'decode',
  ];
  const entity = (id: string, provider: string, connection: object) => ({
    id,
    provider,
    config: { connection, options: { generation: {}, edition: { enabled: true } } },
  });
  const refs = ['openai-main', 'second', 'sandbox', 'luma', 'compatible', 'only-streams', 'no-formats', 'slow'];
  const [generate] = openAiRoutes(refs);
  gateway = await startGateway({
    config: gatewayConfig(
      [
        openAiEntity(main),
        openAiEntity(second, { id: 'second' }),
        sandboxEntity('sandbox'),
        sandboxEntity('slow', { latency: '400ms' }),
        sandboxEntity('cut', { cut: 'mid_body' }),
        entity('luma', 'luma', { base_url: `${luma.origin}/dream-machine/v1`, token: upstreamKey }),
        entity('compatible', 'openai-compatible', {
          base_url: main.baseUrl,
          token: upstreamKey,
          streams: true,
          max_images: 1,
        }),
        entity('no-formats', 'openai-compatible', {
          base_url: main.baseUrl,
          token: upstreamKey,
          streams: true,
          param_mappings: { output_format: false, response_format: false },
        }),
        entity('only-streams', 'openai-compatible', {
          base_url: main.baseUrl,
          token: upstreamKey,
          max_images: 1,
          additional_body_params: { stream: true, partial_images: 2 },
          param_mappings: { response_format: false },
        }),
      ],
      {
        server: { listen: '127.0.0.1:0', public_url: 'https://pictures.example' },
        pipelines: { images: pipeline('15s'), pinged: pipeline('20ms') },
        routes: [
          ...openAiRoutes([...refs, 'cut']),
          { ...generate, id: 'pinged', path: '/pinged/v1/images/generations', pipeline: 'pinged' },
          { ...generate, id: 'links', path: '/links/v1/images/generations', defaults: { response_format: 'url' } },
          { ...generate, id: 'wholes', path: '/wholes/v1/images/generations', fanout: 'all_or_nothing' },
        ],
        aliases: { both: { targets: ['openai-main/cents', 'second/gpt-image-2'] } },
        prices: [
          { entity: 'openai-main', model: 'cents', per_image: 0.1 },
          { entity: 'openai-main', model: 'gpt-image-2', per_token: { image_output: 10, text_input: 1 } },
        ],
        consumers: consumers.map((id) => ({ id, key: keyOf(id) })),
        budgets: [
          { id: 'all', limit: { usd: 1000 }, window: 'lifetime', per: 'consumer' },
          ...(['settle', 'release'] as const).map((abandoned) => ({
            id: abandoned,
            limit: { usd: 0.1 },
            window: 'lifetime',
            abandoned,
            scope: { consumers: [abandoned === 'settle' ? 'left' : 'forgiven'] },
          })),
        ],
        unpriced: 'allow',
      },
    ),
  });
  client = openAiClient(gateway, { apiKey: keyOf('anybody') });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  for (const fake of [main, second, luma]) await fake.close();
});

type ImageStreamEvent = OpenAI.ImageGenStreamEvent | OpenAI.ImageEditStreamEvent;

async function taken(stream: AsyncIterable<ImageStreamEvent>): Promise<readonly ImageStreamEvent[]> {
  const events: ImageStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

const generate = async (
  more: Partial<OpenAI.ImageGenerateParamsStreaming> = {},
): Promise<readonly ImageStreamEvent[]> =>
  taken(await client.images.generate({ prompt: 'a lighthouse', ...more, stream: true }));

const edit = async (more: Partial<OpenAI.ImageEditParamsStreaming> = {}): Promise<readonly ImageStreamEvent[]> => {
  const image = await toFile(png({ width: 64, height: 64 }), 'a.png', { type: 'image/png' });
  return taken(await client.images.edit({ image, prompt: 'bluer', ...more, stream: true }));
};

const typesOf = (events: readonly ImageStreamEvent[]): readonly string[] => events.map(({ type }) => type);
const pictureOf = ({ b64_json: text }: ImageStreamEvent): Buffer => Buffer.from(text, 'base64');

/** Sends JSON without a client between, as a consumer. */
const post = (body: object, id = 'anybody', route = '', init: RequestInit = {}): Promise<Response> =>
  postJson(
    `${gateway.url}${route}/v1/images/generations`,
    { prompt: 'a lighthouse', stream: true, ...body },
    { authorization: `Bearer ${keyOf(id)}` },
    { method: 'POST', ...(init.signal === undefined ? {} : { signal: init.signal }) },
  );

interface WireEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The events and comments of a stream that has ended well. */
async function wireOf(
  answer: Response,
): Promise<{ readonly events: readonly WireEvent[]; readonly comments: readonly string[] }> {
  const blocks = (await answer.text()).split('\n\n');
  expect(blocks.pop()).toBe('');
  const events = blocks.flatMap((block): WireEvent[] => {
    const [, event = '', data = ''] = /^event: (\S+)\ndata: (.*)$/.exec(block) ?? [];
    return event === '' ? [] : [{ event, data: JSON.parse(data) }];
  });
  return { events, comments: blocks.filter((block) => block.startsWith(':')) };
}

/** The only row of a consumer, once it is settled. */
async function rowOf(id: string): Promise<UsageRow | undefined> {
  let rows: readonly UsageRow[] = [];
  await expect
    .poll(
      async () => {
        rows = await ledgerRows(gateway, `consumer=${id}`);
        return rows.length > 0 && rows.every(({ state }) => state !== 'reserved');
      },
      { timeout: 10_000 },
    )
    .toBe(true);
  return rows.at(0);
}

const partials = (prefix: string): string[] => [
  ...Array.from({ length: 3 }, () => `${prefix}.partial_image`),
  `${prefix}.completed`,
];

describe('a provider of the OpenAI dialect', () => {
  it.each([
    ['openai', 'openai-main/gpt-image-2'],
    ['openai-compatible, which is said to stream', 'compatible/gpt-image-2'],
  ])('gives its unfinished pictures as they come, byte for byte: %s [G01]', async (_, model) => {
    const picture = randomPng(1_500_000);
    main.draw(picture);
    const events = await generate({ model, partial_images: 3 });
    main.draw(undefined);
    expect(typesOf(events)).toEqual(partials('image_generation'));
    expect(events.slice(0, 3).map((event) => 'partial_image_index' in event && event.partial_image_index)).toEqual([
      0, 1, 2,
    ]);
    for (const event of events) expect(sha256(pictureOf(event))).toBe(sha256(picture));
    expect(events.at(-1)).toMatchObject({ usage: { output_tokens: 1356 }, size: '1024x1024', output_format: 'png' });
    expect(main.last().members).toMatchObject({ stream: true, partial_images: 3 });
  });

  it('does so for edits, which are forms [G02]', async () => {
    const events = await edit({ model: 'openai-main/gpt-image-1', partial_images: 3 });
    expect(typesOf(events)).toEqual(partials('image_edit'));
    expect(main.last().members).toMatchObject({ stream: 'true', partial_images: '3' });
  });

  it('gives each while the next one is still in the making', async () => {
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    main.next({ stream: { before: (sent) => gates[sent]?.promise } });
    gates[0]?.resolve();
    const stream = await client.images.generate({ prompt: 'a lighthouse', partial_images: 3, stream: true });
    let seen = 0;
    for await (const event of stream) {
      expect(event.type).toBe(partials('image_generation')[seen]);
      seen += 1;
      // The next one is made only now.
      gates[seen]?.resolve();
    }
    expect(seen).toBe(4);
  });

  it('may add members of its own, which stay', async () => {
    const own = {
      type: 'image_generation.completed',
      b64_json: png().toString('base64'),
      created_at: 1,
      own: [1, null],
    };
    const by = `event: image_generation.completed\ndata: ${JSON.stringify(own)}\n\ndata: [DONE]\n\n`;
    main.next({ stream: { replace: { after: 0, by } } });
    const { events } = await wireOf(await post({}));
    expect(events).toEqual([{ event: 'image_generation.completed', data: own }]);
  });

  it.each([['openai-main/gpt-image-2'], ['no-formats/gpt-image-2']])(
    'is asked for one picture at a time, since it streams no more than that: %s',
    async (model) => {
      const before = main.requests.length;
      const events = await generate({ model, n: 3, partial_images: 1 });
      expect(typesOf(events).toSorted()).toEqual([
        ...Array.from({ length: 3 }, () => 'image_generation.completed'),
        ...Array.from({ length: 3 }, () => 'image_generation.partial_image'),
      ]);
      expect(main.requests.slice(before).map(({ members }) => members['n'] ?? 1)).toEqual([1, 1, 1]);
    },
  );

  it('may send events of other kinds in between, whatever is in them, and leave the type out of its data', async () => {
    const own = { b64_json: png().toString('base64'), created_at: 1 };
    const by = `event: heartbeat\ndata: ok\n\nevent: image_generation.completed\ndata: ${JSON.stringify(own)}\n\n`;
    main.next({ stream: { replace: { after: 0, by } } });
    const { events } = await wireOf(await post({}));
    // By the type in the data OpenAI's clients tell events apart.
    expect(events).toMatchObject([{ data: { ...own, type: 'image_generation.completed' } }]);
  });

  it('may answer with a document all the same', async () => {
    const document = { created: 1, data: [{ b64_json: png().toString('base64') }] };
    main.next({ body: document, headers: { 'content-type': 'application/json' } });
    const { events } = await wireOf(await post({ model: 'openai-main/gpt-image-2' }));
    expect(events).toMatchObject([{ event: 'image_generation.completed', data: { created_at: 1 } }]);
  });

  it('may give events to who wants a document', async () => {
    const answer = await post({ stream: false, model: 'only-streams/gpt-image-2', n: 2 });
    expect(answer.headers.get('content-type')).toBe('application/json');
    const { data, usage } = await jsonOf(answer);
    expect(data).toEqual([{ b64_json: png().toString('base64') }, { b64_json: png().toString('base64') }]);
    expect(usage).toMatchObject({ output_tokens: 2 * 1256 });
  });
});

describe('the sandbox', () => {
  it('shows a picture that becomes clearer and clearer', async () => {
    const events = await generate({ model: 'sandbox/any', size: '256x256' as 'auto', partial_images: 3 });
    expect(typesOf(events)).toEqual(partials('image_generation'));
    const pictures = events.map(pictureOf);
    for (const picture of pictures) expect(formatOf(picture)).toBe('png');
    expect(new Set(pictures.map(sha256)).size).toBe(4);
    const sizes = pictures.map(({ byteLength }) => byteLength);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    const whole = await client.images.generate({
      model: 'sandbox/any',
      prompt: 'a lighthouse',
      size: '256x256',
    });
    expect(whole.data?.[0]?.b64_json).toBe(events[3]?.b64_json);
  });

  it('edits likewise', async () => {
    const events = await edit({ model: 'sandbox/any', size: '64x64' as 'auto', partial_images: 3 });
    expect(typesOf(events)).toEqual(partials('image_edit'));
    expect(new Set(events.map((event) => sha256(pictureOf(event)))).size).toBe(4);
  });

  it('spreads its latency over the events', async () => {
    const events = await generate({ model: 'slow/any', size: '64x64' as 'auto', partial_images: 1, n: 2 });
    expect(typesOf(events)).toEqual(
      Array.from({ length: 2 }, () => ['image_generation.partial_image', 'image_generation.completed']).flat(),
    );
  });

  it('refuses by a status what is wrong', async () => {
    const error = await apiError(generate({ model: 'sandbox/any', size: '1x1' as 'auto', partial_images: 3 }));
    expect(error).toMatchObject({ status: 400, param: 'size' });
  });

  it('breaks off in the middle when told to', async () => {
    const { events } = await wireOf(await post({ model: 'cut/any', size: '64x64', partial_images: 3 }));
    expect(events.map(({ event }) => event)).toEqual([...partials('image_generation').slice(0, 2), 'error']);
  });
});

describe('a provider that does not stream', () => {
  it('gives its picture in one event when it is there, and the parameter that it cannot take is named', async () => {
    const answer = await post({ model: 'luma/photon-1', partial_images: 3 });
    expect(answer.headers.get('x-pinhole-dropped-params')).toBe('partial_images');
    const { events } = await wireOf(answer);
    expect(events.map(({ event }) => event)).toEqual(['image_generation.completed']);
    expect(formatOf(Buffer.from(String(events[0]?.data['b64_json']), 'base64'))).toBeDefined();
  });

  it('works with OpenAI’s client, edits included', async () => {
    expect(typesOf(await generate({ model: 'luma/photon-1', partial_images: 3 }))).toEqual([
      'image_generation.completed',
    ]);
    const answer = await postJson(
      `${gateway.url}/v1/images/edits`,
      { model: 'luma/photon-1', prompt: 'bluer', image: dataUri(png()), stream: true, partial_images: 3 },
      { authorization: `Bearer ${keyOf('anybody')}` },
    );
    const { events } = await wireOf(answer);
    expect(events.map(({ event }) => event)).toEqual(['image_edit.completed']);
  });

  it('is asked several times for several pictures, which go out as they come', async () => {
    const gate = Promise.withResolvers<void>();
    const before = luma.to(/\/generations\/image$/).length;
    luma.next({ hold: gate.promise });
    const stream = await client.images.generate({ model: 'luma/photon-1', prompt: 'a lighthouse', n: 3, stream: true });
    let seen = 0;
    for await (const event of stream) {
      expect(event.type).toBe('image_generation.completed');
      seen += 1;
      // The one that is held back comes when the others have been seen.
      if (seen === 2) gate.resolve();
    }
    expect(seen).toBe(3);
    expect(luma.to(/\/generations\/image$/)).toHaveLength(before + 3);
  });

  it('may fail at some of them: a comment says what is missing', async () => {
    luma.next({ status: 500, body: { detail: 'No.' } });
    const { events, comments } = await wireOf(await post({ model: 'luma/photon-1', n: 3 }));
    expect(events).toHaveLength(2);
    expect(comments).toEqual([': missing=1, codes="upstream_error"']);
  });

  it('fails as a whole by a status where the route wants all or nothing', async () => {
    luma.next({ status: 500, body: { detail: 'No.' } });
    const answer = await post({ model: 'luma/photon-1', n: 3 }, 'anybody', '/wholes');
    expect(answer.status).toBe(502);
  });

  it('keeps its caller’s connection open with pings', async () => {
    const gate = Promise.withResolvers<void>();
    luma.next({ hold: gate.promise });
    const answer = await post({ model: 'luma/photon-1' }, 'pinged', '/pinged');
    // The answer has begun, although there is none yet.
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    gate.resolve();
    const { events, comments } = await wireOf(answer);
    expect(comments.length).toBeGreaterThan(0);
    expect(new Set(comments)).toEqual(new Set([': ping']));
    expect(events.map(({ event }) => event)).toEqual(['image_generation.completed']);
  });

  it('tells of its failure in an event once there were pings; the books know the true status', async () => {
    const gate = Promise.withResolvers<void>();
    main.next({
      hold: gate.promise,
      status: 500,
      body: { error: { message: 'No.' } },
      headers: { 'content-type': 'application/json' },
    });
    const answer = await post({ model: 'openai-main/cents' }, 'error', '/pinged');
    expect(answer.status).toBe(200);
    gate.resolve();
    const { events } = await wireOf(answer);
    expect(events).toMatchObject([{ event: 'error', data: { type: 'error', error: { code: 'upstream_error' } } }]);
    expect(await rowOf('error')).toMatchObject({ status: 502, images: 0, state: 'settled' });
    await gateway.output.line(
      (line) => line.message === 'request' && line['consumer'] === 'error' && line['status'] === 502,
      10_000,
    );
  });
});

describe('what a caller asks for', () => {
  it('is made of unfinished pictures too: another format', async () => {
    main.draw(png({ width: 32, height: 32 }));
    const answer = await post({ model: 'no-formats/gpt-image-2', output_format: 'webp', partial_images: 2 });
    main.draw(undefined);
    expect(main.last().members).not.toHaveProperty('output_format');
    const { events } = await wireOf(answer);
    expect(events).toHaveLength(3);
    for (const { data } of events) {
      expect(data).toMatchObject({ output_format: 'webp', size: '1024x1024' });
      expect(formatOf(Buffer.from(String(data['b64_json']), 'base64'))).toBe('webp');
    }
    const plain = await wireOf(await post({ model: 'luma/photon-1', output_format: 'webp' }));
    expect(plain.events).toMatchObject([{ data: { output_format: 'webp' } }]);
  });

  it('may be links, which then open', async () => {
    const { events } = await wireOf(
      await post({ model: 'openai-main/gpt-image-2', partial_images: 2 }, 'anybody', '/links'),
    );
    expect(events).toHaveLength(3);
    for (const { data } of events) {
      expect(data).not.toHaveProperty('b64_json');
      const { origin, pathname } = new URL(String(data['url']));
      expect(origin).toBe('https://pictures.example');
      const opened = await fetch(gateway.url + pathname);
      expect(Buffer.from(await opened.arrayBuffer()).equals(png())).toBe(true);
    }
  });
});

describe('a stream that fails', () => {
  const refused = { error: { message: 'Not that.', type: 'image_generation_user_error', code: 'moderation_blocked' } };

  it('before its first event is an ordinary error, whose candidate gives way to another one', async () => {
    main.next({
      stream: {
        replace: { after: 0, by: 'event: error\ndata: {"error":{"message":"No.","type":"server_error"}}\n\n' },
      },
    });
    const answer = await post({ model: 'both', partial_images: 2 }, 'fallback');
    expect(answer.headers.get('x-pinhole-entity')).toBe('second');
    const { events } = await wireOf(answer);
    expect(events).toHaveLength(3);
    expect(await rowOf('fallback')).toMatchObject({ status: 200, images: 1, attempts: 2 });
  });

  it.each([
    ['ends before its first event', { stream: { replace: { after: 0, by: '' } } }, 502, 'upstream_invalid_response'],
    ['breaks before its first event', { stream: { cut: { after: 0 } } }, 502, 'upstream_error'],
    ['breaks within its first event', { stream: { cut: { after: 0, within: true } } }, 502, 'upstream_error'],
    [
      'begins with no JSON',
      { stream: { replace: { after: 0, by: 'data: hello\n\n' } } },
      502,
      'upstream_invalid_response',
    ],
    [
      'begins with a refusal',
      { stream: { replace: { after: 0, by: `event: error\ndata: ${JSON.stringify(refused)}\n\n` } } },
      400,
      'content_policy_violation',
    ],
  ] as const)('by a status when it %s', async (_, script, status, code) => {
    main.next(script);
    const answer = await post({ model: 'openai-main/gpt-image-2' });
    expect([answer.status, await jsonOf(answer)]).toMatchObject([status, { error: { code } }]);
  });

  it.each([
    ['breaks off', { stream: { cut: { after: 1 } } }, 'upstream_error'],
    ['breaks off within an event', { stream: { cut: { after: 1, within: true } } }, 'upstream_error'],
    ['ends without a finished picture', { stream: { replace: { after: 1, by: '' } } }, 'upstream_invalid_response'],
    ['goes on with no JSON', { stream: { replace: { after: 1, by: 'data: hello\n\n' } } }, 'upstream_invalid_response'],
    [
      'ends with a refusal',
      { stream: { replace: { after: 1, by: `event: error\ndata: ${JSON.stringify(refused)}\n\n` } } },
      'content_policy_violation',
    ],
  ] as const)('by an event when it %s; nobody is asked again', async (_, script, code) => {
    const before = second.requests.length;
    main.next(script);
    const answer = await post({ model: 'both', partial_images: 2 });
    expect(answer.status).toBe(200);
    const { events } = await wireOf(answer);
    expect(events.map(({ event }) => event)).toEqual(['image_generation.partial_image', 'error']);
    expect(events[1]?.data).toMatchObject({ type: 'error', error: { code } });
    expect(second.requests).toHaveLength(before);
  });

  it('is none once all pictures are there', async () => {
    main.next({ stream: { cut: { after: 2 } } });
    const answer = await post({ model: 'openai-main/gpt-image-2', partial_images: 1 });
    const { events } = await wireOf(answer);
    expect(events.map(({ event }) => event)).toEqual(['image_generation.partial_image', 'image_generation.completed']);
  });

  it('is an error to OpenAI’s client', async () => {
    main.next({ stream: { cut: { after: 1 } } });
    const error = await apiError(generate({ model: 'openai-main/gpt-image-2', partial_images: 2 }));
    expect(error).toMatchObject({ code: 'upstream_error', type: 'upstream_error' });
  });

  it('shows nothing of the gateway’s own credential', async () => {
    const error = { message: `Bad key ${upstreamKey}`, type: 'invalid_request_error', code: 'odd', param: upstreamKey };
    main.next({ stream: { replace: { after: 1, by: `data: ${JSON.stringify({ error })}\n\n` } } });
    const text = await (await post({ model: 'openai-main/gpt-image-2', partial_images: 2 })).text();
    expect(text).toContain('Bad key [redacted]');
    expect(text).not.toContain(upstreamKey);
  });
});

describe('the books of a stream', () => {
  it('have what its last event tells', async () => {
    await (await post({ model: 'openai-main/gpt-image-2', partial_images: 3 }, 'tokens')).text();
    expect(await rowOf('tokens')).toMatchObject({
      status: 200,
      images: 1,
      input_tokens: 50,
      output_tokens: 1356,
      cost_usd: '0.01361',
      state: 'settled',
    });
  });

  it('have the most that it may have cost when it broke off, and its true status', async () => {
    main.next({ stream: { cut: { after: 2 } } });
    await (await post({ model: 'openai-main/cents', partial_images: 3 }, 'broken')).text();
    expect(await rowOf('broken')).toMatchObject({ status: 502, images: 1, cost_usd: '0.1', state: 'estimated' });
    await gateway.output.line(
      (line) => line.message === 'request' && line['consumer'] === 'broken' && line['status'] === 502,
      10_000,
    );
  });

  it.each([['left'], ['forgiven']])(
    'have it as well when the client left, whose provider is let go at once: %s',
    async (id) => {
      const before = main.requests.length;
      main.next({ stream: { before: (sent) => (sent === 1 ? new Promise(() => {}) : undefined) } });
      const controller = new AbortController();
      const answer = await post({ model: 'openai-main/cents', partial_images: 3 }, id, '', {
        signal: controller.signal,
      });
      const reader = answer.body?.getReader();
      await reader?.read();
      controller.abort();
      await main.until(() => main.requests.at(before)?.fate === 'aborted', 1000);
      expect(await rowOf(id)).toMatchObject({ status: 499, images: 1, cost_usd: '0.1' });
      // What a provider has begun to give counts, also for a budget that forgives calls that were given up.
      expect((await post({ model: 'openai-main/cents' }, id)).status).toBe(429);
    },
  );
});

describe('a client that does not read', () => {
  it('keeps the provider from sending, and gets everything when it reads again', async () => {
    const picture = randomPng(26_000_000);
    main.draw(picture);
    let sent = 0;
    const all = Promise.withResolvers<void>();
    // More than the buffers of the system take: 4 times 35 MB.
    const events = 4;
    main.next({
      stream: {
        sent(count) {
          sent = count;
          if (count === events) all.resolve();
        },
      },
    });
    const { hostname, port } = new URL(gateway.url);
    const socket = connect({ host: hostname, port: Number(port) });
    const body = JSON.stringify({
      model: 'openai-main/gpt-image-2',
      prompt: 'a lighthouse',
      stream: true,
      partial_images: 3,
    });
    socket.write(
      `POST /v1/images/generations HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${keyOf('anybody')}\r\n` +
        `content-type: application/json\r\ncontent-length: ${String(body.length)}\r\nconnection: close\r\n\r\n${body}`,
    );
    await once(socket, 'readable');
    // Another whole stream goes through meanwhile: this one has had all the time that it needs to fill what there is to fill.
    await generate({ model: 'second/gpt-image-2', partial_images: 3 });
    expect(sent).toBeLessThan(events);
    let bytes = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) bytes += chunk.byteLength;
    await all.promise;
    main.draw(undefined);
    expect(bytes).toBeGreaterThan(events * picture.toString('base64').length);
  });
});
