import schema from '../../schemas/providers/gemini.schema.json' with { type: 'json' };
import type { GeminiConfig } from '../generated/providers/gemini.ts';
import type { Operation, TargetCall } from '../pipeline/call.ts';
import { completeBase } from './base-url.ts';
import { faultReader } from './faults.ts';
import {
  decodeContent,
  encodeContent,
  geminiEdition,
  geminiGeneration,
  googleImageModels,
  googleWords,
  modelUrl,
} from './google-images.ts';
import { decodeImagen, encodeImagen, imagenGeneration, isImagen } from './google-imagen.ts';
import { createOpenAiDialect } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';

/** Google's Gemini API (ai.google.dev): Gemini's image models, Imagen, and the route that looks like OpenAI's. */
export const gemini = defineProvider({
  name: 'gemini',
  aliases: [],
  schema,
  tokenOptional: false,
  models: googleImageModels,
  create({ connection }: GeminiConfig): Provider {
    // The base of the route that looks like OpenAI's, which Otoroshi's documentation has, is understood as well.
    const base = completeBase(connection.base_url.replace(/\/openai\/*$/, ''), '/v1beta');
    const { origin } = new URL(base);
    if (connection.api === 'openai') return { ...openAiRoute(base), origin, speaksOpenAi: false };
    return {
      origin,
      speaksOpenAi: false,
      capabilities: nativeCapabilities,
      // Never as `?key=`: addresses end up in logs and in error texts.
      authorise: (token) => (token === undefined ? {} : { 'x-goog-api-key': token.reveal() }),
      encode: (call) => encodeNative(`${base}/models`, call),
      decode: (reply, call) => (isImagen(call.model) ? decodeImagen(reply) : decodeContent(reply)),
      fault: faultReader(googleWords),
    };
  },
});

function nativeCapabilities(model: string, operation: Operation): OperationCapabilities | undefined {
  if (isImagen(model)) return operation === 'generation' ? imagenGeneration : undefined;
  return operation === 'generation' ? geminiGeneration : geminiEdition;
}

function encodeNative(models: string, call: TargetCall): EncodedCall {
  return isImagen(call.model)
    ? encodeImagen(modelUrl(models, call.model, 'predict'), call)
    : encodeContent(modelUrl(models, call.model, 'generateContent'), call);
}

/** What is documented for it: nothing but the number of pictures, and no edits. */
const imagenByOpenAi: OperationCapabilities = {
  maxImages: 4,
  nativeForm: 'b64_json',
  parameters: { n: 'native' },
  further: [],
};
const geminiByOpenAi: OperationCapabilities = { ...imagenByOpenAi, maxImages: 1 };

function openAiRoute(base: string): Pick<Provider, 'capabilities' | 'encode' | 'authorise' | 'decode' | 'fault'> {
  return {
    ...createOpenAiDialect({
      url: () => `${base}/openai/images/generations`,
      fit: ({ n }) => ({ fitted: { n, responseFormat: 'b64_json' } }),
      words: googleWords,
    }),
    capabilities(model, operation) {
      if (operation === 'edition') return undefined;
      return isImagen(model) ? imagenByOpenAi : geminiByOpenAi;
    },
  };
}
