import { openai } from '../../src/providers/openai.ts';
import { openaiCompatible } from '../../src/providers/openai-compatible.ts';
import { providerConfig } from '../fixtures/providers/config.ts';
import {
  openaiCompatibleConfig,
  openaiCompatibleFixtures,
  ownWaysConfig,
  ownWaysFixtures,
} from '../fixtures/providers/openai-compatible.ts';
import { openaiFixtures } from '../fixtures/providers/openai.ts';
import { providerContract } from './provider-contract.ts';

providerContract({ definition: openai, settings: providerConfig(openai, {}), fixtures: openaiFixtures });

providerContract({
  definition: openaiCompatible,
  settings: providerConfig(openaiCompatible, openaiCompatibleConfig),
  fixtures: openaiCompatibleFixtures,
});

providerContract({
  definition: openaiCompatible,
  settings: providerConfig(openaiCompatible, ownWaysConfig),
  fixtures: ownWaysFixtures,
});
