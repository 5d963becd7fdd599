import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { payloadBytes } from '../../../src/images/convert-payload.ts';
import type { LinkPayload } from '../../../src/images/payload.ts';
import type { ImageCall } from '../../../src/pipeline/call.ts';
import type { Attempt } from '../../../src/pipeline/exchange.ts';
import type { ImagesResponse } from '../../../src/pipeline/response.ts';
import type { ImageAnswer, ImageResult } from '../../../src/pipeline/result.ts';
import type { Route } from '../../../src/pipeline/settings.ts';
import {
  ConfigError,
  type FetchPictureOptions,
  type PictureFetcher,
  type StageEnv,
} from '../../../src/pipeline/stage.ts';
import type { PartOutcome, UpstreamReply } from '../../../src/pipeline/upstream.ts';
import { openaiCompatible } from '../../../src/providers/openai-compatible.ts';
import { openai } from '../../../src/providers/openai.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { responseNormalise } from '../../../src/transforms/response-normalise.ts';
import {
  filledBy,
  makeAnswered,
  makeAttempt,
  makeCall,
  makeEntity,
  makeExchange,
  makeOperation,
  makeRoute,
  makeStageEnv,
  makeTarget,
} from '../../fixtures/exchange.ts';
import { signed } from '../../fixtures/picture-files.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { answering, arriving, inPieces } from '../../fixtures/replies.ts';
import { gather } from '../body/pieces.ts';

const provider = openai.create(providerConfig(openai, {}));
const picture = png();
const other = png({ colour: [10, 20, 30, 255] });
const large = randomPng(100_000);
const small = { created: 1, data: [{ b64_json: picture.toString('base64') }] };
const link = 'https://pictures.test/1.png';
const links = { created: 1, data: [{ url: link, revised_prompt: 'words' }, { b64_json: picture.toString('base64') }] };
const tokens = { input_tokens: 2, output_tokens: 3, total_tokens: 5 };
const usage = { inputTokens: 2, outputTokens: 3, totalTokens: 5 };

interface Given {
  readonly call?: Partial<ImageCall>;
  readonly route?: Partial<Route>;
  readonly provider?: Provider;
  readonly model?: string;
  readonly extras?: ImagesResponse['extras'];
  readonly strip?: boolean;
  readonly query?: string;
  readonly env?: Parameters<typeof makeStageEnv>[0];
}

interface Normalised {
  readonly result: ImageResult;
  readonly response: ImagesResponse;
  readonly attempts: readonly Attempt[];
}

/** Attempts of which nothing is known yet but that they were answered; the first is of an earlier candidate. */
function begin(replies: readonly UpstreamReply[]): Attempt[] {
  const unknown = { images: undefined, usage: undefined };
  return [makeAttempt({ images: 0, status: 500 }), ...replies.map(() => makeAttempt(unknown))];
}

async function normalise(
  replies: readonly UpstreamReply[],
  given: Given = {},
  attempts = begin(replies),
): Promise<Normalised> {
  const entity = makeEntity({ provider: given.provider ?? provider });
  const exchange = makeExchange(
    {
      call: makeCall(given.call),
      target: makeTarget({ entity, model: given.model ?? 'gpt-image-2' }),
      reply: replies.map((reply, index) => makeAnswered(reply, { attempt: index + 1 })),
    },
    { attempts, route: makeRoute(given.route), request: { query: new URLSearchParams(given.query) } },
  );
  const env = makeStageEnv({ route: makeRoute(given.route), ...given.env });
  const { result, response } = await filledBy(
    responseNormalise.create(
      { extras: [...(given.extras ?? [])], strip_metadata: given.strip ?? false },
      env,
    )(exchange),
  );
  if (response.kind !== 'images') throw new Error('the response holds no pictures');
  return { result, response, attempts };
}

/** The pictures: bytes, or the link. */
async function shown({ images }: ImageAnswer): Promise<readonly unknown[]> {
  return Promise.all(
    images.map(async ({ payload }) => (payload.kind === 'link' ? payload.url : gather(payloadBytes(payload)))),
  );
}

