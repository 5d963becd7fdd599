/** The providers that come with the gateway. A new one takes a line here. */
import { automatic1111 } from './automatic1111.ts';
import { azureOpenAi } from './azure-openai.ts';
import { bedrock } from './bedrock.ts';
import { blackForestLabs } from './black-forest-labs.ts';
import { cloudTemple } from './cloud-temple.ts';
import { comfyui } from './comfyui.ts';
import { declarative } from './declarative.ts';
import { fal } from './fal.ts';
import { fireworks } from './fireworks.ts';
import { gemini } from './gemini.ts';
import { grok } from './grok.ts';
import { hive } from './hive.ts';
import { ideogram } from './ideogram.ts';
import { imagerouter } from './imagerouter.ts';
import { luma } from './luma.ts';
import { lumaAgents } from './luma-agents.ts';
import { openai } from './openai.ts';
import { openaiCompatible } from './openai-compatible.ts';
import { openrouter } from './openrouter.ts';
import { ovhAiEndpoints } from './ovh-ai-endpoints.ts';
import type { ProviderDefinition } from './provider.ts';
import { recraft } from './recraft.ts';
import { replicate } from './replicate.ts';
import { sandbox } from './sandbox.ts';
import { stability } from './stability.ts';
import { together } from './together.ts';
import { vertex } from './vertex.ts';

export const providers: readonly ProviderDefinition[] = [
  openai,
  azureOpenAi,
  openaiCompatible,
  ovhAiEndpoints,
  cloudTemple,
  gemini,
  grok,
  luma,
  lumaAgents,
  hive,
  vertex,
  openrouter,
  together,
  imagerouter,
  replicate,
  fal,
  recraft,
  ideogram,
  comfyui,
  automatic1111,
  declarative,
  stability,
  blackForestLabs,
  fireworks,
  bedrock,
  sandbox,
];
