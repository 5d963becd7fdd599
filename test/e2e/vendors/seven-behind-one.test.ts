import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { ledgerRows } from '../../fixtures/usage.ts';
import { azureOpenAiSuite } from '../../fixtures/vendors/fake-azure-openai.ts';
import { cloudTempleSuite } from '../../fixtures/vendors/fake-cloud-temple.ts';
import { geminiSuite } from '../../fixtures/vendors/fake-gemini.ts';
import { grokSuite } from '../../fixtures/vendors/fake-grok.ts';
import { hiveSuite } from '../../fixtures/vendors/fake-hive.ts';
import { lumaSuite } from '../../fixtures/vendors/fake-luma.ts';
import { openaiSuite } from '../../fixtures/vendors/fake-openai.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';

/** Seven vendors behind one route, each as an entity `…-main` whose name is `… Pictures`. */
const suites: readonly VendorSuite[] = [
  openaiSuite,
  azureOpenAiSuite,
  cloudTempleSuite,
  geminiSuite,
  grokSuite,
  lumaSuite,
  hiveSuite,
];

const fakes = new Map<string, FakeVendor>();
let gateway: Gateway;
let client: OpenAI;

beforeAll(async () => {
  for (const suite of suites) fakes.set(suite.provider, await suite.start());
  const entities = suites.map((suite) => entityOf(suite, fakes.get(suite.provider)));
  const aliases = Object.fromEntries(
    suites.map(({ provider, generation }) => [
      `best-of-${provider}`,
      { targets: [`${provider}-main/${generation.model}`] },
    ]),
  );
  gateway = await startGateway({ config: gatewayConfig([...entities, sandboxEntity()], { aliases }) });
  client = openAiClient(gateway);
});
afterAll(async () => {
  try {
    await gateway[Symbol.asyncDispose]();
  } finally {
    await Promise.all(Array.from(fakes.values(), (fake) => fake.close()));
  }
});

function entityOf(suite: VendorSuite, fake: FakeVendor | undefined) {
  if (fake === undefined) throw new Error('the fake has not been started');
  const { provider, generation } = suite;
  return {
    id: `${provider}-main`,
    name: `${provider} Pictures`,
    provider,
    config: { connection: suite.connection(fake), options: { generation: { model: generation.model } } },
  };
}

/** The vendors that were asked for pictures during a call. */
async function askedBy(call: () => Promise<unknown>): Promise<readonly string[]> {
  const counts = (): number[] => suites.map(({ provider, pictures }) => fakes.get(provider)?.to(pictures).length ?? 0);
  const before = counts();
  await call();
  const after = counts();
  return suites.flatMap(({ provider }, index) => (after[index] === before[index] ? [] : [provider]));
}

const generate = (model?: string): Promise<OpenAI.ImagesResponse> =>
  client.images.generate({
    prompt: 'a lighthouse',
    response_format: 'b64_json',
    ...(model === undefined ? {} : { model }),
  });

describe.each(suites)('$provider behind a route of many', ({ provider, generation }) => {
  const { model } = generation;

  it.each([
    ['its type', `${provider}/${model}`],
    ['the entity’s id', `${provider}-main/${model}`],
    ['the entity’s slug', `${provider}-pictures/${model}`],
    ['the other spelling of the slug', `${provider.replaceAll('-', '_')}_pictures/${model}`],
    ['the entity’s id and ###', `${provider}-main###${model}`],
    ['an alias', `best-of-${provider}`],
  ])('is meant by %s [O06, O17, O18, G06]', async (_, asked) => {
    const seen = await askedBy(async () => expect(picturesOf(await generate(asked))).toHaveLength(1));
    expect(seen).toEqual([provider]);
  });
});

it('a bare model, and none at all, go to the first of the route [O20]', async () => {
  const [first] = suites;
  expect(await askedBy(() => generate(first?.generation.model))).toEqual([first?.provider]);
  expect(await askedBy(() => generate())).toEqual([first?.provider]);
});

it('another name of the same provider means it as well', async () => {
  expect(await askedBy(() => generate(`x-ai/${grokSuite.generation.model}`))).toEqual(['grok']);
});

it('what a vendor says that a picture costs is told to the caller, and stands in the ledger [O33]', async () => {
  const answer = await fetch(`${gateway.url}/v1/images/generations?embed_costs=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'costly' },
    body: JSON.stringify({ model: `grok/${grokSuite.generation.model}`, prompt: 'a lighthouse' }),
  });
  expect(answer.headers.get('x-pinhole-cost-usd')).toBe('0.06');
  expect(await answer.json()).toMatchObject({ cost: 0.06 });
  await expect
    .poll(() => ledgerRows(gateway, 'request_id=costly'))
    .toMatchObject([{ state: 'settled', cost_usd: '0.06', provider: 'grok' }]);
});

it('a caller’s fallbacks lead from one vendor to another, each in its own terms [G16]', async () => {
  fakes.get('openai')?.next({ status: 500, body: { error: { message: 'no', type: 'server_error' } } });
  const asked = await askedBy(async () => {
    const answer = await fetch(`${gateway.url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: `openai/${openaiSuite.generation.model}`,
        prompt: 'a lighthouse',
        fallbacks: [`gemini/${geminiSuite.generation.model}`],
      }),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pinhole-attempts')).toBe('2');
    expect(answer.headers.get('x-pinhole-provider')).toBe('gemini');
  });
  expect(asked).toEqual(['openai', 'gemini']);
});

it('an edit that only some vendors have is refused before anything is sent [O29, O30]', async () => {
  const before = Array.from(fakes.values(), (fake) => fake.requests.length);
  const error = await apiError(
    client.images.edit({
      model: `hive/${hiveSuite.generation.model}`,
      prompt: 'add a boat',
      image: new File(['x'], 'x.png', { type: 'image/png' }),
    }),
  );
  expect(error.status).toBe(400);
  expect(Array.from(fakes.values(), (fake) => fake.requests.length)).toEqual(before);
});
