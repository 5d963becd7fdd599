import schema from '../../schemas/providers/azure-openai.schema.json' with { type: 'json' };
import type { AzureOpenaiConfig } from '../generated/providers/azure-openai.ts';
import { ConfigError } from '../pipeline/stage.ts';
import type { Secret } from '../secret.ts';
import { object } from './answers.ts';
import type { FaultWords } from './faults.ts';
import { bearer, createOpenAiDialect, imagesPath, openAiWords } from './openai-dialect.ts';
import { fitOpenAi, openAiFamilies, openAiFamily } from './openai-families.ts';
import { defineProvider, type OperationCapabilities, type Provider } from './provider.ts';
import { modelSegment, withoutSlash } from './requests.ts';

/**
 * OpenAI's models as Azure serves them: by the name of a deployment, which says nothing of its model unless it was named
 * after it. Source: Microsoft's "Azure OpenAI REST API reference", image generation.
 */
export const azureOpenAi = defineProvider({
  name: 'azure-openai',
  aliases: [],
  schema,
  tokenOptional: false,
  // Azure retires models on days of its own.
  models: [
    { name: 'gpt-image-2' },
    { name: 'gpt-image-1.5' },
    { name: 'gpt-image-1-mini' },
    { name: 'gpt-image-1' },
    { name: 'dall-e-3' },
  ],
  create({ connection }: AzureOpenaiConfig): Provider {
    const { deployment_id: deployment, api_version: version, auth } = connection;
    const endpoint = endpointOf(connection);
    const isClassic = version !== 'v1' && version !== 'preview';
    // The newer path needs no version. [?] `preview` is the one that it has been seen with.
    const query = version === 'v1' ? '' : `?api-version=${version}`;
    const codec = createOpenAiDialect({
      url(operation, model) {
        const place = isClassic ? `/openai/deployments/${modelSegment(deployment ?? model)}` : '/openai/v1';
        return `${endpoint}${place}${imagesPath(operation)}${query}`;
      },
      authorise: auth === 'bearer' ? bearer : apiKey,
      fit: (parameters, call) => fitOpenAi(parameters, call.model),
      finish: ({ model, ...members }) => (isClassic ? members : { model: deployment ?? model, ...members }),
      words: azureWords,
    });
    return {
      ...codec,
      origin: new URL(endpoint).origin,
      // DALL·E's pictures come with the findings of the content filter, which are no part of OpenAI's response.
      speaksOpenAi: false,
      capabilities(model, operation) {
        const family = openAiFamily(model);
        return operation === 'generation' ? family.generation : formEdits.get(family.edition);
      },
    };
  },
});

/** Edits go as forms only, which take neither links nor `moderation`. */
const formEdits = new Map<OperationCapabilities | undefined, OperationCapabilities>(
  openAiFamilies.flatMap(({ edition }) => {
    if (edition?.inputs === undefined) return [];
    const { moderation: _moderation, ...parameters } = edition.parameters;
    return [[edition, { ...edition, parameters, inputs: { max: edition.inputs.max, as: 'bytes' } }] as const];
  }),
);

function endpointOf({ base_url: url, resource_name: resource }: AzureOpenaiConfig['connection']): string {
  if (url !== undefined) return withoutSlash(url);
  if (resource !== undefined) return `https://${resource}.openai.azure.com`;
  throw new ConfigError('/connection', 'says neither `base_url` nor `resource_name`');
}

function apiKey(token: Secret | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { 'api-key': token.reveal() };
}

function azureWords(document: unknown): FaultWords {
  const { code, ...words } = openAiWords(document);
  const error = object(object(document)['error']);
  // Azure's images API writes `inner_error`, its other services `innererror`.
  const inner = object(error['inner_error'] ?? error['innererror']);
  const isFiltered = /content_?filter/i.test(code ?? '') || inner['code'] === 'ResponsibleAIPolicyViolation';
  // The resource as a whole is out of service for a while: harmless prompts fail as well, and another provider's do not.
  const isBlocked = code === 'Forbidden' && /temporarily blocked/i.test(words.message ?? '');
  // Codes such as "429" repeat the status; a deployment is a model to the caller.
  const saysLittle = /^\d+$/.test(code ?? '') || code === 'DeploymentNotFound';
  return {
    ...words,
    code: saysLittle ? undefined : code,
    refusal: words.refusal || isFiltered,
    about: isBlocked ? 'failure' : undefined,
  };
}
