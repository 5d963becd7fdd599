import { describe, expect, it } from 'vitest';
import { createPriceBook } from '../../../src/budget/pricing.ts';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { createRecoder } from '../../../src/images/recoder.ts';
import type { ImageEvent, ImageResult, PictureEvent } from '../../../src/pipeline/result.ts';
import type { PartOutcome, SettledPart } from '../../../src/pipeline/upstream.ts';
import type { Provider, ProviderEvent } from '../../../src/providers/provider.ts';
import { streamedResult } from '../../../src/transforms/streamed-result.ts';
import {
  makeAnswered,
  makeAttempt,
  makeCall,
  makeEntity,
  makeExchange,
  makeStageEnv,
  makeTarget,
} from '../../fixtures/exchange.ts';
import { png } from '../../fixtures/pictures.ts';

const reply = { status: 200, headers: {}, body: bytesSource(new Uint8Array()) };
const image = { payload: { kind: 'bytes', bytes: png() } } as const;
const told = { image, created: 1, effective: { size: '8x8' }, wire: undefined };
const partial = (index: number): PictureEvent => ({ kind: 'partial', ...told, index });
const completed = (outputTokens = 7): PictureEvent => ({
  kind: 'completed',
  ...told,
  usage: { inputTokens: 1, outputTokens, totalTokens: 1 + outputTokens },
});
const broken = new GatewayError('upstream_error', 'The connection broke.');

type Source = () => AsyncIterable<ProviderEvent>;

/** A source that gives its items, and throws those that are errors. */
function sourceOf(...items: readonly (ProviderEvent | Error)[]): Source {
  return async function* source() {
    for (const item of items) {
      if (item instanceof Error) throw item;
      yield item;
    }
  };
}

interface Setting {
  readonly exchange: ReturnType<typeof makeExchange> & { readonly attempts: ReturnType<typeof makeAttempt>[] };
  readonly result: Promise<ImageResult>;
}

/** The result of a call, each of whose parts is answered with one of these. @param n pictures asked for, by each part */
function streamed(
  sources: readonly Source[],
  {
    n = 1,
    settle = (part) => part,
  }: { readonly n?: number; settle?(part: SettledPart, index: number): PartOutcome } = {},
): Setting {
  let part = 0;
  const provider: Provider = {
    ...makeEntity().provider,
    events: () => {
      const source = sources[part];
      part += 1;
      return source?.();
    },
  };
  const target = makeTarget({ entity: makeEntity({ provider }) });
  const attempts = sources.map(() => makeAttempt({ images: undefined }));
  const call = makeCall({ stream: true, parameters: { n: n * sources.length } });
  const outcomes = sources.map((_, index) =>
    settle(makeAnswered(reply, { attempt: index, call: { ...call, model: 'gpt-image-2', parameters: { n } } }), index),
  );
  const exchange = makeExchange({ call, target, reply: outcomes }, { attempts });
  const { pictures, clock } = makeStageEnv();
  const result = streamedResult(
    exchange,
    { ...call, model: 'gpt-image-2' },
    {
      pictures,
      clock,
      prices: createPriceBook([]),
      canHost: false,
      recoder: createRecoder({ atOnce: 1, maxWaiting: 1 }),
      strip: false,
      owed: undefined,
    },
  );
  return { exchange: { ...exchange, attempts }, result };
}

async function kindsOf({ events }: ImageResult): Promise<readonly string[]> {
  const kinds: string[] = [];
  for await (const event of events?.() ?? []) kinds.push(event.kind);
  return kinds;
}

