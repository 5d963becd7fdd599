import schema from '../../schemas/providers/openai.schema.json' with { type: 'json' };
import type { OpenaiConfig } from '../generated/providers/openai.ts';
import { createOpenAiDialect, imagesPath } from './openai-dialect.ts';
import { fitOpenAi, openAiFamily } from './openai-families.ts';
import { defineProvider, type Provider } from './provider.ts';
import { withoutSlash } from './requests.ts';

/** OpenAI itself. What its models take is in OpenAI's API reference, "Images"; the dall-e family is kept for mirrors of it. */
export const openai = defineProvider({
  name: 'openai',
  aliases: [],
  schema,
  tokenOptional: false,
  // Source: OpenAI's deprecations page, 20 November 2026.
  models: [
    { name: 'gpt-image-2' },
    { name: 'gpt-image-2.5-flare' },
    { name: 'gpt-image-2.5-sunburst' },
    { name: 'gpt-image-1.5', retired: '2026-12-01', successor: 'gpt-image-2' },
    { name: 'gpt-image-1-mini', retired: '2026-12-01', successor: 'gpt-image-2' },
    { name: 'chatgpt-image-latest', retired: '2026-12-01', successor: 'gpt-image-2' },
    { name: 'gpt-image-1', retired: '2026-10-23', successor: 'gpt-image-2' },
    { name: 'dall-e-3', retired: '2026-05-12', successor: 'gpt-image-2' },
    { name: 'dall-e-2', retired: '2026-05-12', successor: 'gpt-image-2' },
  ],
  create({ connection }: OpenaiConfig): Provider {
    const { organization, project } = connection;
    const base = withoutSlash(connection.base_url);
    const codec = createOpenAiDialect({
      url: (operation) => `${base}${imagesPath(operation)}`,
      headers: {
        ...(organization === undefined ? {} : { 'openai-organization': organization }),
        ...(project === undefined ? {} : { 'openai-project': project }),
      },
      fit: (parameters, call) => fitOpenAi(parameters, call.model),
    });
    return {
      ...codec,
      origin: new URL(base).origin,
      speaksOpenAi: true,
      capabilities: (model, operation) => openAiFamily(model)[operation],
    };
  },
});
