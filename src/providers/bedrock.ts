import { AwsV4Signer } from 'aws4fetch';
import schema from '../../schemas/providers/bedrock.schema.json' with { type: 'json' };
import type { GatewayError } from '../errors.ts';
import type { BedrockConfig } from '../generated/providers/bedrock.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import type { Secret } from '../secret.ts';
import { answerOf, base64Picture, failedJob, list, object, readObject, refusal, text } from './answers.ts';
import { bedrockCapabilities, bedrockMembers, bedrockModels } from './bedrock-models.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type Provider, type SignableRequest } from './provider.ts';
import { modelSegment, postJson, withoutSlash } from './requests.ts';

/**
 * Amazon Bedrock: Stable Image and Amazon's own models, each with a body of its own. Source: Amazon Bedrock's API reference,
 * "InvokeModel", and its user guide, "Inference request parameters" (2026).
 */
export const bedrock = defineProvider({
  name: 'bedrock',
  aliases: [],
  schema,
  tokenOptional: false,
  models: bedrockModels,
  create({ connection }: BedrockConfig): Provider {
    const { region } = connection;
    const base = withoutSlash(connection.base_url ?? `https://bedrock-runtime.${region}.amazonaws.com`);
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: bedrockCapabilities,
      encode: (call) => encode(call, base),
      authorise: (token) => (signingKeysOf(token) === undefined ? bearer(token) : {}),
      sign: (request, token) => sign(request, token, region),
      decode,
      fault: faultReader(readFaultWords),
    };
  },
});

/** What a request is signed with; undefined for one of Bedrock's own API keys, which hold no colon. */
function signingKeysOf(token: Secret | undefined): readonly string[] | undefined {
  const parts = token?.reveal().split(':') ?? [];
  return parts.length > 1 ? parts : undefined;
}

/** Signature Version 4. The model's name, percent-encoded in the address, is encoded once more in what is signed. */
async function sign(
  { method, url, bodySha256, nowMs }: SignableRequest,
  token: Secret | undefined,
  region: string,
): Promise<Readonly<Record<string, string>>> {
  const keys = signingKeysOf(token);
  if (keys === undefined) return bearer(token);
  const [accessKeyId = '', secretAccessKey = '', sessionToken] = keys;
  const signer = new AwsV4Signer({
    method,
    url,
    headers: { 'x-amz-content-sha256': bodySha256 },
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    service: 'bedrock',
    region,
    datetime: new Date(nowMs).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
  });
  const { headers } = await signer.sign();
  return Object.fromEntries(headers);
}

function encode(call: TargetCall, base: string): EncodedCall {
  const { members, dropped } = bedrockMembers(call);
  return { request: postJson(`${base}/model/${modelSegment(call.model)}/invoke`, members), dropped };
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const state = text(document['status']);
  if (state !== undefined && /moderated/i.test(state)) {
    const given = list(object(document['details'])['Moderation Reasons']).flatMap((reason) => text(reason) ?? []);
    throw refusal([state, ...given].join(': '));
  }
  const reasons = list(document['finish_reasons']).map(text);
  const images = list(document['images']).filter((_, index) => reasons[index] === undefined);
  // Where some of the pictures are kept back the others come, and the reason beside them.
  const reason = reasons.find((one) => one !== undefined) ?? text(document['error']);
  if (images.length === 0 && reason !== undefined) throw withheld(reason);
  return answerOf(images.map(base64Picture));
}

function withheld(reason: string): GatewayError {
  return /inference error/i.test(reason) ? failedJob(reason) : refusal(reason);
}

const aboutCredential =
  /^(AccessDenied|UnrecognizedClient|ExpiredToken|MissingAuthentication|\w*Signature|InvalidClientToken)/;
const refusesContent = /content filter|moderat|blocked by|flagged|responsible ai/i;

/** What kind of error it is stands in a header, with an address behind it. */
function readFaultWords(document: unknown, { headers }: UpstreamReply): FaultWords {
  const { __type: inside, Message: capital } = object(document);
  const kind = (headers['x-amzn-errortype'] ?? text(inside) ?? '').replace(/^.*#|:.*$/gs, '');
  const words = commonWords(document);
  const message = words.message ?? text(capital);
  return {
    ...words,
    message,
    refusal: kind === 'ValidationException' && refusesContent.test(message ?? ''),
    about: aboutOf(kind),
  };
}

function aboutOf(kind: string): FaultWords['about'] {
  if (aboutCredential.test(kind)) return 'credential';
  if (kind === 'ServiceQuotaExceededException') return 'limit';
  return kind === 'ModelErrorException' ? 'failure' : undefined;
}