describe('a streamed result', () => {
  it('gives its pictures once, as they come', async () => {
    const result = await streamed([sourceOf(partial(0), completed())]).result;
    expect(await kindsOf(result)).toEqual(['partial', 'completed']);
    expect(result.events).toBeUndefined();
    await expect(result.read()).rejects.toThrow(TypeError);
  });

  it('is read as a whole by who asks for that, and is then not streamed any more', async () => {
    const result = await streamed([sourceOf(partial(0), completed(5), completed(9))], { n: 2 }).result;
    const answer = await result.read();
    expect(answer).toMatchObject({ created: 1, usage: { outputTokens: 9 }, effective: { size: '8x8' } });
    expect(answer.images).toHaveLength(2);
    expect(result.events).toBeUndefined();
    expect(result.passThrough).toBeUndefined();
    expect(await result.read()).toBe(answer);
  });

  it('is none when the first thing that comes is a failure', async () => {
    await expect(streamed([sourceOf(broken)]).result).rejects.toBe(broken);
    await expect(streamed([sourceOf()]).result).rejects.toMatchObject({ code: 'upstream_invalid_response' });
  });

  it('asks for the next picture when the one before was taken', async () => {
    let asked = 0;
    async function* source(): AsyncGenerator<ProviderEvent> {
      for (let index = 0; index < 3; index += 1) {
        asked += 1;
        yield partial(index);
      }
      yield completed();
    }
    const { events } = await streamed([source]).result;
    const iterator = events?.()[Symbol.asyncIterator]();
    await iterator?.next();
    expect(asked).toBe(1);
    await iterator?.next();
    expect(asked).toBe(2);
  });

  it('does not wait for a part that is still under way', async () => {
    const late = Promise.withResolvers<SettledPart>();
    let second: SettledPart | undefined;
    const { result } = streamed([sourceOf(completed()), sourceOf(partial(0), completed())], {
      settle(part, index) {
        if (index === 0) return part;
        second = part;
        return { kind: 'pending', outcome: late.promise };
      },
    });
    const seen: ImageEvent[] = [];
    for await (const event of (await result).events?.() ?? []) {
      seen.push(event);
      if (second !== undefined) late.resolve(second);
    }
    expect(seen.map(({ kind }) => kind)).toEqual(['completed', 'partial', 'completed']);
  });

  it('says what is missing when a part has failed', async () => {
    const { result } = streamed([sourceOf(completed()), sourceOf(partial(0), broken)]);
    const seen: ImageEvent[] = [];
    for await (const event of (await result).events?.() ?? []) seen.push(event);
    expect(seen.at(-1)).toEqual({ kind: 'missing', missing: 1, codes: ['upstream_error'] });
  });

  it('fails when no part of it has a finished picture', async () => {
    const { result } = streamed([sourceOf(partial(0), broken), sourceOf(broken)]);
    await expect(kindsOf(await result)).rejects.toBe(broken);
  });
});

describe('the record of a streamed answer', () => {
  const fault = { kind: 'fault', error: new GatewayError('content_policy_violation', 'No.') } as const;

  it.each([
    ['all pictures', [partial(0), completed(5), completed(9)], { images: 2, usage: { outputTokens: 9 } }],
    ['all pictures, and then breaks', [completed(5), completed(9), broken], { images: 2, usage: { outputTokens: 9 } }],
    ['fewer pictures', [completed(5)], { images: 1, usage: { outputTokens: 5 } }],
    ['fewer pictures, and then breaks', [completed(5), broken], { images: undefined }],
    ['sketches, and then breaks', [partial(0), broken], { images: undefined }],
    ['sketches, and then ends', [partial(0)], { images: undefined }],
    ['sketches, and then says that it has failed', [partial(0), fault], { images: 0 }],
    ['a picture, and then says that it has failed', [completed(5), fault], { images: 1, usage: { outputTokens: 5 } }],
    ['nothing', [], { images: 0 }],
    ['a broken connection', [broken], { images: undefined }],
  ])('has what has come of one that gives %s', async (_, items, record) => {
    const { exchange, result } = streamed([sourceOf(...items)], { n: 2 });
    await result.then(kindsOf).catch(() => {});
    expect(exchange.attempts[0]).toMatchObject(record);
  });
});
