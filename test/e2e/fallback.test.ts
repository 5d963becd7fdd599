/** What becomes of a call whose provider fails: the next candidate, another try, or the error. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import type { Script } from '../fixtures/fake-server.ts';
import { gatewayConfig, imagesPipeline, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

let first: FakeOpenAi;
let second: FakeOpenAi;
let gateway: Gateway;

const stages = ['provider-transform', 'dispatch', 'response-normalise'];
const pipeline = (config: object): readonly unknown[] =>
  imagesPipeline.map((stage) =>
    typeof stage === 'object' ? { plugin: 'fallback', config: { stages, backoff: '10ms', ...config } } : stage,
  );

beforeAll(async () => {
  first = await startFakeOpenAi();
  second = await startFakeOpenAi();
  const [generate] = openAiRoutes(['first', 'second']);
  gateway = await startGateway({
    config: gatewayConfig([openAiEntity(first, { id: 'first' }), openAiEntity(second, { id: 'second' })], {
      aliases: {
        alone: { targets: ['first/gpt-image-2'] },
        both: { targets: ['first/gpt-image-2', 'second/gpt-image-2'] },
      },
      pipelines: { images: pipeline({}), again: pipeline({ retries: 1 }), notFound: pipeline({ on_status: [404] }) },
      routes: ['images', 'again', 'notFound'].map((id) => ({ ...generate, id, path: `/${id}`, pipeline: id })),
    }),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await first.close();
  await second.close();
});
afterEach(() => {
  first.always(undefined);
  second.always(undefined);
});

/** What a call comes to while the first provider answers like this: status, code, and calls to either provider. */
async function outcome(path: string, model: string, script: Script): Promise<readonly unknown[]> {
  const before = [first.requests.length, second.requests.length];
  first.always(script);
  const answer = await postJson(`${gateway.url}/${path}`, { model, prompt: 'a lighthouse' });
  const { error } = await jsonOf(answer);
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return [answer.status, code, first.requests.length - (before[0] ?? 0), second.requests.length - (before[1] ?? 0)];
}

const one = 'first/gpt-image-2';
const both = 'both';
const failing = (status: number): Script => ({ status, body: { error: { message: 'No.' } } });

describe('a failure', () => {
  it.each<readonly [what: string, model: string, script: Script, expected: readonly unknown[]]>([
    ['of the provider', one, failing(500), [502, 'upstream_error', 1, 0]],
    ['of the provider', both, failing(500), [200, undefined, 1, 1]],
    ['that is a wish for patience', one, failing(429), [429, 'rate_limit_exceeded', 1, 0]],
    ['that is a wish for patience', both, failing(429), [200, undefined, 1, 1]],
    ['of our credential', both, failing(401), [200, undefined, 1, 1]],
    ['that is an answer which got lost', both, { cut: 'before_headers' }, [200, undefined, 1, 1]],
    ['that is a page', both, { html: true }, [200, undefined, 1, 1]],
    ['that is no answer', both, { body: { created: 1, data: [] } }, [200, undefined, 1, 1]],
    ['in the request', both, failing(400), [400, 'invalid_value', 1, 0]],
    ['that is an unknown model', both, failing(404), [404, 'model_not_found', 1, 0]],
  ])('%s, with %s, is answered by who can', async (_, model, script, expected) => {
    expect(await outcome('images', model, script)).toEqual(expected);
  });

  it('with a status that the file names is for the next candidate', async () => {
    expect(await outcome('notFound', both, failing(404))).toEqual([200, undefined, 1, 1]);
  });
});

describe('a lost answer', () => {
  it('is not asked for again under another name of the same target', async () => {
    const before = first.requests.length;
    first.always({ cut: 'before_headers' });
    const body = { model: 'alone', fallbacks: [one], prompt: 'a lighthouse' };
    const answer = await postJson(`${gateway.url}/images`, body);
    expect([answer.status, first.requests.length - before]).toEqual([502, 1]);
  });
});

describe('with a retry', () => {
  it('nobody is asked again once a candidate has refused the request itself', async () => {
    second.next(failing(400));
    expect(await outcome('again', both, failing(503))).toEqual([400, 'invalid_value', 1, 1]);
  });

  it('what has cost nothing is sent again, and answered when the provider is well again', async () => {
    first.next(failing(503));
    expect(await outcome('again', one, {})).toEqual([200, undefined, 2, 0]);
  });

  it('it is sent once more, and no further', async () => {
    expect(await outcome('again', one, failing(503))).toEqual([502, 'upstream_error', 2, 0]);
  });

  it('the next candidate comes first', async () => {
    expect(await outcome('again', both, failing(503))).toEqual([200, undefined, 1, 1]);
  });

  it.each<readonly [what: string, script: Script]>([
    ['an answer that got lost', { cut: 'before_headers' }],
    ['an answer that broke off', { truncate: true }],
    ['a gateway before the provider', failing(504)],
  ])('%s may have been paid for, and is not asked for again', async (_, script) => {
    const [status, , calls] = await outcome('again', one, script);
    expect([status, calls]).toEqual([expect.toSatisfy((code: number) => code >= 502), 1]);
  });
});
