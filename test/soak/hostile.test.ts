/** R9, R15, R16, R17, R24: a graceful stop, and clients that mean harm. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { upstreamKey } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { callerKey } from '../fixtures/openai-client.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { report } from './figures.ts';

let setting: Setting;
const key = { 'x-api-key': callerKey };

beforeAll(async () => {
  setting = await start();
});
afterAll(() => setting.stop());

function start(): Promise<Setting> {
  return startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        consumers: [{ id: 'web-app', key: callerKey }],
        server: { listen: '127.0.0.1:0', timeouts: { headers: '10s', body: '30s' } },
      }),
  });
}

const call = async ({ gateway }: Setting): Promise<void> => {
  const answer = await postJson(`${gateway.url}/v1/images/generations`, { prompt: 'a lighthouse' }, key);
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`status ${String(answer.status)}: ${text}`);
};

describe('R9: a graceful stop loses nothing', () => {
  it('SIGTERM under load', async () => {
    const stopping = await start();
    const { gateway, fake } = stopping;
    fake.always({ delayMs: 20 });
    let served = 0;
    let turnedAway = 0;
    const traffic = startTraffic(32, async () => {
      try {
        await call(stopping);
        served += 1;
      } catch {
        // A new connection is refused, an idle one may be closed just as the next request is written to it: what was
        // not taken is not lost, for nothing was paid for it. What was paid for is counted below.
        turnedAway += 1;
        await pause(5);
      }
    });
    await traffic.pass(500);
    const startedAtMs = performance.now();
    gateway.signal('SIGTERM');
    const code = await gateway.output.exit(15_000);
    const elapsedMs = Math.round(performance.now() - startedAtMs);
    await traffic.stop();
    const { billed } = fake;
    report('R9', 'a graceful stop', { code, 'after ms': elapsedMs, billed, served, 'turned away': turnedAway });
    await stopping.stop();
    expect(code).toBe(0);
    expect(elapsedMs).toBeLessThanOrEqual(10_000);
    expect(served).toBe(billed);
    expect(turnedAway).toBeGreaterThan(0);
  });
});

/** Sends bytes as they are, and reads until the gateway closes the connection, or for as long as patience lasts. */
async function exchange(bytes: Buffer | string, patienceMs = 3000): Promise<string> {
  const { hostname, port } = new URL(setting.gateway.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => socket.destroy());
  const patience = setTimeout(() => socket.destroy(), patienceMs);
  socket.write(bytes);
  await once(socket, 'close');
  clearTimeout(patience);
  return text;
}

const statuses = (text: string): number[] =>
  [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));

const goodBody = JSON.stringify({ prompt: 'a lighthouse', n: 1, size: '1024x1024' });
const goodForm = '--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na lighthouse\r\n--x--\r\n';
const goodRequest = (body: string, type: string): string =>
  `POST /v1/images/generations HTTP/1.1\r\nhost: gateway\r\nx-api-key: ${callerKey}\r\ncontent-type: ${type}\r\n` +
  `content-length: ${String(Buffer.byteLength(body))}\r\nconnection: close\r\n\r\n${body}`;

