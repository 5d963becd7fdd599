/** The contract of every stage that has no suite of its own elsewhere, each with an exchange that it serves. */
import { hash, randomUUID } from 'node:crypto';
import { bytesSource } from '../../src/body/byte-source.ts';
import type { FallbackConfig } from '../../src/generated/stages/fallback.ts';
import { anonymous } from '../../src/pipeline/settings.ts';
import type { StageDefinition } from '../../src/pipeline/stage.ts';
import { completeResult } from '../../src/pipeline/result.ts';
import { openai } from '../../src/providers/openai.ts';
import { authenticate } from '../../src/transforms/authenticate.ts';
import { cache } from '../../src/transforms/cache.ts';
import { constrain } from '../../src/transforms/constrain.ts';
import { decode } from '../../src/transforms/decode.ts';
import { dispatch } from '../../src/transforms/dispatch.ts';
import { fallback } from '../../src/transforms/fallback.ts';
import { forward } from '../../src/transforms/forward.ts';
import { guard } from '../../src/transforms/guard.ts';
import { imageJob } from '../../src/transforms/image-job.ts';
import { listModels } from '../../src/transforms/list-models.ts';
import { parse } from '../../src/transforms/parse.ts';
import { providerTransform } from '../../src/transforms/provider-transform.ts';
import type { Job } from '../../src/stores/job-store.ts';
import { createProcessLimiter } from '../../src/stores/process-limiter.ts';
import { rateLimit } from '../../src/transforms/rate-limit.ts';
import { respondAsync } from '../../src/transforms/respond-async.ts';
import { responseNormalise } from '../../src/transforms/response-normalise.ts';
import { routeResolve } from '../../src/transforms/route-resolve.ts';
import { singleFlight } from '../../src/transforms/single-flight.ts';
import { makeCaller, makeKey } from '../fixtures/budget.ts';
import {
  makeAnswered,
  makeAttempt,
  makeCall,
  makeEntity,
  makeExchange,
  makePart,
  makeRoute,
  makeStageEnv,
  makeTarget,
} from '../fixtures/exchange.ts';
import { fallbackConfig } from '../fixtures/fallback-config.ts';
import { png, randomPng } from '../fixtures/pictures.ts';
import { providerConfig } from '../fixtures/providers/config.ts';
import { answering } from '../fixtures/replies.ts';
import { stageContract } from './stage-contract.ts';

const picture = png();
const large = { data: [{ b64_json: randomPng(20_000).toString('base64') }] };
const linked = { data: [{ url: 'https://pictures.test/1.png' }] };
const link = { kind: 'link', url: 'https://pictures.test/1.png', trust: 'response' } as const;
const upstream = [
  makePart({
    method: 'POST',
    url: 'https://api.openai.com/v1/images/generations',
    headers: {},
    body: { kind: 'none' },
  }),
];

/** An entity of OpenAI's whose connection answers, unless the signal is aborted. */
const entity = makeEntity({
  provider: openai.create(providerConfig(openai, {})),
  client: {
    async send(_request, { signal }) {
      signal.throwIfAborted();
      return answering(large);
    },
  },
});
const target = makeTarget({ entity });
const candidates = [target, makeTarget({ entity, model: 'gpt-image-1' })];
const entities = new Map([[entity.id, entity]]);

const job: Job = {
  id: 'job_1',
  consumer: makeCaller().consumer?.id ?? null,
  state: 'queued',
  request: '{}',
  outcome: null,
  place: null,
  progress: null,
  createdAtMs: 0,
  startedAtMs: null,
  finishedAtMs: null,
  keptUntilMs: 1,
  noticeTries: 0,
};

/** A service that allows everything, unless the signal is aborted. */
const services: Parameters<typeof makeStageEnv>[0] = {
  services: {
    connect: () => ({
      async ask(_question, signal) {
        signal.throwIfAborted();
        return { allow: true };
      },
      async tell(_message, signal) {
        signal.throwIfAborted();
      },
      close: () => Promise.resolve(),
    }),
  },
};

/** Fetches a picture from everywhere, unless the signal is aborted. */
const pictures: Parameters<typeof makeStageEnv>[0] = {
  pictures: {
    async fetch(_link, { signal }) {
      signal.throwIfAborted();
      return { payload: { kind: 'bytes', bytes: picture }, mediaType: 'image/png' };
    },
    async fetchAll(links, { signal }) {
      signal.throwIfAborted();
      return links.map((link) => {
        link.see?.(picture);
        return { payload: { kind: 'bytes', bytes: picture }, mediaType: 'image/png' };
      });
    },
  },
};

stageContract({
  definition: authenticate,
  config: {},
  env: makeStageEnv({ catalogue: { consumersByKeyHash: new Map([[hash('sha256', 'key'), makeKey()]]) } }),
  exchange: (signal) => makeExchange({}, { signal, request: { headers: { 'x-api-key': 'key' } } }),
});

stageContract({
  definition: rateLimit,
  config: { requests: 100, images: 100, concurrency: 100, window: 60_000, per: 'consumer', limits: [] },
  env: makeStageEnv({ limiter: createProcessLimiter({ clock: makeStageEnv().clock }) }),
  exchange: (signal) => makeExchange({ caller: makeCaller(), call: makeCall(), target }, { signal }),
});

stageContract({
  definition: parse,
  config: { max_images: 16, max_pixels: 1_000_000, strip_metadata: false },
  env: makeStageEnv(),
  exchange: (signal) => {
    const document = { prompt: 'a lighthouse', image: `data:image/png;base64,${picture.toString('base64')}` };
    return makeExchange({}, { signal, body: bytesSource(Buffer.from(JSON.stringify(document))) });
  },
});

