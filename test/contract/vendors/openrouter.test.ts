import { describe, expect, it } from 'vitest';
import { openrouter } from '../../../src/providers/openrouter.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import {
  openrouterChatFixtures,
  openrouterConnection,
  openrouterFixtures,
} from '../../fixtures/providers/openrouter.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: openrouter,
  settings: providerConfig(openrouter, { connection: openrouterConnection }),
  fixtures: openrouterFixtures,
});

providerContract({
  definition: openrouter,
  settings: providerConfig(openrouter, { connection: { ...openrouterConnection, api: 'chat' } }),
  fixtures: openrouterChatFixtures,
});

describe('OpenRouter', () => {
  it('is told of no site and no application unless the file names them', () => {
    const { headers } = openrouter.create(providerConfig(openrouter, {})).encode(makeTargetCall()).request;
    expect(headers).toEqual({ accept: 'application/json' });
  });

  it.each([
    ['1024x1024', { aspect_ratio: '1:1', image_size: '1K' }],
    ['3072x1296', { aspect_ratio: '21:9', image_size: '2K' }],
    ['4096x4096', { aspect_ratio: '1:1', image_size: '4K' }],
    ['4:5', { aspect_ratio: '4:5' }],
    ['auto', undefined],
  ])('makes the size %s %j in a chat', (size, config) => {
    const provider = openrouter.create(providerConfig(openrouter, { connection: { api: 'chat' } }));
    const { body } = provider.encode(makeTargetCall({ parameters: { size } })).request;
    expect(body).toMatchObject({ kind: 'json' });
    expect(body.kind === 'json' ? Object(body.value)['image_config'] : undefined).toEqual(config);
  });
});
