import schema from '../../schemas/providers/imagerouter.schema.json' with { type: 'json' };
import type { ImagerouterConfig } from '../generated/providers/imagerouter.ts';
import type { GatewayError } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { nanoUsd, object, text, wholeNumber, type Members } from './answers.ts';
import { commonWords, faultFrom, type FaultWords } from './faults.ts';
import {
  createOpenAiDialect,
  imagesPath,
  ratioInPixels,
  type DialectParameters,
  type Fitted,
} from './openai-dialect.ts';
import { defineProvider, type OperationCapabilities, type Provider } from './provider.ts';
import { withoutSlash } from './requests.ts';

/**
 * ImageRouter: one address for the models of many vendors, which it charges for by the picture. It makes one picture a
 * request, and WebP unless told otherwise. Source: docs.imagerouter.io and its server, DaWe35/image-router.
 */
export const imagerouter = defineProvider({
  name: 'imagerouter',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [{ name: 'black-forest-labs/FLUX-2-pro' }, { name: 'test/test' }],
  create({ connection }: ImagerouterConfig): Provider {
    const base = withoutSlash(connection.base_url);
    const codec = createOpenAiDialect({
      url: (operation) => `${base}${imagesPath(operation)}`,
      fit,
      // It knows `b64_ephemeral` as well: a picture that it does not keep.
      finish: (members, { responseFormat }) => ({ ...members, response_format: responseFormat }),
      words: wordsOf,
      failure: failureOf,
      told: ({ cost }) => ({ costNanoUsd: nanoUsd(cost) }),
    });
    return {
      ...codec,
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => (operation === 'generation' ? generation : edition),
    };
  },
});

const generation: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'url',
  parameters: { n: 'mapped', size: 'native', quality: 'mapped', outputFormat: 'native' },
  further: [],
  promptOptional: true,
};
const edition: OperationCapabilities = { ...generation, inputs: { max: 16, as: 'bytes' }, mask: 'alpha' };

const qualities: ReadonlyMap<string, string> = new Map([
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['hd', 'high'],
  ['xhigh', 'high'],
  ['max', 'high'],
]);
/** Those that its models have when nothing is said. */
const ordinary: ReadonlySet<string> = new Set(['auto', 'standard']);

function fit({ size, quality = 'auto', outputFormat, responseFormat }: DialectParameters): Fitted {
  const own = qualities.get(quality);
  return {
    fitted: { size: size === 'auto' ? undefined : ratioInPixels(size), quality: own, outputFormat, responseFormat },
    dropped: own === undefined && !ordinary.has(quality) ? ['quality'] : [],
  };
}

function wordsOf(document: unknown, reply: UpstreamReply): FaultWords {
  const words = commonWords(document);
  const said = [text(object(object(document)['error'])['type']), words.code, words.message].join(' ');
  const reset = /^\d{1,6}$/.exec(reply.headers['ratelimit-reset'] ?? '')?.[0];
  return {
    ...words,
    // The words are those of whichever vendor refused.
    refusal: /moderation|content[_ ]policy|safety system|nsfw/i.test(said),
    about: /deposit_required|(insufficient|not enough) (credit|balance)/i.test(said) ? 'credential' : undefined,
    retryAfterMs: reset === undefined || reply.status !== 429 ? undefined : Number(reset) * 1000,
  };
}

/**
 * An answer begins with status 200 and blanks, long before it is known how the call ends; what fails later says so in
 * the document, its status too.
 */
function failureOf(document: Members, reply: UpstreamReply): GatewayError | undefined {
  if (text(document['error']) === undefined && !isJsonObject(document['error'])) return undefined;
  const told = wholeNumber(document['status']) ?? 0;
  const meant: UpstreamReply = { ...reply, status: told >= 400 && told < 600 ? told : 502 };
  return faultFrom(meant, wordsOf(document, meant));
}