describe('R15: no client request breaks the gateway', () => {
  const tools: readonly (readonly [string, string])[] = [
    ['JSON', goodRequest(goodBody, 'application/json')],
    ['multipart', goodRequest(goodForm, 'multipart/form-data; boundary=x')],
  ];

  /** Longer than the gateway waits for a head, and for a body. */
  const patienceMs = 60_000;

  it.each(tools)('300 %s requests with bytes changed, cut or doubled', async (kind, good) => {
    const answers = new Map<number, number>();
    const strange: string[] = [];
    const original = Buffer.from(good);
    const mutation = fc.record({
      at: fc.nat(original.byteLength - 1),
      byte: fc.nat(255),
      length: fc.nat(40),
      how: fc.constantFrom('replace', 'remove', 'double', 'cut'),
    });
    const spoil = async ({
      at,
      byte,
      length,
      how,
    }: typeof mutation extends fc.Arbitrary<infer Value> ? Value : never) => {
      const [head, middle, tail] = [
        original.subarray(0, at),
        original.subarray(at, at + length),
        original.subarray(at + length),
      ];
      const changed = {
        replace: Buffer.concat([head, Buffer.of(byte), original.subarray(at + 1)]),
        remove: Buffer.concat([head, tail]),
        double: Buffer.concat([head, middle, middle, tail]),
        cut: head,
      }[how];
      const text = await exchange(changed, patienceMs);
      const seen = statuses(text);
      // Nothing at all was sent by a cut after no bytes; everything else must be answered, if only with a 408.
      if (seen.length === 0 && changed.byteLength > 0) strange.push(`no answer: ${changed.toString('latin1')}`);
      for (const status of seen) {
        answers.set(status, (answers.get(status) ?? 0) + 1);
        // The fake is well, so a 5xx would be the gateway's own.
        if (status >= 500) strange.push(`${String(status)}: ${changed.toString('latin1')}`);
        if (status >= 400 && !text.includes('{"error":{"message":')) strange.push(`no error object: ${text}`);
      }
    };
    await Promise.all(fc.sample(mutation, { numRuns: 300, seed: 7 }).map(spoil));
    report('R15', `300 spoilt ${kind} requests`, { answers: JSON.stringify([...answers]), strange: strange.length });
    expect(strange).toEqual([]);
    await call(setting);
  });

  it('500 strange prompts are passed on as they are, or refused', async () => {
    const strange: string[] = [];
    for (const prompt of fc.sample(fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }), {
      numRuns: 500,
      seed: 7,
    })) {
      const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, { prompt }, key);
      await answer.arrayBuffer();
      const passedOn = setting.fake.last().members['prompt'] === prompt;
      if (answer.status >= 500 || (answer.status === 200 && !passedOn)) strange.push(JSON.stringify(prompt));
    }
    report('R15', '500 strange prompts', { 'not passed on': strange.length });
    expect(strange).toEqual([]);
  });

  it('members named like parts of JavaScript are harmless', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      const body = `{"prompt": "a lighthouse", "${name}": {"polluted": true}}`;
      const text = await exchange(goodRequest(body, 'application/json'));
      expect(statuses(text)).toEqual([400]);
    }
    await call(setting);
  });
});

describe('R16: smuggling is refused', () => {
  const smuggled = 'GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n';
  const head = `POST /v1/images/generations HTTP/1.1\r\nhost: gateway\r\nx-api-key: ${callerKey}\r\ncontent-type: application/json\r\n`;
  const chunked = `0\r\n\r\n${smuggled}`;
  const odd = ['\t', '\v', '\f', '\u0001', '\u0000', '\r', ' ', ',', ';', '"', '\u007f', '\u0080'];
  const cases: readonly string[] = [
    `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
    `${head}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n${chunked}`,
    `${head}content-length: 0\r\ncontent-length: 5\r\n\r\n${smuggled}`,
    `${head}content-length: 5, 5\r\n\r\n${smuggled}`,
    `${head}content-length: +5\r\n\r\n${smuggled}`,
    `${head}content-length: -1\r\n\r\n${smuggled}`,
    `${head}content-length: 0x5\r\n\r\n${smuggled}`,
    `${head}content-length: 5 5\r\n\r\n${smuggled}`,
    `${head}content-length : 5\r\n\r\n${smuggled}`,
    `${head}content-length: 99999999999999999999\r\n\r\n${smuggled}`,
    `${head}transfer-encoding: chunked, identity\r\n\r\n${chunked}`,
    `${head}transfer-encoding: identity, chunked\r\ncontent-length: 4\r\n\r\n${chunked}`,
    `${head}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n${chunked}`,
    `${head}transfer-encoding: chunkedx\r\n\r\n${chunked}`,
    `${head}transfer-encoding : chunked\r\n\r\n${chunked}`,
    `${head}transfer-encoding:\r\n chunked\r\n\r\n${chunked}`,
    `${head}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n${smuggled}`,
    `${head}transfer-encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n${smuggled}`,
    `${head}transfer-encoding: chunked\r\n\r\n5;a=\n\r\nabcde\r\n0\r\n\r\n${smuggled}`,
    `${head}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
    `${head.replace('host: gateway', 'host: gateway\r\nhost: other')}content-length: 0\r\n\r\n`,
    `${head}\u0000x: 1\r\ncontent-length: 0\r\n\r\n`,
    `${head.replaceAll('\r\n', '\n')}content-length: 2\n\n{}`,
    ...odd.map((byte) => `${head}transfer-encoding: ${byte}chunked\r\ncontent-length: 4\r\n\r\n${chunked}`),
    ...odd.map((byte) => `${head}content-length: 4${byte}7\r\n\r\n${smuggled}`),
  ];

  it('each framing case is answered once with 400, and the connection closed', async () => {
    const before = setting.fake.requests.length;
    const wrong: string[] = [];
    for (const bytes of cases) {
      const text = await exchange(Buffer.from(bytes, 'latin1'));
      const seen = statuses(text);
      if (seen.length !== 1 || seen[0] !== 400 || !/connection: close/i.test(text)) {
        wrong.push(`${JSON.stringify(seen)} for ${JSON.stringify(bytes.slice(head.length))}`);
      }
    }
    report('R16', 'framing cases', { cases: cases.length, 'not refused': wrong.length });
    expect(setting.fake.requests).toHaveLength(before);
    expect(cases.length).toBeGreaterThanOrEqual(45);
    expect(wrong).toEqual([]);
  });
});

