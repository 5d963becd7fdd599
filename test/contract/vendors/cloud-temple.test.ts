import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { cloudTemple } from '../../../src/providers/cloud-temple.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { cloudTempleConfig, cloudTempleFixtures } from '../../fixtures/providers/cloud-temple.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: cloudTemple,
  settings: providerConfig(cloudTemple, cloudTempleConfig),
  fixtures: cloudTempleFixtures,
});

const create = (connection: object = {}): Provider => cloudTemple.create(providerConfig(cloudTemple, { connection }));

describe('cloud-temple', () => {
  it('edits only where the file says that it can', () => {
    expect(create().capabilities('z-image:16b', 'edition')).toBeUndefined();
    expect(create({ edits: true }).capabilities('z-image:16b', 'edition')).toMatchObject({ inputs: { as: 'bytes' } });
  });

  it('sends a size in pixels, and nothing where the model may choose', () => {
    const sizeOf = (size: string): unknown => {
      const { body } = create().encode(makeTargetCall({ parameters: { size } })).request;
      return body.kind === 'json' ? Object.entries(body.value ?? {}).find(([name]) => name === 'size')?.[1] : body;
    };
    expect(['auto', '640x480', '16:9'].map(sizeOf)).toEqual([undefined, '640x480', '1360x768']);
  });

  it('reads the moment at which its limit ends', async () => {
    const headers = { date: 'Fri, 20 Nov 2026 12:00:00 GMT', 'x-ratelimit-reset-requests': '1795176007' };
    const error = await create().fault({ status: 429, headers, body: bytesSource(new Uint8Array()) });
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 7000 });
  });
});
