import { declarative } from '../../../src/providers/declarative.ts';
import { exampleSettings } from '../../fixtures/declarative.ts';
import { hiveFixtures } from '../../fixtures/providers/hive.ts';
import { lumaFixtures } from '../../fixtures/providers/luma.ts';
import { providerContract } from '../provider-contract.ts';

// What the providers in TypeScript are held to, the same vendors in YAML are held to as well.
providerContract({ definition: declarative, settings: exampleSettings('hive'), fixtures: hiveFixtures });
providerContract({ definition: declarative, settings: exampleSettings('luma'), fixtures: lumaFixtures });