describe('R17: slow clients do not deny service', () => {
  it('500 slow headers, 300 slow bodies, 2,000 idle', async () => {
    const { hostname, port } = new URL(setting.gateway.url);
    const open = (count: number, first: string): Socket[] =>
      Array.from({ length: count }, () => {
        const socket = connect(Number(port), hostname);
        socket.on('error', () => socket.destroy());
        if (first !== '') socket.write(first);
        return socket.resume();
      });
    const slowHead = 'POST /v1/images/generations HTTP/1.1\r\nhost: gateway\r\n';
    const slowBody = `${slowHead}x-api-key: ${callerKey}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`;
    const idle = open(2000, '');
    const heads = open(500, slowHead);
    const bodies = open(300, slowBody);
    const startedAtMs = performance.now();
    const dripping = setInterval(() => {
      for (const [index, socket] of heads.entries())
        if (!socket.destroyed) socket.write(`x-drip-${String(index)}: 1\r\n`);
      for (const socket of bodies) if (!socket.destroyed) socket.write(' ');
    }, 1000);
    const traffic = startTraffic(8, async () => {
      await call(setting);
      await pause(20);
    });
    const allClosed = async (sockets: readonly Socket[]): Promise<number> => {
      while (sockets.some((socket) => !socket.closed)) await pause(50);
      return Math.round((performance.now() - startedAtMs) / 1000);
    };
    const [headsClosedS, bodiesClosedS] = await Promise.all([allClosed(heads), allClosed(bodies)]);
    clearInterval(dripping);
    const { failures, p99Ms, answered } = await traffic.stop();
    for (const socket of idle) socket.destroy();
    report('R17', 'slow clients', {
      'others answered': answered,
      failed: failures.length,
      'p99 ms': p99Ms - 20,
      'slow headers closed after s': headsClosedS,
      'slow bodies closed after s': bodiesClosedS,
    });
    expect(failures).toEqual([]);
    expect(p99Ms - 20).toBeLessThanOrEqual(250);
    expect(headsClosedS).toBeLessThanOrEqual(15);
    expect(bodiesClosedS).toBeLessThanOrEqual(60);
  });
});

describe('R24: secrets stay secret', () => {
  it('in answers, however a provider repeats them', async () => {
    const spellings = [
      upstreamKey,
      Buffer.from(upstreamKey).toString('base64'),
      Buffer.from(upstreamKey).toString('hex'),
      encodeURIComponent(upstreamKey),
    ];
    const shown: string[] = [];
    let answers = 0;
    for (const status of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
      for (const spelling of spellings) {
        for (const member of ['message', 'code', 'param', 'type']) {
          setting.fake.next({ status, body: { error: { message: 'no', type: 'x', [member]: `bad ${spelling}` } } });
          const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, { prompt: 'a' }, key);
          const text = JSON.stringify([...answer.headers]) + (await answer.text());
          answers += 1;
          if (spellings.some((each) => text.includes(each)) || text.includes(callerKey)) {
            shown.push(`${String(status)} ${member}`);
          }
        }
      }
    }
    report('R24', 'secrets in answers', { answers, shown: shown.length });
    expect(shown).toEqual([]);
  });
});
