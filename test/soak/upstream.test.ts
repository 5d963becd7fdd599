/** R14: what providers send without end, or small and huge once unfolded, is cut off in time and in little memory. */
import { buffer } from 'node:stream/consumers';
import { Readable, type Transform } from 'node:stream';
import { createBrotliCompress, createDeflate, createGzip, createZstdCompress, constants } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { upstreamKey } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { postJson } from '../fixtures/setting.ts';
import { good, picture } from '../fixtures/upstream/mode.ts';
import { head, startRawProvider, type RawProvider, type Serve } from '../fixtures/upstream/raw-provider.ts';
import { eventually } from '../fixtures/eventually.ts';
import { mebibyte, report, settledRss, watchPeak } from './figures.ts';

/** Milliseconds that the entities give their provider. */
const timeoutMs = 8000;

interface Flood {
  readonly name: string;
  readonly serve: Serve;
  readonly body?: object;
  readonly entity?: string;
  /** Undefined: the answer had begun, and is cut off. Some floods fill the bound or the time, whichever is first. */
  readonly status: number | undefined | 'full or late';
}

const json = head(200, { 'content-type': 'application/json' });
const chunked = (type: string): string => head(200, { 'content-type': type, 'transfer-encoding': 'chunked' });
const chunk = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
const filled = (text: string): Buffer => Buffer.alloc(mebibyte, text);

const endless =
  (start: string, piece: Buffer): Serve =>
  async ({ write, drip }) => {
    await write(start);
    await drip(() => piece, 0);
  };
const events = chunked('text/event-stream');
const stream = { stream: true, partial_images: 3 };
const pictureStart = `{"created":1760000000,"data":[{"b64_json":"${picture.slice(0, 80)}`;
const partial = `event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"${picture}"}\n\n`;

const floods: readonly Flood[] = [
  { name: 'blanks', serve: endless(json, filled(' ')), status: 502 },
  { name: 'chunks of blanks', serve: endless(chunked('application/json'), chunk(filled(' '))), status: 502 },
  { name: 'brackets', serve: endless(json, filled('[')), status: 502 },
  { name: 'members', serve: endless(`${json}{`, filled('"a":1,')), status: 502 },
  { name: 'items', serve: endless(`${json}{"data":[`, filled('{},')), status: 502 },
  { name: 'a name', serve: endless(`${json}{"`, filled('a')), status: 502 },
  { name: 'a number', serve: endless(json, filled('1')), status: 502 },
  { name: 'a picture, passed on as it comes', serve: endless(json + pictureStart, filled('A')), status: undefined },
  {
    name: 'a picture, of which a link is wanted',
    serve: endless(json + pictureStart, filled('A')),
    body: { response_format: 'url' },
    status: 502,
  },
  {
    name: 'a picture that is to be converted',
    serve: endless(json + pictureStart, filled('A')),
    body: { output_format: 'webp', model: 'dall-e-3' },
    status: 502,
  },
  {
    name: 'a text that is no picture',
    serve: endless(`${json}{"data":[{"revised_prompt":"`, filled('a')),
    status: 502,
  },
  { name: 'headers', serve: endless('HTTP/1.1 200 OK\r\n', filled('x-a: 1\r\n')), status: 502 },
  { name: 'a header', serve: endless('HTTP/1.1 200 OK\r\nx: ', filled('a')), status: 502 },
  {
    name: 'early hints',
    serve: endless('', Buffer.from('HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n'.repeat(16_000))),
    status: 504,
  },
  {
    name: 'trailers',
    serve: endless(
      `${chunked('application/json')}${good.length.toString(16)}\r\n${good}\r\n0\r\n`,
      filled('x-a: 1\r\n'),
    ),
    status: 502,
  },
  { name: 'an extension of a chunk', serve: endless(`${chunked('application/json')}5;a=`, filled('a')), status: 504 },
  {
    name: 'an error’s body',
    serve: endless(head(500, { 'content-type': 'application/json' }), filled(' ')),
    status: 502,
  },
  {
    name: 'a refusal’s words',
    serve: endless(`${head(400, { 'content-type': 'application/json' })}{"error":{"message":"`, filled('no ')),
    status: 400,
  },
  { name: 'comments', serve: endless(events, chunk(filled(': ping\n\n'))), body: stream, status: 'full or late' },
  { name: 'an event', serve: endless(events, chunk(filled('data: a\n'))), body: stream, status: 'full or late' },
  {
    name: 'a line',
    serve: endless(events, chunk(filled('data: aaaaaaaaaa'))),
    body: stream,
    status: 'full or late',
  },
  {
    name: 'the name of an event',
    serve: endless(`${events}7\r\nevent: \r\n`, chunk(filled('a'))),
    body: stream,
    status: 'full or late',
  },
  {
    name: 'events that nobody knows',
    serve: endless(events, chunk(filled('data: {"type":"progress"}\n\n'))),
    body: stream,
    status: 'full or late',
  },
  {
    name: 'partial pictures',
    serve: endless(events, chunk(Buffer.from(partial.repeat(2000)))),
    body: stream,
    status: undefined,
  },
  { name: 'what a job says of itself', entity: 'luma', serve: endless(json, filled(' ')), status: 502 },
];

