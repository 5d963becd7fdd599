import { describe, expect, it } from 'vitest';
import { builtIn } from '../../../src/gateway.ts';
import { everyModel } from '../../../src/model-filter.ts';
import { extendRegistry } from '../../../src/pipeline/registry.ts';
import { runStages, type RunningExchange } from '../../../src/pipeline/run.ts';
import { anonymous } from '../../../src/pipeline/settings.ts';
import { jsonResponse } from '../../../src/pipeline/response.ts';
import {
  ConfigError,
  defineComposite,
  defineStage,
  type AnyStage,
  type StageEnv,
} from '../../../src/pipeline/stage.ts';
import { compile, type CompiledRoute } from '../../../src/runtime/compile.ts';
import { createResources } from '../../../src/runtime/resources.ts';
import { inertServices } from '../../../src/runtime/services.ts';
import { makeExchange, silentLog } from '../../fixtures/exchange.ts';
import { openAiRoutes, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { loadFile } from './config-file.ts';

const anyConfig = { type: 'object' } as const;

/** Answers with its config. */
const answer = defineStage({
  name: 'answer',
  schema: anyConfig,
  reads: [],
  writes: ['response'],
  create: (config) => () => ({ response: jsonResponse(200, config) }),
});

/** Refuses whatever it is configured with, at the pointer of its `at`. */
const picky = defineStage({
  name: 'picky',
  schema: anyConfig,
  reads: [],
  writes: [],
  create({ at }: { readonly at: string }) {
    throw new ConfigError(at, 'this will not do');
  },
});

/** Runs its list as often as it says. */
const times = defineComposite({
  name: 'times',
  schema: {
    type: 'object',
    properties: {
      count: { type: 'integer' },
      stages: { type: 'array', items: { $ref: '../gateway.schema.json#/definitions/stage' } },
    },
  },
  reads: [],
  writes: [],
  create({ count }: { readonly count: number }, _env, nested) {
    return async function times(exchange) {
      for (let run = 0; run < count; run += 1) await nested.run(exchange);
    };
  },
});

describe('a route', () => {
  it('has everything that its stages need, and a pipeline that runs', async () => {
    const { routes } = await compiled({
      routes: [
        {
          id: 'rest',
          path: '/v1/*',
          pipeline: [{ plugin: 'answer', config: { hello: 'there' } }],
          upstream: { url: 'https://upstream.example/base', headers: { Authorization: 'Bearer sk-1' }, timeout: '5s' },
          defaults: { size: '1024x1024' },
          strict: true,
          url_mode: 'host',
          max_size_upload: '1MiB',
        },
      ],
    });
    const found = routes('/v1/whatever');
    expect(found?.route).toMatchObject({
      id: 'rest',
      operation: undefined,
      refs: [],
      decode: false,
      strict: true,
      urlMode: 'host',
      maxUploadBytes: 1024 * 1024,
      defaults: { size: '1024x1024' },
      models: everyModel,
      upstream: { url: new URL('https://upstream.example/base'), timeoutMs: 5000 },
    });
    expect(JSON.stringify(found?.route)).not.toContain('sk-1');
    const { authorization } = found?.route.upstream?.headers ?? {};
    expect(typeof authorization === 'object' && authorization.reveal()).toBe('Bearer sk-1');
    expect(await bodyOf(found)).toEqual({ hello: 'there' });
  });

  it('compares hosts and header names without their case', async () => {
    const { routes } = await compiled({
      routes: [{ id: 'a', path: '/', pipeline: ['answer'], hosts: ['Example.COM'], headers: { 'X-Team': 'Growth' } }],
    });
    expect(routes('/', { host: 'example.com', 'x-team': 'Growth' })?.route.id).toBe('a');
    expect(routes('/', { host: 'example.com', 'x-team': 'growth' })).toBeUndefined();
  });

  it('gives its stages itself, the catalogue and a log of their own', async () => {
    const seen: StageEnv[] = [];
    const bound: unknown[] = [];
    const log = { ...silentLog, child: (fields: object) => (bound.push(fields), silentLog) };
    const curious = defineStage({
      name: 'curious',
      schema: anyConfig,
      reads: [],
      writes: [],
      create: (_config, env) => (seen.push(env), () => {}),
    });
    await compiled({ routes: [{ id: 'a', path: '/', pipeline: ['curious', 'answer'] }] }, [curious], log);
    expect(seen.map(({ route, catalogue }) => [route.id, [...catalogue.entities.keys()]])).toEqual([
      ['a', ['sandbox']],
    ]);
    expect(bound).toEqual([{ stage: 'curious' }, { stage: 'answer' }]);
  });
});

describe('a stage that is switched off', () => {
  it('does not run, is not created, and fills nothing', async () => {
    const off = { plugin: 'picky', enabled: false, config: { at: '' } };
    const { routes } = await compiled({ routes: [{ id: 'a', path: '/', pipeline: [off, 'answer'] }] });
    expect(routes('/')?.stages.map(({ name }) => name)).toEqual(['answer']);
    expect(
      await problems({
        routes: [{ id: 'a', path: '/', pipeline: ['authenticate', { plugin: 'answer', enabled: false }] }],
      }),
    ).toMatchObject([
      { pointer: '/routes/0/pipeline/0', message: expect.stringMatching(/^this pipeline ends without an/) },
    ]);
  });

  it('takes the list that it owns with it', async () => {
    const off = {
      plugin: 'times',
      enabled: false,
      config: { count: 1, stages: [{ plugin: 'picky', config: { at: '' } }] },
    };
    const { routes } = await compiled({ routes: [{ id: 'a', path: '/', pipeline: [off, 'answer'] }] });
    expect(routes('/')?.stages).toHaveLength(1);
  });

  it('may stand in the list of a composite', async () => {
    const off = { plugin: 'picky', enabled: false, config: { at: '' } };
    const composite = { plugin: 'times', config: { count: 2, stages: [off, { plugin: 'answer', config: { n: 1 } }] } };
    const { routes } = await compiled({ routes: [{ id: 'a', path: '/', pipeline: [composite] }] });
    expect(await bodyOf(routes('/'))).toEqual({ n: 1 });
  });
});

describe('what is wrong with a file', () => {
  it('is told of every pipeline, those too that no route uses, with the stage to move', async () => {
    expect(
      await problems({
        pipelines: {
          unused: ['route-resolve', 'parse', 'answer'],
          'a:b': ['authenticate'],
          images: ['answer'],
        },
        routes: [{ id: 'a', path: '/', pipeline: ['budget', 'answer'] }, ...openAiRoutes(['sandbox'])],
      }),
    ).toMatchObject([
      {
        pointer: '/pipelines/unused/0',
        message:
          '`route-resolve` reads `call`, which `parse` fills only further down: move `parse` above `route-resolve`',
      },
      { pointer: '/pipelines/a:b/0', message: expect.stringContaining('this pipeline ends without an answer: add') },
      {
        pointer: '/routes/0/pipeline/0',
        message: '`budget` reads `call`, which no stage of this pipeline fills: add `parse` above it',
      },
      {
        pointer: '/routes/0/pipeline/0',
        message: '`budget` reads `candidates`, which no stage of this pipeline fills: add `route-resolve` above it',
      },
    ]);
  });

  it('is told when jobs would be made that nobody could ask after', async () => {
    const images = ['parse', 'route-resolve', 'respond-async', 'provider-transform', 'dispatch', 'response-normalise'];
    const job = { id: 'job', path: '/v1/images/jobs/:id', pipeline: ['image-job'] };
    const found = await problems({ pipelines: { images } });
    expect(found[0]).toMatchObject({
      pointer: '/pipelines/images/2/config',
      message: expect.stringContaining('nobody could ask after a job: add a route'),
    });
    expect(await problems({ pipelines: { images }, routes: [...openAiRoutes(['sandbox']), job] })).toEqual([]);
    const nested = { plugin: 'fallback', config: { stages: images.slice(2) } };
    const within = { id: 'within', path: '/', refs: ['sandbox'], pipeline: ['parse', 'route-resolve', nested] };
    expect(await problems({ routes: [job, within] })).toContainEqual({
      pointer: '/routes/1/pipeline/2/config/stages/0',
      message: '`respond-async` makes jobs of whole calls: put it above `fallback`',
    });
    const late = {
      id: 'late',
      path: '/late',
      refs: ['sandbox'],
      pipeline: ['parse', 'route-resolve', 'provider-transform', ...images.slice(2)],
    };
    expect((await problems({ routes: [job, late] }))[0]?.message).toMatch(
      /^`respond-async` must run before `upstream`/,
    );
  });

  it('names all stages that could help, those of extensions included', async () => {
    const [problem] = await problems({ routes: [{ id: 'a', path: '/', pipeline: ['authenticate'] }] });
    expect(problem?.message).toBe(
      'this pipeline ends without an answer: add `response-normalise` or `forward` or `list-models` or `serve-image` or `image-job` or `answer` at its end',
    );
  });

  it('is told of slots that a stage needs only because of its config', async () => {
    const choosy = defineStage({
      name: 'choosy',
      schema: anyConfig,
      reads: [],
      writes: [],
      optional: ['call', 'caller'],
      needs: ({ slots }: { readonly slots: readonly ('call' | 'caller')[] }) => slots,
      create: () => () => {},
    });
    const at = (...slots: readonly string[]) => ({ plugin: 'choosy', config: { slots } });
    const ending = ['authenticate', 'parse', 'answer'];
    const found = async (pipeline: readonly unknown[]): Promise<readonly string[]> => {
      const result = await compileFile({ routes: [{ id: 'a', path: '/', pipeline }] }, [choosy]);
      return result.kind === 'invalid' ? result.problems.map(({ message }) => message) : [];
    };
    expect(await found([at(), ...ending])).toEqual([]);
    expect(await found([at('call'), ...ending])).toEqual([
      '`choosy` reads `call`, which `parse` fills only further down: move `parse` above `choosy`',
    ]);
    expect(await found([at('caller'), ...ending])).toEqual([
      '`choosy` reads `caller` before `authenticate` has established it: move `authenticate` above `choosy`',
    ]);
    expect(await found(['authenticate', 'parse', at('call', 'caller'), 'answer'])).toEqual([]);
    expect(await found([at('caller'), 'answer'])).toEqual([]);
  });

  it('is told once, however many routes share the pipeline', async () => {
    const shared = { pipeline: 'shared' };
    const found = await problems({
      pipelines: { images: ['answer'], shared: ['budget', 'answer'] },
      routes: [{ id: 'a', path: '/a', ...shared }, { id: 'b', path: '/b', ...shared }, ...openAiRoutes(['sandbox'])],
    });
    expect(found.map(({ pointer }) => pointer)).toEqual(['/pipelines/shared/0', '/pipelines/shared/0']);
  });

  it('is told where a stage’s config is at fault, in composites too', async () => {
    const at = (pointer: string) => ({ plugin: 'picky', config: { at: pointer } });
    const composite = { plugin: 'times', config: { count: 1, stages: ['authenticate', at('/rules/0')] } };
    expect(await problems({ routes: [{ id: 'a', path: '/', pipeline: [at(''), composite, 'answer'] }] })).toEqual([
      { pointer: '/routes/0/pipeline/0/config', message: 'this will not do' },
      { pointer: '/routes/0/pipeline/1/config/stages/1/config/rules/0', message: 'this will not do' },
    ]);
  });
});

type Routes = (path: string, headers?: Readonly<Record<string, string>>) => CompiledRoute | undefined;

async function compiled(
  given: Readonly<Record<string, unknown>>,
  stages: readonly AnyStage[] = [],
  log = silentLog,
): Promise<{ readonly routes: Routes }> {
  const result = await compileFile(given, stages, log);
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.problems));
  return {
    routes(path, headers = {}) {
      const match = result.router.match('POST', path, headers);
      return match.kind === 'found' ? match.route : undefined;
    },
  };
}

async function problems(given: Readonly<Record<string, unknown>>) {
  const result = await compileFile(given);
  return result.kind === 'invalid' ? result.problems : [];
}

async function compileFile(
  given: Readonly<Record<string, unknown>>,
  stages: readonly AnyStage[] = [],
  log = silentLog,
): Promise<ReturnType<typeof compile>> {
  const registry = extendRegistry(builtIn, { stages: [answer, picky, times, ...stages] });
  const config = await loadFile({ image_models: [sandboxEntity()], ...given }, registry);
  return compile({
    config,
    registry,
    share: createResources(silentLog).lease().use,
    services: { ...inertServices, log },
    createClient: () => {
      throw new Error('nothing is sent here');
    },
  });
}

/** Runs a route's pipeline, and parses what it answers with. */
async function bodyOf(route: CompiledRoute | undefined): Promise<unknown> {
  const exchange: RunningExchange = Object.assign(makeExchange({ caller: anonymous }), {
    timings: new Map<string, number>(),
  });
  await runStages(route?.stages ?? [], exchange, () => 0);
  const { response } = exchange;
  return response?.kind === 'body' && response.body instanceof Uint8Array
    ? JSON.parse(Buffer.from(response.body).toString())
    : response;
}
