import { toFile } from 'openai';
import { describe, expect, it } from 'vitest';
import { gatewayConfig, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { formatOf, png, pngHeader } from '../fixtures/pictures.ts';

const start = (connection: object = {}): Promise<Gateway> =>
  startGateway({ config: gatewayConfig([sandboxEntity('sandbox', { ...connection })]) });

describe('the sandbox provider [I24]', () => {
  it('draws real pictures of the size asked for, the same for the same call', async () => {
    await using gateway = await start();
    const client = openAiClient(gateway);
    const draw = async (prompt: string): Promise<Buffer> => {
      const [picture] = picturesOf(await client.images.generate({ prompt, size: '256x128' }));
      return picture ?? Buffer.alloc(0);
    };
    const picture = await draw('a lighthouse');
    expect(formatOf(picture)).toBe('png');
    expect(pngHeader(picture)).toMatchObject({ width: 256, height: 128 });
    expect((await draw('a lighthouse')).equals(picture)).toBe(true);
    expect((await draw('a boat')).equals(picture)).toBe(false);
    const many = picturesOf(await client.images.generate({ prompt: 'a lighthouse', n: 3, size: '256x256' }));
    expect(new Set(many.map((each) => each.toString('base64'))).size).toBe(3);
  });

  it('edits', async () => {
    await using gateway = await start();
    const image = await toFile(png({ width: 64, height: 64 }), 'a.png', { type: 'image/png' });
    const response = await openAiClient(gateway).images.edit({ image, prompt: 'bluer', size: '256x256' });
    expect(picturesOf(response).map(formatOf)).toEqual(['png']);
  });

  it.each([
    [400, 400],
    [429, 429],
    [500, 502],
  ])('answers with status %i when told to, which callers see as %i', async (status, seen) => {
    await using gateway = await start({ status });
    expect(await apiError(openAiClient(gateway).images.generate({ prompt: 'a lighthouse' }))).toMatchObject({
      status: seen,
    });
  });

  it.each(['before_headers', 'after_headers', 'mid_body'])('breaks the connection %s when told to', async (cut) => {
    await using gateway = await start({ cut });
    await expect(openAiClient(gateway).images.generate({ prompt: 'a lighthouse' })).rejects.toThrow();
    expect((await gateway.status()).ok).toBe(true);
  });

  it('takes its time when told to, and is stopped by a timeout', async () => {
    await using slow = await start({ latency: '30ms' });
    expect(picturesOf(await openAiClient(slow).images.generate({ prompt: 'a lighthouse' }))).toHaveLength(1);
    await using tooSlow = await start({ latency: '1h', timeout: 50 });
    expect(await apiError(openAiClient(tooSlow).images.generate({ prompt: 'a lighthouse' }))).toMatchObject({
      status: 504,
      code: 'upstream_timeout',
    });
  });

  it('delivers links when told to, and base64 to who asks for it', async () => {
    await using gateway = await start({ deliver: 'url' });
    const client = openAiClient(gateway);
    const linked = await client.images.generate({ prompt: 'a lighthouse' });
    const url = linked.data?.[0]?.url ?? '';
    expect(url).toMatch(/^http:/);
    expect((await fetch(url)).headers.get('content-type')).toBe('image/png');
    const encoded = await client.images.generate({ prompt: 'a lighthouse', response_format: 'b64_json' });
    expect(picturesOf(encoded).map(formatOf)).toEqual(['png']);
  });
});
