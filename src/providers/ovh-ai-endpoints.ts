import schema from '../../schemas/providers/ovh-ai-endpoints.schema.json' with { type: 'json' };
import type { OvhAiEndpointsConfig } from '../generated/providers/ovh-ai-endpoints.ts';
import { createCompatible } from './openai-compatible.ts';
import { defineProvider, type Provider } from './provider.ts';

/**
 * OVHcloud AI Endpoints: a service of the OpenAI dialect at a known address. It documents no edits. Without a key it
 * answers two requests a minute. Source: OVHcloud's guides, "AI Endpoints - Capabilities" and "Generate Image".
 */
export const ovhAiEndpoints = defineProvider({
  name: 'ovh-ai-endpoints',
  aliases: [],
  schema,
  tokenOptional: true,
  models: [],
  create({ connection }: OvhAiEndpointsConfig): Provider {
    const provider = createCompatible({ base_url: connection.base_url });
    return {
      ...provider,
      capabilities: (model, operation) =>
        operation === 'generation' ? provider.capabilities(model, operation) : undefined,
    };
  },
});
