import schema from '../../schemas/providers/openai-compatible.schema.json' with { type: 'json' };
import type { OpenaiCompatibleConfig } from '../generated/providers/openai-compatible.ts';
import { createOpenAiDialect } from './openai-dialect.ts';
import { defineProvider, type Provider } from './provider.ts';

/**
 * Any other service that speaks OpenAI's images API. Nothing is known about its models, so parameters go through as they
 * are, and its answers are written anew: many such services put `null` where clients expect absence.
 */
export const openaiCompatible = defineProvider({
  name: 'openai-compatible',
  aliases: [],
  schema,
  tokenOptional: true,
  create({ connection }: OpenaiCompatibleConfig): Provider {
    const { base_url: baseUrl, headers, provider_name: ownName } = connection;
    const base = baseUrl.replace(/\/+$/, '');
    const lowerCase = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
    const codec = createOpenAiDialect({
      baseUrl: base,
      headers: Object.fromEntries(lowerCase),
      fit: (parameters) => ({ fitted: parameters, dropped: [] }),
    });
    return {
      ...codec,
      names: ownName === undefined ? [] : [ownName],
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: () => ({ operations: ['generation', 'edition'], maxImages: 10, nativeForm: 'unknown' }),
    };
  },
});
