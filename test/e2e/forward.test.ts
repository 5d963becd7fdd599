import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startFakeEcho, type FakeEcho } from '../fixtures/fake-echo.ts';
import { upstreamKey } from '../fixtures/fake-openai.ts';
import { gatewayConfig } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { callerKey } from '../fixtures/openai-client.ts';
import { randomPng, sha256 } from '../fixtures/pictures.ts';
import { jsonOf } from '../fixtures/setting.ts';

let echo: FakeEcho;
let gateway: Gateway;

beforeAll(async () => {
  echo = await startFakeEcho();
  const upstream = { url: echo.origin, headers: { authorization: `Bearer ${upstreamKey}` } };
  gateway = await startGateway({
    config: gatewayConfig([], {
      consumers: [{ id: 'web-app', key: callerKey }],
      pipelines: { passthrough: ['authenticate', 'forward'] },
      routes: [
        { id: 'rest', path: '/*', pipeline: 'passthrough', upstream },
        { id: 'nowhere', path: '/gone/*', pipeline: 'passthrough', upstream: { url: 'http://127.0.0.1:9' } },
      ],
    }),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
});

const authorization = `Bearer ${callerKey}`;

describe('a forward route', () => {
  it('hands requests on as they come, with the upstream’s credential in place of the caller’s', async () => {
    const body = randomPng(2_000_000);
    const answer = await fetch(`${gateway.url}/v1/audio/speech?voice=a%20b`, {
      method: 'PUT',
      body: Uint8Array.from(body),
      headers: { authorization, 'x-api-key': callerKey, 'content-type': 'application/octet-stream' },
    });
    expect(answer.headers.get('x-echo')).toBe('yes');
    const seen = await jsonOf(answer);
    expect(seen).toMatchObject({
      method: 'PUT',
      path: '/v1/audio/speech?voice=a%20b',
      headers: { authorization: `Bearer ${upstreamKey}` },
      byteLength: body.byteLength,
      sha256: sha256(body),
    });
    expect(JSON.stringify(seen)).not.toContain(callerKey);
  });

  it('keeps the caller’s credential away when a request waits to be told to continue', async () => {
    const asking = request(`${gateway.url}/x`, { method: 'POST', headers: { authorization, expect: '100-continue' } });
    asking.flushHeaders();
    await once(asking, 'continue');
    asking.end('a');
    const [answer]: IncomingMessage[] = await once(asking, 'response');
    const text = (await answer?.setEncoding('utf8').toArray())?.join('') ?? '';
    expect(JSON.parse(text)).toMatchObject({ headers: { authorization: `Bearer ${upstreamKey}` }, byteLength: 1 });
    expect(text).not.toContain(callerKey);
  });

  it('asks for a key first', async () => {
    const answer = await fetch(`${gateway.url}/v1/files`);
    expect(answer.status).toBe(401);
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'missing_api_key' } });
  });

  it('answers in OpenAI’s form when nobody is there', async () => {
    const answer = await fetch(`${gateway.url}/gone/away`, { headers: { authorization } });
    expect(answer.status).toBe(502);
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'upstream_unreachable', type: 'upstream_error' } });
  });

  it('passes events on one by one, and ends the stream when the client leaves', async () => {
    const controller = new AbortController();
    const answer = await fetch(`${gateway.url}/events`, { headers: { authorization }, signal: controller.signal });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    await echo.streams(1);
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (const event of ['one', 'two']) {
      echo.emit(event);
      expect(await reader?.read()).toEqual({ done: false, value: `data: ${event}\n\n` });
    }
    controller.abort();
    await echo.streams(0);
  });

  it('carries WebSockets both ways', async () => {
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/socket`, { headers: { authorization } });
    const [hello]: unknown[] = await once(socket, 'message');
    expect(JSON.parse(String(hello))).toEqual({ authorization: `Bearer ${upstreamKey}` });
    const bytes = randomPng(500_000);
    socket.send(bytes);
    const [echoed]: unknown[] = await once(socket, 'message');
    expect(echoed instanceof Uint8Array && sha256(echoed)).toBe(sha256(bytes));
    socket.close();
    await once(socket, 'close');
  });

  it('refuses a WebSocket without a key, and passes an upstream’s refusal on', async () => {
    const refusal = async (path: string, headers: Record<string, string>): Promise<number | undefined> => {
      const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}${path}`, { headers });
      return new Promise((resolve, reject) => {
        socket.on('unexpected-response', (request, response) => {
          resolve(response.statusCode);
          request.destroy();
        });
        socket.on('error', reject);
      });
    };
    expect(await refusal('/socket', {})).toBe(401);
    expect(await refusal('/elsewhere', { authorization })).toBe(403);
  });
});