stageContract({
  definition: routeResolve,
  config: {},
  env: makeStageEnv({ catalogue: { entities } }),
  exchange: (signal) => makeExchange({ call: makeCall({ fallbacks: ['main/gpt-image-1'] }) }, { signal }),
});

stageContract({
  definition: constrain,
  config: {},
  env: makeStageEnv(),
  exchange: (signal) => makeExchange({ caller: makeCaller(), candidates, target }, { signal }),
});

stageContract({
  definition: guard,
  config: {
    rules: [
      { id: 'words', action: 'block', on_failure: 'block', keywords: ['gun'], whole_words: true },
      {
        id: 'hook',
        action: 'block',
        on_failure: 'block',
        whole_words: true,
        webhook: { url: 'https://judge.test/ask', headers: {}, include_images: true },
      },
    ],
    status: 400,
    timeout: 5000,
    skip_parameters: [],
  },
  env: makeStageEnv({ ...pictures, ...services }),
  exchange: (signal) => {
    const images = [{ kind: 'image', payload: { ...link, trust: 'caller' }, mediaType: undefined } as const];
    return makeExchange({ call: makeCall({ images }), caller: makeCaller(), target }, { signal });
  },
});

stageContract({
  definition: respondAsync,
  config: {},
  env: makeStageEnv({
    store: { ...makeStageEnv().store, createJob: () => Promise.resolve(true) },
    answers: {
      ...makeStageEnv().answers,
      async put(_content, _mediaType, options) {
        options?.signal?.throwIfAborted();
        return 'kept';
      },
    },
  }),
  exchange: (signal) =>
    makeExchange(
      { caller: makeCaller(), call: makeCall(), candidates },
      {
        signal,
        request: { headers: { prefer: 'respond-async' } },
        keptBody: () => Promise.resolve({ kind: 'bytes', bytes: Buffer.from('{}') }),
      },
    ),
});

stageContract({
  definition: imageJob,
  config: {},
  env: makeStageEnv({ store: { ...makeStageEnv().store, readJob: () => Promise.resolve(job) } }),
  exchange: (signal) => makeExchange({ caller: makeCaller() }, { signal, request: { parameters: { id: job.id } } }),
});

stageContract({
  definition: cache,
  config: {
    ttl: 3_600_000,
    max_size: 1_000_000,
    max_answer_bytes: 100_000,
    scope: 'consumer',
    operations: ['generation'],
    version: '1',
  },
  env: makeStageEnv({ store: { ...makeStageEnv().store, findAnswer: () => Promise.resolve(undefined) } }),
  exchange: (signal) => makeExchange({ caller: makeCaller(), call: makeCall(), candidates }, { signal }),
});

stageContract({
  definition: singleFlight,
  config: { scope: 'consumer', max_answer_bytes: 100_000 },
  env: makeStageEnv(),
  // None of them is ever over, so no two are equal.
  exchange: (signal) =>
    makeExchange({ caller: makeCaller(), call: makeCall({ prompt: randomUUID() }), candidates }, { signal }),
});

stageContract({
  definition: withoutList(),
  config: fallbackConfig(),
  env: makeStageEnv(),
  exchange: (signal) => makeExchange({ candidates, target }, { signal }),
});

stageContract({
  definition: providerTransform,
  config: {},
  env: makeStageEnv(),
  exchange: (signal) => makeExchange({ call: makeCall({ parameters: { n: 2, seed: 7 } }), target }, { signal }),
});

stageContract({
  definition: dispatch,
  config: { max_reply_bytes: 1_000_000, poll_interval: 500, poll_interval_max: 3000, ping_interval: 15_000 },
  env: makeStageEnv(),
  exchange: (signal) => makeExchange({ target, upstream }, { signal }),
});

stageContract({
  definition: responseNormalise,
  config: { extras: [], strip_metadata: false },
  env: makeStageEnv(pictures),
  exchange: (signal) =>
    makeExchange(
      { call: makeCall(), target, reply: [makeAnswered(answering(large))] },
      { signal, attempts: [makeAttempt()] },
    ),
});

stageContract({
  definition: responseNormalise,
  config: { extras: ['latency'], strip_metadata: false },
  env: makeStageEnv(pictures),
  exchange: (signal) => {
    const call = makeCall({ responseFormat: 'b64_json' });
    return makeExchange(
      { call, target, reply: [makeAnswered(answering(linked))] },
      { signal, attempts: [makeAttempt()] },
    );
  },
});

stageContract({
  definition: decode,
  config: {},
  env: makeStageEnv(pictures),
  exchange: (signal) => {
    const answer = { created: 1, images: [{ payload: link }], usage: undefined, effective: {} };
    const response = { kind: 'images', form: undefined, framing: 'json', passThrough: false, extras: [] } as const;
    const route = makeRoute({ decode: true });
    return makeExchange({ target, result: completeResult(answer), response }, { signal, route });
  },
});

stageContract({
  definition: forward,
  config: {},
  env: makeStageEnv({
    route: makeRoute({ upstream: { url: new URL('https://api.example.com'), headers: {}, timeoutMs: 1000 } }),
    forward: {
      async forward({ signal }) {
        signal.throwIfAborted();
        return { status: 200 };
      },
    },
  }),
  exchange: (signal) => makeExchange({}, { signal }),
});

stageContract({
  definition: listModels,
  config: {},
  env: makeStageEnv({ catalogue: { entities } }),
  exchange: (signal) => makeExchange({ caller: anonymous }, { signal }),
});

/** The composite stage `fallback`, whose list does nothing. */
function withoutList(): StageDefinition<'candidates' | 'target', 'target', FallbackConfig> {
  const { composite: _composite, explain: _explain, create, ...definition } = fallback;
  return { ...definition, create: (config, env) => create(config, env, { run: () => Promise.resolve() }) };
}
