import { afterAll, describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import type { SandboxConfig } from '../../../src/generated/providers/sandbox.ts';
import { paint, stopPainter } from '../../../src/images/painter.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import type { UpstreamReply } from '../../../src/pipeline/upstream.ts';
import type { LocalContext, Provider } from '../../../src/providers/provider.ts';
import { sandbox } from '../../../src/providers/sandbox.ts';
import { providerContract } from '../../contract/provider-contract.ts';

type Connection = SandboxConfig['connection'];
const operation = { enabled: true, model: 'sandbox-1' };
const settings = (more: Partial<Connection> = {}): SandboxConfig => ({
  connection: { timeout: 180_000, latency: 0, deliver: 'b64_json', seed: '', ...more },
  options: { generation: operation, edition: operation },
});
const create = (more: Partial<Connection> = {}): Provider => sandbox.create(settings(more));

const call = (more: Partial<TargetCall> = {}): TargetCall => ({
  operation: 'generation',
  model: 'sandbox-1',
  prompt: 'a lighthouse',
  images: [],
  mask: undefined,
  inputRules: { maxPixels: 1_000_000, stripMetadata: false },
  parameters: { size: '64x48' },
  responseFormat: undefined,
  stream: false,
  partialImages: undefined,
  fallbacks: [],
  unknown: {},
  ...more,
});

const context = (more: Partial<LocalContext> = {}): LocalContext => ({
  signal: new AbortController().signal,
  sleep: () => Promise.resolve(),
  nowSeconds: 1_700_000_000,
  ...more,
});

async function answer(provider: Provider, asked: TargetCall, using = context()): Promise<UpstreamReply> {
  if (provider.answer === undefined) throw new Error('the sandbox answers by itself');
  return provider.answer(provider.encode(asked).request, using);
}

async function document(reply: UpstreamReply): Promise<Record<string, unknown>> {
  return JSON.parse(Buffer.from(await collect(reply.body)).toString());
}

/** The pictures of an answer, as the gateway gets them. */
async function pictures(provider: Provider, asked: TargetCall): Promise<Buffer[]> {
  const { images } = await provider.decode(await answer(provider, asked), asked);
  return images.map(function bytesOf({ payload }) {
    if (payload.kind !== 'base64') throw new Error(`a ${payload.kind} is not base64`);
    return Buffer.from(Buffer.concat(payload.text.slices).toString('ascii'), 'base64');
  });
}

const picture = await paint(
  {
    prompt: 'meadow',
    seed: 0,
    index: 0,
    width: 32,
    height: 32,
    quality: 'low',
    transparent: false,
    format: 'png',
    compression: 100,
    inputs: [],
    mask: undefined,
  },
  new AbortController().signal,
);
const uploaded = { kind: 'image', payload: { kind: 'bytes', bytes: picture }, mediaType: 'image/png' } as const;

afterAll(stopPainter);

providerContract({
  definition: sandbox,
  settings: settings(),
  fixtures: [
    {
      name: 'a generation',
      call: call({ parameters: { n: 2, size: '64x48', quality: 'low', seed: 3 } }),
      request: {
        method: 'POST',
        url: 'sandbox:/images/generations',
        headers: { accept: 'application/json' },
        body: {
          kind: 'json',
          value: { model: 'sandbox-1', prompt: 'a lighthouse', n: 2, size: '64x48', quality: 'low', seed: 3 },
        },
      },
      reply: { status: 200, body: { created: 1, data: [{ b64_json: 'aGk=' }], size: '64x48' } },
      result: { created: 1, images: [{ bytes: Buffer.from('hi') }], effective: { size: '64x48' } },
    },
  ],
});

describe('the sandbox', () => {
  it('answers like OpenAI’s images API', async () => {
    const reply = await answer(create(), call({ parameters: { n: 2, size: '1024x1024', quality: 'low' } }));
    const body = Buffer.from(await collect(reply.body));
    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
    expect(reply.headers['content-length']).toBe(String(body.byteLength));
    expect(reply.body.length).toBe(body.byteLength);
    expect(JSON.parse(body.toString())).toEqual({
      created: 1_700_000_000,
      background: 'opaque',
      output_format: 'png',
      quality: 'low',
      size: '1024x1024',
      data: [{ b64_json: expect.any(String) }, { b64_json: expect.any(String) }],
      usage: {
        total_tokens: 547,
        input_tokens: 3,
        output_tokens: 544,
        input_tokens_details: { text_tokens: 3, image_tokens: 0 },
        output_tokens_details: { image_tokens: 544, text_tokens: 0 },
      },
    });
  });

  it('chooses the pixels where only a ratio is asked for', async () => {
    const reply = await answer(create(), call({ parameters: { size: '3:2', quality: 'low' } }));
    expect(await document(reply)).toMatchObject({ size: '1248x832' });
  });

  it('draws the same pictures for the same call, and different ones within it and for other seeds', async () => {
    const asked = call({ parameters: { n: 2, size: '32x32' } });
    const [first, second] = await pictures(create(), asked);
    expect(await pictures(create(), asked)).toEqual([first, second]);
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(false);
    expect(await pictures(create({ seed: 'other' }), asked)).not.toContainEqual(first);
    expect(await pictures(create(), call({ parameters: { n: 2, size: '32x32', seed: 5 } }))).not.toContainEqual(first);
  });

  it.each([
    ['png', [0x89, 0x50, 0x4e, 0x47]],
    ['jpeg', [0xff, 0xd8, 0xff]],
    ['webp', [0x52, 0x49, 0x46, 0x46]],
  ])('writes %s', async (outputFormat, magic) => {
    const parameters = { size: '32x32', outputFormat, outputCompression: 60 };
    const [file] = await pictures(create(), call({ parameters }));
    expect([...(file ?? [])].slice(0, magic.length)).toEqual(magic);
  });

  it('edits, with and without a mask', async () => {
    const edit = call({ operation: 'edition', images: [uploaded], parameters: { size: '32x32' } });
    const [plain] = await pictures(create(), edit);
    expect(plain?.equals(picture)).toBe(false);
    expect(await pictures(create(), { ...edit, images: [uploaded, uploaded], mask: uploaded })).toHaveLength(1);
    const { usage } = await document(await answer(create(), { ...edit, mask: uploaded }));
    expect(usage).toMatchObject({ input_tokens_details: { image_tokens: 1162 } });
  });

  it.each([
    ['a prompt that is missing', { prompt: undefined }, 'prompt'],
    ['a size that is none', { parameters: { size: 'large' } }, 'size'],
    ['a side that is too short', { parameters: { size: '8x64' } }, 'size'],
    ['an area that is too large', { parameters: { size: '3840x3840' } }, 'size'],
    ['too many pictures', { parameters: { n: 11 } }, 'n'],
    ['a quality that is none', { parameters: { quality: 'best' } }, 'quality'],
    ['a format that is none', { parameters: { outputFormat: 'bmp' } }, 'output_format'],
    ['a compression over 100', { parameters: { outputCompression: 101 } }, 'output_compression'],
    ['transparent JPEG', { parameters: { background: 'transparent', outputFormat: 'jpeg' } }, 'background'],
    ['an edit of nothing', { operation: 'edition' }, 'image'],
    [
      'a picture that is none',
      { operation: 'edition', images: [{ ...uploaded, payload: { kind: 'bytes', bytes: Buffer.from('GIF?') } }] },
      'image',
    ],
    [
      'a picture that lies elsewhere',
      { operation: 'edition', images: [{ kind: 'provider-file', id: 'file-1' }] },
      'image',
    ],
  ] satisfies [string, Partial<TargetCall>, string][])('refuses %s', async (_, more, param) => {
    const provider = create();
    const reply = await answer(provider, call(more));
    expect(reply.status).toBe(400);
    expect(await provider.fault(reply)).toMatchObject({ code: 'invalid_value', status: 400, param });
  });

  it.each([
    [400, 400, 'invalid_value'],
    [401, 502, 'upstream_auth_failed'],
    [429, 429, 'rate_limit_exceeded'],
    [503, 502, 'upstream_error'],
  ])('answers with status %i when told to', async (status, seen, code) => {
    const provider = create({ status });
    const reply = await answer(provider, call());
    expect(reply.status).toBe(status);
    const retryAfterMs = status === 429 ? 1000 : undefined;
    expect(await provider.fault(reply)).toMatchObject({ status: seen, code, retryAfterMs });
  });

  it('breaks the connection where it is told to', async () => {
    const broken = { code: 'upstream_error' };
    await expect(answer(create({ cut: 'before_headers' }), call())).rejects.toMatchObject(broken);
    const received: number[] = [];
    for (const cut of ['after_headers', 'mid_body'] as const) {
      const { status, body } = await answer(create({ cut }), call());
      expect(status).toBe(200);
      let bytes = 0;
      const read = async (): Promise<void> => {
        for await (const chunk of body) bytes += chunk.byteLength;
      };
      await expect(read()).rejects.toMatchObject(broken);
      received.push(bytes / (body.length ?? 1));
    }
    expect(received[0]).toBe(0);
    expect(received[1]).toBeCloseTo(0.5, 2);
  });

  it('takes its time when told to, and can be stopped while it does', async () => {
    const naps: number[] = [];
    const sleep = async (milliseconds: number): Promise<void> => void naps.push(milliseconds);
    expect((await answer(create({ latency: 250 }), call(), context({ sleep }))).status).toBe(200);
    expect(naps).toEqual([250]);
    const gone = (): Promise<never> => Promise.reject(new Error('gone'));
    await expect(answer(create({ latency: 250 }), call(), context({ sleep: gone }))).rejects.toThrow('gone');
    const signal = AbortSignal.abort(new Error('left'));
    await expect(answer(create(), call(), context({ signal }))).rejects.toThrow('left');
  });

  it('delivers its pictures in data URIs when told to, and they stay bytes', async () => {
    const provider = create({ deliver: 'url' });
    expect(provider.capabilities('sandbox-1', 'generation')?.nativeForm).toBe('url');
    expect(await pictures(provider, call())).toEqual(await pictures(create(), call()));
  });
});
