import { readdirSync } from 'node:fs';
import type { Definitions } from '../../../src/config/load.ts';
import type { AnyStage } from '../../../src/pipeline/stage.ts';
import type { ProviderDefinition } from '../../../src/providers/provider.ts';
import { schemaFile, schemaFolder } from '../../../src/schema-files.ts';

/** The names of the schemas in a folder below `schemas/`. */
export function schemaNames(folder: string): string[] {
  return readdirSync(new URL(`${folder}/`, schemaFolder()))
    .map((file) => file.replace('.schema.json', ''))
    .toSorted();
}

const neverCreated = (): never => {
  throw new Error('Loading a file creates no stage and no provider.');
};

/** Definitions made from the schemas alone, so that these tests know nothing of what the stages and providers do. */
export function schemaDefinitions(): Definitions {
  const stages = schemaNames('stages').map((name): AnyStage => ({
    name,
    schema: schemaFile(`stages/${name}`),
    reads: [],
    writes: [],
    create: neverCreated,
    ...(name === 'fallback' ? { composite: true } : {}),
  }));
  const providers = schemaNames('providers').map((name): ProviderDefinition => ({
    name,
    aliases: [],
    schema: schemaFile(`providers/${name}`),
    tokenOptional: name !== 'openai',
    models: [],
    create: neverCreated,
  }));
  return {
    stages: new Map(stages.map((stage) => [stage.name, stage])),
    providers: new Map(providers.map((provider) => [provider.name, provider])),
  };
}