/** Gigabytes that are small on the wire. */
const bombBytes = 4 * 1024 * mebibyte;
const coders: Readonly<Record<string, () => Transform>> = {
  gzip: createGzip,
  deflate: createDeflate,
  br: () => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
  zstd: createZstdCompress,
};

const bombs: Flood[] = [];
const modeOf = (name: string): Flood | undefined => [...floods, ...bombs][Number(name.slice('mode-'.length))];

let provider: RawProvider;
let gateway: Gateway;

beforeAll(async () => {
  function* blanks(start: string): Generator<Buffer> {
    yield Buffer.from(start);
    const piece = filled(' ');
    for (let sent = 0; sent < bombBytes; sent += piece.byteLength) yield piece;
  }
  for (const [coding, create] of Object.entries(coders)) {
    const bytes = await buffer(Readable.from(blanks('')).pipe(create()));
    const headers = { 'content-encoding': coding };
    const bomb = (name: string, type: string, status: number, more: Partial<Flood> = {}): Flood => ({
      name: `4 GB of ${coding} ${name}`,
      serve: ({ reply }) => reply(bytes, { status, headers: { ...headers, 'content-type': type } }),
      status: 502,
      ...more,
    });
    bombs.push(
      bomb('as an answer', 'application/json', 200),
      bomb('as an error', 'application/json', 500),
      bomb('as events', 'text/event-stream', 200, { body: stream }),
    );
  }
  provider = await startRawProvider((name) =>
    name === 'mode-9999' ? ({ reply }) => reply(good) : modeOf(name)?.serve,
  );
  const connection = { token: upstreamKey, timeout: timeoutMs };
  const options = { generation: { enabled: true } };
  gateway = await startGateway({
    config: gatewayConfig([
      openAiEntity(
        { baseUrl: `${provider.origin}/v1` },
        { id: 'main', config: { connection: { ...connection, base_url: `${provider.origin}/v1` }, options } },
      ),
      {
        id: 'luma',
        provider: 'luma',
        config: { connection: { ...connection, base_url: `${provider.origin}/dream-machine/v1` }, options },
      },
    ]),
  });
  for (let call = 0; call < 50; call += 1) await send('mode-9999', {});
}, 300_000);
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await provider.close();
});

/** The status; undefined when the answer is cut off. What comes is not kept. */
async function send(name: string, { entity = 'main', body = {} }: Partial<Flood>): Promise<number | undefined> {
  const model = entity === 'luma' ? 'luma/photon-1' : 'gpt-image-1';
  const answer = await postJson(`${gateway.url}/v1/images/generations`, { model, prompt: name, ...body });
  let last = '';
  try {
    for await (const piece of answer.body ?? [])
      last = (last + Buffer.from(piece.subarray(-300)).toString('latin1')).slice(-300);
  } catch {
    return undefined;
  }
  // Of a stream the error is the last event.
  return last.includes('"type":"error"') ? undefined : answer.status;
}

let worstMb = 0;

describe('R14: floods are bounded', () => {
  const count = floods.length + 3 * Object.keys(coders).length;
  it.each(Array.from({ length: count }, (_, index) => index))('flood %i', async (index) => {
    const flood = modeOf(`mode-${String(index)}`);
    if (flood === undefined) throw new Error('there is no such flood');
    const before = await settledRss(gateway);
    const watch = watchPeak(gateway);
    const startedAtMs = performance.now();
    const [outcome] = await Promise.allSettled([send(`mode-${String(index)}`, flood)]);
    const tookMs = Math.round(performance.now() - startedAtMs);
    const grewBy = Math.round(((await watch.stop()) - before) / 100_000) / 10;
    worstMb = Math.max(worstMb, grewBy);
    report('R14', flood.name, { 'grew by MB': grewBy, 'took ms': tookMs });
    if (outcome.status === 'rejected') throw outcome.reason;
    const status = outcome.value;
    await eventually(async () => flood.name.startsWith('4 GB') || provider.open(`mode-${String(index)}`) === 0);
    if (flood.status === 'full or late') expect([502, 504]).toContain(status);
    else expect(status).toBe(flood.status);
    expect(tookMs).toBeLessThan(timeoutMs + 3000);
    expect(await send('mode-9999', {})).toBe(200);
  });

  it('none grows the process by more than 300 MB', () => {
    report('R14', 'the worst flood', { 'grew by MB': worstMb });
    expect(worstMb).toBeLessThan(300);
  });
});
