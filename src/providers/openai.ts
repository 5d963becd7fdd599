import schema from '../../schemas/providers/openai.schema.json' with { type: 'json' };
import type { OpenaiConfig } from '../generated/providers/openai.ts';
import { createOpenAiDialect, type DialectParameters } from './openai-dialect.ts';
import { defineProvider, type Provider } from './provider.ts';

/** OpenAI itself. What its models take is in OpenAI's API reference, "Images"; the dall-e family is kept for mirrors of it. */
export const openai = defineProvider({
  name: 'openai',
  aliases: [],
  schema,
  tokenOptional: false,
  create({ connection }: OpenaiConfig): Provider {
    const { base_url: baseUrl, organization, project } = connection;
    const base = baseUrl.replace(/\/+$/, '');
    const codec = createOpenAiDialect({
      baseUrl: base,
      headers: {
        ...(organization === undefined ? {} : { 'openai-organization': organization }),
        ...(project === undefined ? {} : { 'openai-project': project }),
      },
      fit: (parameters, call) => fit(parameters, call.model),
    });
    return {
      ...codec,
      origin: new URL(base).origin,
      speaksOpenAi: true,
      capabilities: (model) => ({
        operations: model.startsWith('dall-e-3') ? ['generation'] : ['generation', 'edition'],
        maxImages: model.startsWith('dall-e-3') ? 1 : 10,
        nativeForm: isDallE(model) ? 'url' : 'b64_json',
      }),
    };
  },
});

const isDallE = (model: string): boolean => model.startsWith('dall-e');

/** The models that know `input_fidelity`; all others answer 400 to it. */
const knowsFidelity = /^gpt-image-1(\.5)?(-\d{4}-\d{2}-\d{2})?$/;

/**
 * Leaves out what a model would answer with a 400, and translates between the two vocabularies of quality. Names that
 * we do not know are treated as GPT Image models, the family that new ones join.
 */
function fit(parameters: DialectParameters, model: string): { fitted: DialectParameters; dropped: readonly string[] } {
  const { seed, style, inputFidelity, responseFormat, ...common } = parameters;
  const dropped = new Set<string>();
  const keepIf = <Value>(name: string, value: Value | undefined, taken: boolean): Value | undefined => {
    if (value !== undefined && !taken) dropped.add(name);
    return taken ? value : undefined;
  };
  keepIf('seed', seed, false);
  const shared = {
    style: keepIf('style', style, model.startsWith('dall-e-3')),
    inputFidelity: keepIf('input_fidelity', inputFidelity, knowsFidelity.test(model)),
  };
  if (!isDallE(model)) {
    // Asked for all the same by most clients; the gateway gives the form by itself.
    return { fitted: { ...common, ...shared, quality: gptImageQuality(common.quality) }, dropped: [...dropped] };
  }
  const { n, size, quality, user } = common;
  keepIf('background', common.background, false);
  keepIf('moderation', common.moderation, false);
  keepIf('output_format', common.outputFormat, false);
  keepIf('output_compression', common.outputCompression, false);
  // The only quality of DALL·E 2 is the standard one.
  keepIf('quality', dallEQuality(quality) === 'hd' ? quality : undefined, model.startsWith('dall-e-3'));
  return {
    fitted: {
      n,
      user,
      ...shared,
      responseFormat,
      size: size === 'auto' ? undefined : size,
      quality: model.startsWith('dall-e-3') ? dallEQuality(quality) : undefined,
    },
    dropped: [...dropped],
  };
}

function gptImageQuality(quality: string | undefined): string | undefined {
  if (quality === 'standard') return 'auto';
  return quality === 'hd' ? 'high' : quality;
}

function dallEQuality(quality: string | undefined): string | undefined {
  if (quality === undefined || quality === 'auto') return undefined;
  return quality === 'hd' || quality === 'high' ? 'hd' : 'standard';
}
