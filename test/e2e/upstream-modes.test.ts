/**
 * R14: whatever a provider does, a caller gets an answer of the right kind in time, the provider is let go of, the books move for
 * what may have been billed and nothing else, and the gateway goes on. What one and two targets make of the common faults is in
 * fault-matrix.test.ts; floods are measured in test/soak/upstream.test.ts.
 */
import { randomUUID } from 'node:crypto';
import { readdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isJsonObject } from '../../src/json.ts';
import { createTurns } from '../../src/turns.ts';
import { eventually } from '../fixtures/eventually.ts';
import { upstreamKey } from '../fixtures/fake-openai.ts';
import { gatewayConfig, type EntityDocument } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { connectionModes } from '../fixtures/upstream/connection-modes.ts';
import { contentModes } from '../fixtures/upstream/content-modes.ts';
import { doors } from '../fixtures/upstream/door-modes.ts';
import { framingModes } from '../fixtures/upstream/framing-modes.ts';
import { jobModes } from '../fixtures/upstream/job-modes.ts';
import { linkModes } from '../fixtures/upstream/link-modes.ts';
import { good, type Mode } from '../fixtures/upstream/mode.ts';
import { startRawProvider, type RawProvider } from '../fixtures/upstream/raw-provider.ts';
import { statusModes } from '../fixtures/upstream/status-modes.ts';
import { streamModes } from '../fixtures/upstream/stream-modes.ts';
import { postJson } from '../fixtures/setting.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';

const groups: Readonly<Record<string, readonly Mode[]>> = {
  connections: [...doors, ...connectionModes],
  framing: framingModes,
  statuses: statusModes,
  contents: contentModes,
  links: linkModes,
  jobs: jobModes,
  streams: streamModes,
};
const modes = Object.values(groups).flat();

/** Milliseconds that the entities give their provider, and in which a failure that waits for it is told. */
const timeoutMs = 1500;
const boundMs = timeoutMs + 3000;

/** What came of a mode. */
interface Outcome {
  readonly id: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly elapsedMs: number;
}

let gateway: Gateway;
let provider: RawProvider;
let temporary: string;
let behindDoors: readonly RawProvider[];
let outcomes: ReadonlyMap<Mode, Promise<Outcome>>;
let rows: Promise<ReadonlyMap<string, UsageRow>>;
const closing: (() => PromiseLike<unknown>)[] = [];

const nameOf = (mode: Mode): string => `mode-${String(modes.indexOf(mode))}`;
const modeOf = (name: string): Mode | undefined => modes[Number(name.slice('mode-'.length))];

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'pinhole-modes-'));
  provider = await startRawProvider((name) =>
    name === 'mode-9999' ? ({ reply }) => reply(good) : modeOf(name)?.serve,
  );
  behindDoors = await Promise.all(doors.map(({ greet }) => startRawProvider(() => undefined, greet)));
  closing.push(...[provider, ...behindDoors].map((each) => () => each.close()), () =>
    rm(temporary, { recursive: true }),
  );
  const entity = (id: string, baseUrl: string, kind = 'openai'): EntityDocument => ({
    id,
    provider: kind,
    health: { enabled: false },
    config: {
      connection: { base_url: baseUrl, token: upstreamKey, timeout: timeoutMs },
      options: { generation: { enabled: true } },
    },
  });
  const dispatch = { max_reply_bytes: '1536KiB', poll_interval: '5ms', poll_interval_max: '20ms' };
  gateway = await startGateway({
    env: { TMPDIR: temporary },
    config: gatewayConfig(
      [
        entity('main', `${provider.origin}/v1`),
        entity('luma', `${provider.origin}/dream-machine/v1`, 'luma'),
        entity('replicate', `${provider.origin}/v1`, 'replicate'),
        ...doors.map((door, index) =>
          entity(door.entity, `${(behindDoors[index]?.origin ?? '').replace('http', door.scheme)}/v1`),
        ),
      ],
      {
        budgets: [{ id: 'all', limit: { images: 10_000 }, window: 'lifetime' }],
        prices: [{ provider: 'openai', model: 'gpt-image-1', per_token: { text_input: 5, image_output: 40 } }],
        pipelines: {
          images: [
            'parse',
            'route-resolve',
            'constrain',
            'budget',
            {
              plugin: 'fallback',
              config: {
                stages: ['provider-transform', { plugin: 'dispatch', config: dispatch }, 'response-normalise'],
              },
            },
            'decode',
          ],
        },
      },
    ),
  });
  closing.unshift(() => gateway[Symbol.asyncDispose]());
  await send('mode-9999', {});
  // Those that hang do nothing but wait. They go first and all at once, so that no work of the others is in their time.
  const hanging = modes.filter(waits).map((mode) => [mode, send(nameOf(mode), mode)] as const);
  const over = Promise.allSettled(hanging.map(([, outcome]) => outcome));
  const turns = createTurns(16);
  const working = modes
    .filter((mode) => !waits(mode))
    .map((mode) => [mode, over.then(() => turns.run(() => send(nameOf(mode), mode)))] as const);
  outcomes = new Map([...hanging, ...working]);
  rows = Promise.allSettled(outcomes.values()).then(async () => {
    await eventually(async () => (await ledgerRows(gateway, 'state=reserved')).length === 0);
    return new Map((await ledgerRows(gateway)).map((row) => [row.request_id, row]));
  });
}, 60_000);
afterAll(async () => {
  for (const close of closing) await close();
});

