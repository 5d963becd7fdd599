/** What a provider can do wrong, with nothing beside it and with a second candidate: the answer, who was asked, and what is remembered. */
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfSigned } from '../fixtures/certificate.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { originOf, type Script } from '../fixtures/fake-server.ts';
import { gatewayConfig, openAiEntity, type EntityDocument } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { healthOf } from '../fixtures/health.ts';
import { randomPng } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';
import { startFakeLuma } from '../fixtures/vendors/fake-luma.ts';
import type { FakeVendor } from '../fixtures/vendors/fake-vendor.ts';

interface Fault {
  readonly name: string;
  /** How the provider answers, where one is reached. */
  readonly script?: Script;
  /** Another entity than `sick`, which no request reaches. */
  readonly entity?: string;
  /** What the caller gets when there is no other candidate. */
  readonly status: number;
  readonly code: string;
  readonly retryAfter?: string;
  /** Whether the second candidate is asked. */
  readonly cured: boolean;
  /** Whether the target is out of service afterwards. */
  readonly opens: boolean;
  /** Whether its token is passed over afterwards: for the model, or for all models of its entity. */
  readonly rests?: 'model' | 'entity';
}

const failed = { status: 502, code: 'upstream_error', cured: true, opens: true };
const unreachable = { status: 502, code: 'upstream_unreachable', cured: true, opens: true };
const invalid = { status: 502, code: 'upstream_invalid_response', cured: true, opens: true };
const unauthorised = { status: 502, code: 'upstream_auth_failed', cured: true, opens: true, rests: 'entity' } as const;
const callers = { cured: false, opens: false };
const limited = { status: 429, code: 'rate_limit_exceeded', cured: true, opens: false, rests: 'model' } as const;

const refusal = (status: number, more: Partial<Script> = {}): Script => ({
  status,
  body: { error: { message: 'no', type: 'error', param: null, code: null } },
  ...more,
});
const slowDown = (headers: Readonly<Record<string, string>>, message = 'slow down'): Script => ({
  ...refusal(429, { headers }),
  body: { error: { message, type: 'requests', param: null, code: 'rate_limit_exceeded' } },
});
const documentOf = (data: readonly object[]): Script => ({ status: 200, body: { created: 1_760_000_000, data } });
const date = 'Thu, 26 Nov 2026 10:00:00 GMT';

const faults: readonly Fault[] = [
  { name: 'a refused connection', entity: 'refused', ...unreachable },
  { name: 'a name without an address', entity: 'nameless', ...unreachable },
  { name: 'a certificate that is not trusted', entity: 'untrusted', ...unreachable },
  { name: 'a reset before the headers', script: { cut: 'before_headers' }, ...failed },
  { name: 'a reset after the headers', script: { cut: 'mid_body' }, ...failed },
  {
    name: 'headers that do not come',
    script: { hold: new Promise<void>(() => {}) },
    ...failed,
    status: 504,
    code: 'upstream_timeout',
  },
  { name: 'truncated JSON', script: { truncate: true }, ...invalid },
  { name: 'an HTML page', script: { html: true }, ...invalid },
  { name: 'text', script: { status: 200, body: 'OK', headers: { 'content-type': 'text/plain' } }, ...invalid },
  { name: 'invalid base64', script: documentOf([{ b64_json: '!!! not base64 !!!' }]), ...invalid },
  { name: 'no pictures', script: documentOf([]), ...invalid },
  { name: '400', script: refusal(400), status: 400, code: 'invalid_value', ...callers },
  { name: '401', script: refusal(401), ...unauthorised },
  { name: '403', script: refusal(403), ...unauthorised },
  { name: '404', script: refusal(404), status: 404, code: 'model_not_found', ...callers },
  { name: '409', script: refusal(409), status: 409, code: 'invalid_value', ...callers },
  { name: '422', script: refusal(422), status: 422, code: 'invalid_value', ...callers },
  { name: '429', script: slowDown({}), ...limited },
  { name: '429 with seconds', script: slowDown({ 'retry-after': '7' }), ...limited, retryAfter: '7' },
  { name: '429 with milliseconds', script: slowDown({ 'retry-after-ms': '6500' }), ...limited, retryAfter: '7' },
  {
    name: '429 with a date',
    script: slowDown({ 'retry-after': 'Thu, 26 Nov 2026 10:00:30 GMT', date }),
    ...limited,
    retryAfter: '30',
  },
  {
    name: '429 with a length',
    script: slowDown({ 'x-ratelimit-reset-requests': '6m0s' }),
    ...limited,
    retryAfter: '360',
  },
  {
    name: '429 with a moment',
    script: slowDown({ 'x-ratelimit-reset-requests': String(Date.parse(date) / 1000 + 45), date }),
    ...limited,
    retryAfter: '45',
  },
  { name: '429 with words', script: slowDown({}, 'Please try again in 12s.'), ...limited, retryAfter: '12' },
  { name: '500', script: refusal(500), ...failed },
  { name: '502', script: refusal(502, { html: true }), ...failed },
  { name: '503', script: refusal(503), ...failed },
  { name: '504', script: refusal(504), ...failed },
  { name: 'a job without an end', entity: 'endless', ...failed, status: 504, code: 'upstream_timeout' },
];

