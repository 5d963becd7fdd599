import { describe, expect, it } from 'vitest';
import { createRegistry, extendRegistry } from '../../../src/pipeline/registry.ts';
import { defineStage, type AnyStage } from '../../../src/pipeline/stage.ts';
import { defineProvider, type ProviderDefinition } from '../../../src/providers/provider.ts';
import { blobStores } from '../../../src/blobs/index.ts';
import { limiters, stores } from '../../../src/stores/index.ts';

describe('a registry', () => {
  it('has stages and providers by name, providers by their aliases too, and stores by scheme', () => {
    const grok = provider('grok', ['x-ai']);
    const parse = stage('parse');
    const registry = createRegistry({ stages: [parse], providers: [grok], stores, limiters, blobStores });
    expect([...registry.stages]).toEqual([['parse', parse]]);
    expect([...registry.providers]).toEqual([
      ['grok', grok],
      ['x-ai', grok],
    ]);
    expect([...registry.stores.keys()].toSorted()).toEqual(['memory', 'postgres', 'postgresql', 'sqlite']);
    expect([...registry.blobStores.keys()]).toEqual(['file', 's3']);
  });

  it('is not changed by what extends it', () => {
    const base = createRegistry({ stages: [stage('parse')], stores, limiters, blobStores });
    const extended = extendRegistry(base, { stages: [stage('watermark')], providers: [provider('local')] });
    expect([...base.stages.keys(), ...base.providers.keys()]).toEqual(['parse']);
    expect([...extended.stages.keys(), ...extended.providers.keys()]).toEqual(['parse', 'watermark', 'local']);
    expect(extended.stores).toBe(base.stores);
  });

  it.each([
    ['a stage', { stages: [stage('parse')] }, 'there are two stages of the name parse'],
    ['a provider', { providers: [provider('grok')] }, 'there are two providers of the name grok'],
    ['an alias', { providers: [provider('xai', ['x-ai'])] }, 'there are two providers of the name x-ai'],
    ['a new name twice', { stages: [stage('a'), stage('a')] }, 'there are two stages of the name a'],
  ])('does not let %s take a name that is taken', (_, extension, message) => {
    const base = createRegistry({
      stages: [stage('parse')],
      providers: [provider('grok', ['x-ai'])],
      stores,
      limiters,
      blobStores,
    });
    expect(() => extendRegistry(base, extension)).toThrow(message);
    expect(base.stages.size + base.providers.size).toBe(3);
  });
});

function stage(name: string): AnyStage {
  return defineStage({ name, schema: {}, create: () => () => {}, reads: [], writes: [] });
}

function provider(name: string, aliases: readonly string[] = []): ProviderDefinition {
  const create = (): never => {
    throw new Error('A registry creates nothing.');
  };
  return defineProvider({ name, aliases, schema: {}, tokenOptional: true, models: [], create });
}