const waits = ({ code }: Mode): boolean => code === 'upstream_timeout';

const models: Readonly<Record<string, string>> = { luma: 'photon-1', replicate: 'black-forest-labs/flux-schnell' };

async function send(name: string, { entity = 'main', body = {} }: Partial<Mode>): Promise<Outcome> {
  const id = randomUUID();
  const startedAtMs = performance.now();
  const model = `${entity}/${models[entity] ?? 'gpt-image-1'}`;
  const answer = await postJson(
    `${gateway.url}/v1/images/generations`,
    { model, prompt: name, ...body },
    { 'x-request-id': id },
  );
  const text = await answer.text().catch((error: unknown) => `the answer broke off: ${String(error)}`);
  const elapsedMs = performance.now() - startedAtMs;
  return { id, status: answer.status, headers: answer.headers, text, elapsedMs };
}

const errorObject = { message: expect.any(String), type: expect.any(String), code: expect.any(String) };

/** The `data` of the events, of which each must be a JSON object. */
function eventsIn(text: string): readonly Readonly<Record<string, unknown>>[] {
  expect(text).toMatch(/\n\n$/);
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => {
    const document: unknown = JSON.parse(data);
    if (!isJsonObject(document)) throw new Error(data);
    return document;
  });
}

const spellings = ['utf8', 'base64', 'hex'].map((encoding) =>
  Buffer.from(upstreamKey)
    .toString(encoding as BufferEncoding)
    .replace(/=+$/, ''),
);

describe.each(Object.entries(groups))('%s', (_group, members) => {
  it.each(members)('$name', async (mode) => {
    const { id, status, headers, text, elapsedMs } = await (outcomes.get(mode) as Promise<Outcome>);
    const short = text.slice(0, 500);
    expect(status, short).toBe(mode.status);
    expect(headers.get('x-request-id')).toBe(id);
    const isStream = headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (isStream) {
      const last = eventsIn(text).at(-1);
      if (mode.code === undefined) expect(last).toMatchObject({ type: 'image_generation.completed' });
      else expect(last).toMatchObject({ type: 'error', error: { ...errorObject, code: mode.code } });
    } else {
      expect(headers.get('content-type')).toBe('application/json');
      const document: unknown = JSON.parse(text);
      if (mode.status === 200) expect(document).toMatchObject({ data: expect.arrayContaining([]) as unknown });
      else expect(document).toMatchObject({ error: errorObject });
      if (mode.code !== undefined) expect(document).toMatchObject({ error: { code: mode.code } });
    }
    if (mode.status !== 200) expect(headers.get('x-should-retry')).toMatch(/^(true|false)$/);
    if (mode.retryAfter !== undefined) expect(headers.get('retry-after')).toBe(mode.retryAfter);
    expect(elapsedMs).toBeLessThan(boundMs);
    const shown = `${JSON.stringify([...headers])}${text}`;
    expect(spellings.filter((spelling) => shown.includes(spelling))).toEqual([]);
    if (mode.keeps !== true) await eventually(async () => provider.open(nameOf(mode)) === 0);
    const row = (await rows).get(id);
    if (mode.books !== undefined) expect([row?.state, row?.images]).toEqual(mode.books);
    expect(['settled', 'estimated', 'released']).toContain(row?.state);
    expect(Number(row?.cost_usd ?? 0)).toBeGreaterThanOrEqual(0);
    expect(Number(row?.cost_usd ?? 0)).toBeLessThan(20);
  });
});

describe('after all of it', () => {
  it('there are many modes', () => {
    expect(modes.length).toBeGreaterThan(110);
  });

  it('the gateway answers as before, and nothing is left', async () => {
    await rows;
    for (let call = 0; call < 5; call += 1) expect((await send('mode-9999', {})).status).toBe(200);
    await eventually(async () => (await readdir(join(temporary, 'pinhole')).catch(() => [])).length === 0);
    const openDoors = (): readonly string[] =>
      doors.flatMap(({ name }, index) => (behindDoors[index]?.openNow === 0 ? [] : [name]));
    await expect.poll(openDoors, { timeout: 10_000 }).toEqual([]);
  });
});