/** A model for each case, so that none finds what another has left behind. */
const modelOf = (fault: Fault, targets: 1 | 2): string =>
  fault.entity === 'endless'
    ? (['photon-1', 'photon-flash-1'][targets - 1] ?? '')
    : `case-${String(faults.indexOf(fault))}-${String(targets)}`;
const aliasOf = (fault: Fault, targets: 1 | 2): string =>
  `${targets === 1 ? 'one' : 'two'}-${String(faults.indexOf(fault))}`;

/** The entity of a case, which is its own where more than the model is remembered. */
const entityOf = (fault: Fault, targets: 1 | 2): string =>
  fault.rests === 'entity' ? `sick-${modelOf(fault, targets)}` : (fault.entity ?? 'sick');

let sick: FakeOpenAi;
let well: FakeOpenAi;
let luma: FakeVendor;
let gateway: Gateway;
let temporary: string;
let filesAtFirst: number;
const closing: (() => PromiseLike<unknown>)[] = [];

beforeAll(async () => {
  const alsoKnown = faults.flatMap((fault) => [modelOf(fault, 1), modelOf(fault, 2)]);
  sick = await startFakeOpenAi({ alsoKnown });
  well = await startFakeOpenAi({ alsoKnown });
  luma = await startFakeLuma();
  const tls = createServer(selfSigned('127.0.0.1'), (_request, response) => void response.end());
  tls.listen(0, '127.0.0.1');
  await once(tls, 'listening');
  temporary = await mkdtemp(join(tmpdir(), 'pinhole-matrix-'));
  closing.push(
    () => sick.close(),
    () => well.close(),
    () => luma.close(),
    () =>
      new Promise<void>((resolve) => {
        tls.close(() => resolve());
      }),
    () => rm(temporary, { recursive: true }),
  );
  // One failure is enough, and for the rest of the test.
  const health = { failures: 1, open_for: '1h', last_resort: false };
  const entity = (id: string, baseUrl: string): EntityDocument => ({
    id,
    provider: 'openai',
    health,
    config: {
      connection: { base_url: baseUrl, token: upstreamKey, timeout: 1500 },
      options: { generation: { enabled: true }, edition: { enabled: true } },
    },
  });
  const own = faults.filter(({ rests }) => rests === 'entity');
  const targets = faults.flatMap((fault): [string, object][] => {
    const target = (of: 1 | 2): string => `${entityOf(fault, of)}/${modelOf(fault, of)}`;
    return [
      [aliasOf(fault, 1), { targets: [target(1)] }],
      [aliasOf(fault, 2), { targets: [target(2), `well/${modelOf(fault, 2)}`] }],
    ];
  });
  gateway = await startGateway({
    env: { TMPDIR: temporary },
    config: gatewayConfig(
      [
        entity('sick', sick.baseUrl),
        ...own.flatMap((fault) => ([1, 2] as const).map((of) => entity(entityOf(fault, of), sick.baseUrl))),
        openAiEntity(well, { id: 'well', name: 'Well' }),
        entity('refused', 'http://127.0.0.1:1/v1'),
        entity('nameless', 'http://does-not-exist.invalid/v1'),
        entity('untrusted', `${originOf(tls).replace('http:', 'https:')}/v1`),
        {
          id: 'endless',
          provider: 'luma',
          health,
          config: {
            connection: { base_url: `${luma.origin}/dream-machine/v1`, token: upstreamKey, timeout: 1500 },
            options: { generation: { enabled: true } },
          },
        },
      ],
      { aliases: Object.fromEntries(targets), budgets: [{ id: 'all', limit: { images: 10_000 }, window: 'lifetime' }] },
    ),
  });
  closing.unshift(() => gateway[Symbol.asyncDispose]());
  await (await generate('well/gpt-image-1')).text();
  filesAtFirst = await gateway.openFiles();
});
afterAll(async () => {
  for (const close of closing) await close();
});

/** As a link, so that the gateway reads the whole of an answer before its own begins. */
const generate = (model: string): Promise<Response> =>
  postJson(`${gateway.url}/v1/images/generations`, { model, prompt: 'an endless sea', response_format: 'url' });

/** Requests that have reached each provider. */
const counts = () => ({
  sick: sick.requests.length,
  well: well.requests.length,
  luma: luma.requests.filter(({ method }) => method === 'POST').length,
});