/** Fetches `other` from everywhere. */
function fetcher(): {
  readonly pictures: Pick<PictureFetcher, 'fetch'>;
  readonly fetched: (readonly [LinkPayload, FetchPictureOptions])[];
} {
  const fetched: (readonly [LinkPayload, FetchPictureOptions])[] = [];
  return {
    fetched,
    pictures: {
      fetch(given, options) {
        fetched.push([given, options]);
        return Promise.resolve({ payload: { kind: 'bytes', bytes: other }, mediaType: 'image/png' });
      },
    },
  };
}

const hosting: Given['env'] = {
  catalogue: { hosting: { publicUrl: undefined, path: '/files/:name', signer: undefined } },
};

describe('response-normalise', () => {
  describe('with a large answer in OpenAI’s form', () => {
    const document = Buffer.from(JSON.stringify({ data: [{ b64_json: large.toString('base64') }], usage: tokens }));
    const reply = (): UpstreamReply => arriving(inPieces(document, 16_384));

    it.each([undefined, 'b64_json', 'b64_ephemeral'] as const)(
      'lets it pass unchanged (%s)',
      async (responseFormat) => {
        const { result, response, attempts } = await normalise([reply()], { call: { responseFormat } });
        expect(response.passThrough).toBe(true);
        expect(attempts[1]).toMatchObject({ images: undefined });
        expect((await gather(result.passThrough?.() ?? [])).equals(document)).toBe(true);
        expect(attempts[1]).toMatchObject({ images: 1, usage });
        expect(attempts[0]).toMatchObject({ images: 0, usage: undefined });
      },
    );

    it('gives its pictures to a stage that asks for them, after which it cannot pass any more', async () => {
      const { result, attempts } = await normalise([reply()]);
      const answer = await result.read();
      expect(await result.read()).toBe(answer);
      expect(await shown(answer)).toEqual([large]);
      expect(result.passThrough).toBeUndefined();
      expect(attempts[1]).toMatchObject({ images: 1, usage });
    });

    it.each<[string, Given]>([
      ['links are asked for', { call: { responseFormat: 'url' }, env: hosting }],
      ['the answer is to be a stream', { call: { stream: true } }],
      ['the body has extras', { extras: ['latency'] }],
      ['the provider only resembles OpenAI', { provider: { ...provider, speaksOpenAi: false } }],
    ])('reads it where %s', async (_, given) => {
      const { result, attempts } = await normalise([reply()], given);
      expect(result.passThrough).toBeUndefined();
      expect(await shown(await result.read())).toEqual([large]);
      expect(attempts[1]).toMatchObject({ images: 1, usage });
    });
  });

  it('reads a small answer at once, so that what is wrong with it is known in time', async () => {
    const { result, attempts } = await normalise([answering(small)]);
    expect(attempts[1]).toMatchObject({ images: 1, usage: undefined });
    expect(result.passThrough).toBeUndefined();
    expect(await shown(await result.read())).toEqual([picture]);
  });

  it.each([
    ['no JSON', 'no'],
    ['HTML', '<html><body>Bad gateway</body></html>'],
    ['HTML without end', '<html>'.padEnd(200_000, 'x')],
    ['nothing', ''],
    ['no pictures', { created: 1, data: [] }],
    ['an empty picture', { data: [{ b64_json: '' }] }],
    ['a picture that is not base64', { data: [{ b64_json: 'no picture!' }] }],
    [
      'a picture whose base64 is cut',
      { data: [{ b64_json: `${picture.toString('base64').replaceAll('=', '')}A`.slice(0, 41) }] },
    ],
    ['a large picture that is not base64', { data: [{ b64_json: '!'.repeat(20_000) }] }],
    ['an end too soon', JSON.stringify(small).slice(0, -3)],
    ['an end within a picture', `{"data":[{"b64_json":"${picture.toString('base64')}`],
  ])('refuses an answer with %s, for which nothing is booked', async (_, document) => {
    for (const given of [{}, { call: { stream: true } }]) {
      const replies = [answering(document)];
      const attempts = begin(replies);
      const error = { code: 'upstream_invalid_response', status: 502 };
      await expect(normalise(replies, given, attempts)).rejects.toMatchObject(error);
      expect(attempts[1]).toMatchObject({ images: 0 });
    }
  });

  it('books nothing for a refusal that came as a 200', async () => {
    const refusal = new GatewayError('content_policy_violation', 'No.');
    const refusing = { ...provider, decode: () => Promise.reject(refusal) };
    const replies = [answering(small)];
    const attempts = begin(replies);
    await expect(normalise(replies, { provider: refusing }, attempts)).rejects.toBe(refusal);
    expect(attempts[1]).toMatchObject({ images: 0 });
  });

  it.each([
    ['broke off', 'upstream_error'],
    ['is longer than is read, or badly compressed', 'upstream_invalid_response'],
  ] as const)('leaves it open what is to be paid for an answer that %s', async (_, code) => {
    const broken = new GatewayError(code, 'The connection broke.');
    const replies = [arriving([Buffer.from('{"data":[{"b64_json":"aGk')], broken)];
    const attempts = begin(replies);
    await expect(normalise(replies, {}, attempts)).rejects.toBe(broken);
    expect(attempts[1]).toMatchObject({ images: undefined });
  });

  describe('with several answers to one call', () => {
    const first = { ...small, size: '8x8', usage: tokens };
    const second = {
      created: 2,
      size: '9x9',
      data: [{ b64_json: other.toString('base64') }, { url: link }],
      usage: tokens,
    };

    it('puts the pictures together in their order, and adds up the usage', async () => {
      const { result, attempts } = await normalise([answering(first), answering(second)]);
      const answer = await result.read();
      expect(await shown(answer)).toEqual([picture, other, link]);
      expect(answer).toMatchObject({ created: 1, effective: { size: '8x8' } });
      expect(answer.usage).toMatchObject({ inputTokens: 4, outputTokens: 6, totalTokens: 10 });
      expect(attempts.slice(1)).toMatchObject([
        { images: 1, usage },
        { images: 2, usage },
      ]);
      expect(result.passThrough).toBeUndefined();
    });

    it('tells no usage where one of them does not', async () => {
      const { result, attempts } = await normalise([answering(first), answering(small)]);
      expect((await result.read()).usage).toBeUndefined();
      expect(attempts.slice(1)).toMatchObject([{ usage }, { usage: undefined }]);
    });
  });

  describe('where the provider gives links', () => {
    it.each([undefined, 'url'] as const)(
      'leaves them as they are if the caller may have them (%s)',
      async (responseFormat) => {
        const { result } = await normalise([answering(links)], { call: { responseFormat } });
        expect(await shown(await result.read())).toEqual([link, picture]);
      },
    );

    it.each<[string, Given]>([
      ['base64 was asked for', { call: { responseFormat: 'b64_json' } }],
      ['base64 was asked for, to be forgotten', { call: { responseFormat: 'b64_ephemeral' } }],
      ['the answer is a stream', { call: { stream: true } }],
      ['the route hosts all pictures', { route: { urlMode: 'host' } }],
      [
        'the route hosts all pictures and links were asked for',
        { route: { urlMode: 'host' }, call: { responseFormat: 'url' } },
      ],
    ])('fetches the pictures where %s', async (_, given) => {
      const { pictures, fetched } = fetcher();
      const { result } = await normalise([answering(links)], { ...given, env: { pictures } });
      const answer = await result.read();
      expect(await shown(answer)).toEqual([other, picture]);
      expect(answer.images[0]?.revisedPrompt).toBe('words');
      expect(fetched).toMatchObject([
        [{ kind: 'link', url: link, trust: 'response' }, { trustedOrigin: 'https://api.openai.com' }],
      ]);
    });

    it('fails as the fetch does', async () => {
      const failure = new GatewayError('upstream_invalid_response', 'The link leads nowhere.');
      const pictures = { fetch: () => Promise.reject(failure) };
      const given = { call: { responseFormat: 'b64_json' }, env: { pictures } } as const;
      await expect(normalise([answering(links)], given)).rejects.toBe(failure);
    });
  });

  describe('describes the response', () => {
    const compatible = openaiCompatible.create(
      providerConfig(openaiCompatible, { connection: { base_url: 'http://127.0.0.1:1/v1' } }),
    );

    it.each<[string, Given, Partial<ImagesResponse>]>([
      ['as the pictures come', {}, { form: undefined, framing: 'json', passThrough: true }],
      ['as base64', { call: { responseFormat: 'b64_json' } }, { form: 'b64_json', passThrough: true }],
      [
        'as base64 to be forgotten',
        { call: { responseFormat: 'b64_ephemeral' } },
        { form: 'b64_json', passThrough: true },
      ],
      ['as links', { call: { responseFormat: 'url' } }, { form: 'url', passThrough: false }],
      ['as events', { call: { stream: true } }, { framing: 'events', passThrough: false }],
      [
        'with what the caller asks for in its query',
        { query: 'embed_costs=true&embed_budget=true', extras: ['latency', 'cost'] },
        { extras: ['latency', 'cost', 'budget'], passThrough: false },
      ],
      ['with nothing that the caller does not mean', { query: 'embed_budget=1' }, { extras: [], passThrough: true }],
      ['with extras', { extras: ['latency', 'routing'] }, { extras: ['latency', 'routing'], passThrough: false }],
      [
        'as links from a model that gives links',
        { model: 'dall-e-2', env: hosting },
        { form: 'url', passThrough: false },
      ],
      ['as they come from a model that gives links, where none are hosted', { model: 'dall-e-2' }, { form: undefined }],
      [
        'as they come from a provider of which nothing is known',
        { provider: compatible, env: hosting },
        { form: undefined },
      ],
    ])('%s', async (_, given, expected) => {
      const { response } = await normalise([answering(small)], given);
      expect(response).toMatchObject({ kind: 'images', ...expected });
    });

    it('by the entity’s own response_format, where the caller is silent', async () => {
      const operations = { generation: makeOperation({ responseFormat: 'b64_json' }), edition: makeOperation() };
      const env: StageEnv = makeStageEnv(hosting);
      const target = makeTarget({ entity: makeEntity({ provider, operations }), model: 'dall-e-2' });
      const exchange = makeExchange({ call: makeCall(), target, reply: [makeAnswered(answering(small))] });
      const { response } = await filledBy(
        responseNormalise.create({ extras: [], strip_metadata: false }, env)(exchange),
      );
      expect(response).toMatchObject({ form: 'b64_json' });
    });
  });

  describe('of a call that was fanned out', () => {
    const failure = new GatewayError('rate_limit_exceeded', 'slower', { publicCode: 'too fast"' });
    const partsOf = (outcomes: readonly (UpstreamReply | GatewayError)[]): readonly PartOutcome[] =>
      outcomes.map((outcome, index) =>
        outcome instanceof GatewayError
          ? { kind: 'failed', call: { ...makeCall(), model: 'm' }, error: outcome }
          : makeAnswered(outcome, { attempt: index }),
      );

    async function normaliseParts(
      outcomes: readonly (UpstreamReply | GatewayError)[],
      {
        n = outcomes.length,
        route = {},
        pictures,
      }: { n?: number; route?: Partial<Route>; pictures?: Pick<PictureFetcher, 'fetch'> } = {},
    ): Promise<{ readonly result: ImageResult; readonly partial: string | undefined }> {
      const exchange = makeExchange(
        {
          call: makeCall({ parameters: { n }, responseFormat: 'b64_json' }),
          target: makeTarget({ entity: makeEntity({ provider }) }),
          reply: partsOf(outcomes),
        },
        { attempts: outcomes.map(() => makeAttempt()), route: makeRoute(route) },
      );
      exchange.responseHeaders.set('x-pinhole-partial', 'of an earlier candidate');
      const env = makeStageEnv({ ...hosting, ...(pictures === undefined ? {} : { pictures }) });
      const { result } = await filledBy(responseNormalise.create({ extras: [], strip_metadata: false }, env)(exchange));
      return { result, partial: exchange.responseHeaders.get('x-pinhole-partial') };
    }

    it('gives what succeeded, and names the rest in a header [X05]', async () => {
      const refused = answering({ data: [] });
      const { result, partial } = await normaliseParts([answering(small), failure, refused]);
      expect(await shown(await result.read())).toEqual([picture]);
      expect(partial).toBe('missing=2, codes="too_fast_ upstream_invalid_response"');
    });

    it('says nothing when nothing is missing', async () => {
      const { result, partial } = await normaliseParts([answering(small), answering(small)]);
      expect(await shown(await result.read())).toHaveLength(2);
      expect(partial).toBeUndefined();
    });

    it('says so when a provider gives fewer than it was asked for, too', async () => {
      const { partial } = await normaliseParts([answering(small), answering(small)], { n: 4 });
      expect(partial).toBe('missing=2');
    });

    it('fails as a whole where the route wants all or nothing', async () => {
      const route = { fanout: 'all_or_nothing' } as const;
      await expect(normaliseParts([answering(small), answering({ data: [] })], { route })).rejects.toMatchObject({
        code: 'upstream_invalid_response',
      });
    });

    it('fails with the first failure when there is nothing', async () => {
      await expect(normaliseParts([failure, answering({ data: [] })])).rejects.toBe(failure);
    });

    it('goes without a picture whose link does not open', async () => {
      let fetched = 0;
      const pictures: Pick<PictureFetcher, 'fetch'> = {
        fetch() {
          fetched += 1;
          return fetched === 1
            ? Promise.reject(new GatewayError('upstream_timeout', 'late'))
            : Promise.resolve({ payload: { kind: 'bytes', bytes: other }, mediaType: 'image/png' });
        },
      };
      const linked = { data: [{ url: link }] };
      const { result, partial } = await normaliseParts([answering(linked), answering(linked)], { pictures });
      expect(await shown(await result.read())).toEqual([other]);
      expect(partial).toBe('missing=1, codes="upstream_timeout"');
    });
  });

  it('takes the metadata out of what comes as bytes and of what is fetched', async () => {
    const photo = await signed(3).png().toBuffer();
    for (const document of [{ data: [{ b64_json: photo.toString('base64') }] }, { data: [{ url: link }] }]) {
      const pictures = {
        fetch: () => Promise.resolve({ payload: { kind: 'bytes', bytes: photo }, mediaType: 'image/png' } as const),
      };
      const { result } = await normalise([answering(document)], { strip: true, env: { ...hosting, pictures } });
      const [bytes] = await shown(await result.read());
      if (!Buffer.isBuffer(bytes)) throw new Error('not fetched');
      expect(bytes.includes('somebody')).toBe(false);
      expect(await sharp(bytes).raw().toBuffer()).toEqual(await sharp(photo).raw().toBuffer());
      expect((await sharp(bytes).metadata()).orientation).toBe(3);
    }
  });

  it('cannot take the metadata out where it can host nothing', () => {
    expect(() => responseNormalise.create({ extras: [], strip_metadata: true }, makeStageEnv())).toThrow(ConfigError);
  });

  it('tells the size of what was really made, by the bytes', async () => {
    const made = png({ width: 24, height: 16 });
    const { result } = await normalise([answering({ data: [{ b64_json: made.toString('base64') }] })]);
    expect((await result.read()).effective).toMatchObject({ size: '24x16' });
    const told = { size: '1024x1024', data: [{ b64_json: made.toString('base64') }] };
    expect((await (await normalise([answering(told)])).result.read()).effective).toMatchObject({ size: '1024x1024' });
  });

  it('hosts a picture whose link leads to a server of our own', async () => {
    const { pictures, fetched } = fetcher();
    const inside = 'http://127.0.0.1:8188/view?filename=1.png';
    const given = { call: { responseFormat: 'url' }, env: { ...hosting, pictures } } as const;
    const { result } = await normalise([answering({ data: [{ url: inside }, { url: link }] })], given);
    expect(await shown(await result.read())).toEqual([other, link]);
    expect(fetched).toHaveLength(1);
  });

  it('notes down what the provider says that it costs', async () => {
    const priced: Provider = {
      ...provider,
      speaksOpenAi: false,
      decode: async (reply, call) => ({ ...(await provider.decode(reply, call)), costNanoUsd: 20_000_000 }),
    };
    const { attempts, result } = await normalise([answering(small), answering(small)], { provider: priced });
    expect(attempts.map(({ costNanoUsd }) => costNanoUsd)).toEqual([undefined, 20_000_000, 20_000_000]);
    expect((await result.read()).costNanoUsd).toBe(40_000_000);
  });
});
