import schema from '../../schemas/providers/cloud-temple.schema.json' with { type: 'json' };
import type { CloudTempleConfig } from '../generated/providers/cloud-temple.ts';
import { createOpenAiDialect, imagesPath, ratioInPixels } from './openai-dialect.ts';
import { defineProvider, type OperationCapabilities, type Provider } from './provider.ts';
import { withoutSlash } from './requests.ts';

/**
 * Cloud Temple's LLM as a service. It lists `/images/generations` as compatible with OpenAI's and says nothing of its
 * parameters and answers, so only the common ones are sent. Source: Cloud-Temple/docs, "LLMaaS", API and models.
 */
export const cloudTemple = defineProvider({
  name: 'cloud-temple',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [{ name: 'z-image:16b', retired: '2026-12-30' }],
  create({ connection }: CloudTempleConfig): Provider {
    const base = withoutSlash(connection.base_url);
    const codec = createOpenAiDialect({
      url: (operation) => `${base}${imagesPath(operation)}`,
      fit: ({ n, size, responseFormat }) => ({
        fitted: { n, size: size === 'auto' ? undefined : ratioInPixels(size), responseFormat },
      }),
    });
    return {
      ...codec,
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities(_model, operation) {
        if (operation === 'generation') return generation;
        return connection.edits ? edition : undefined;
      },
    };
  },
});

const generation: OperationCapabilities = {
  maxImages: 10,
  nativeForm: 'unknown',
  parameters: { n: 'native', size: 'native' },
  further: [],
};
const edition: OperationCapabilities = { ...generation, inputs: { max: 16, as: 'bytes' }, mask: 'alpha' };