async function tried<Value>(work: () => Promise<Value>) {
  const before = counts();
  const value = await work();
  const after = counts();
  const asked = { sick: after.sick - before.sick, well: after.well - before.well, luma: after.luma - before.luma };
  return { value, asked };
}

const reaches = ({ entity = 'sick' }: Fault) => ({
  sick: entity === 'sick' ? 1 : 0,
  well: 0,
  luma: entity === 'endless' ? 1 : 0,
});

/** What is remembered of a case's target. */
async function remembered(fault: Fault, targets: 1 | 2) {
  const model = modelOf(fault, targets);
  const { targets: known, resting_tokens: resting } = await healthOf(gateway, entityOf(fault, targets));
  return { state: known.find((each) => each.model === model)?.state ?? 'closed', resting };
}

const nobody = { sick: 0, well: 0, luma: 0 };

describe.each(faults)('$name', (fault) => {
  const state = fault.opens ? 'open' : 'closed';

  it('with one target', async () => {
    if (fault.script !== undefined) sick.next(fault.script);
    const { value: answer, asked } = await tried(() => generate(aliasOf(fault, 1)));
    expect(answer.status).toBe(fault.status);
    expect(await jsonOf(answer)).toMatchObject({
      error: { code: expect.stringMatching(codePattern(fault)) as string },
    });
    expect(answer.headers.get('retry-after')).toBe(fault.retryAfter ?? null);
    expect(asked).toEqual(reaches(fault));
    const { state: actual, resting } = await remembered(fault, 1);
    expect(actual).toBe(state);
    if (fault.rests !== undefined) expect(resting).not.toEqual([]);

    if (!fault.opens) return;
    const again = await tried(() => generate(aliasOf(fault, 1)));
    expect(again.asked).toEqual(nobody);
    expect(again.value.status).toBe(503);
    expect(Number(again.value.headers.get('retry-after'))).toBeGreaterThan(3500);
    expect(again.value.headers.get('x-should-retry')).toBe('true');
    expect(await jsonOf(again.value)).toMatchObject({ error: { code: 'no_healthy_target', type: 'upstream_error' } });
  });

  it('with a second one', async () => {
    if (fault.script !== undefined) sick.next(fault.script);
    const { value: answer, asked } = await tried(() => generate(aliasOf(fault, 2)));
    await answer.text();
    expect(answer.status).toBe(fault.cured ? 200 : fault.status);
    expect(asked).toEqual({ ...reaches(fault), well: fault.cured ? 1 : 0 });
    expect(answer.headers.get('x-pinhole-attempts')).toBe(fault.cured ? '2' : '1');
    expect((await remembered(fault, 2)).state).toBe(state);

    if (!fault.cured) return;
    const again = await tried(() => generate(aliasOf(fault, 2)));
    await again.value.text();
    expect([again.value.status, again.value.headers.get('x-pinhole-entity')]).toEqual([200, 'well']);
    expect(again.asked).toEqual({ ...nobody, well: 1 });
  });
});

/** A provider's own code is shown where it has one. */
const codePattern = ({ code }: Fault): RegExp => new RegExp(`^${code}$`);

describe('after all of it', () => {
  it('a large picture has been sent to the second candidate from where it was spooled', async () => {
    const picture = randomPng(2 * 1024 * 1024);
    expect(picture.byteLength).toBeGreaterThan(1024 * 1024);
    sick.next(refusal(503));
    const body = formOf({ model: 'two-11', prompt: 'a lighthouse', image: picture });
    const { value: answer, asked } = await tried(() =>
      fetch(`${gateway.url}/v1/images/edits`, { method: 'POST', body }),
    );
    await answer.text();
    expect(answer.status).toBe(200);
    expect(asked).toEqual({ sick: 1, well: 1, luma: 0 });
    const sent = [sick, well].map((fake) => fake.last().pictures.map(({ sha256 }) => sha256));
    expect(sent[0]).toEqual(sent[1]);
    expect(sent[0]).toHaveLength(1);
  });

  it('no connection, file or reservation is left', async () => {
    await eventually(async () => [...sick.requests, ...well.requests].every(({ fate }) => fate !== 'open'));
    await eventually(async () => (await ledgerRows(gateway, 'state=reserved')).length === 0);
    await eventually(async () => (await readdir(join(temporary, 'pinhole')).catch(() => [])).length === 0);
    for (const id of ['sick', 'well', 'refused', 'nameless', 'untrusted', 'endless']) {
      expect(await healthOf(gateway, id)).toMatchObject({ in_flight: 0, queued: 0 });
    }
    // Each of the ten entities may keep a connection for the next request.
    expect(await gateway.openFiles()).toBeLessThanOrEqual(filesAtFirst + 10);
  });
});
