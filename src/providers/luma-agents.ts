import schema from '../../schemas/providers/luma-agents.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { LumaAgentsConfig } from '../generated/providers/luma-agents.ts';
import type { InputImage, Operation, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireJson } from '../pipeline/upstream.ts';
import {
  answerOf,
  failedJob,
  linkPicture,
  list,
  object,
  readObject,
  refusal,
  secondsOf,
  text,
  type Members,
} from './answers.ts';
import { completeBase } from './base-url.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { pollLumaJob, type LumaJobs } from './luma-jobs.ts';
import { bearer } from './openai-dialect.ts';
import { pngOrJpeg } from './picture-formats.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { bareBase64, pictureOf, postJson } from './requests.ts';
import { nearestRatio } from './sizes.ts';

/** The Luma Agents API. Source: docs.agents.lumalabs.ai, "Image generation", "Image editing", "Error handling". */
export const lumaAgents = defineProvider({
  name: 'luma-agents',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [{ name: 'uni-1' }, { name: 'uni-1-max' }],
  create({ connection }: LumaAgentsConfig): Provider {
    const base = completeBase(connection.base_url, '/v1');
    const jobs: LumaJobs = { url: `${base}/generations`, running: ['queued', 'processing'], failure };
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => operations[operation],
      encode: (call) => encode(call, jobs.url),
      authorise: bearer,
      poll: (reply, asked) => pollLumaJob(reply, asked, jobs),
      decode,
      fault: faultReader(agentsWords),
    };
  },
});

const generation: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'url',
  parameters: { size: 'mapped', style: 'native', outputFormat: 'mapped', user: 'mapped' },
  further: ['aspect_ratio', 'web_search', 'image_ref'],
};
const operations: Readonly<Record<Operation, OperationCapabilities>> = {
  generation,
  // The picture to change, and up to 8 to go by.
  edition: { ...generation, further: ['aspect_ratio', 'web_search'], inputs: { max: 9, as: 'bytes' } },
};

const ratios = ['3:1', '2:1', '16:9', '3:2', '1:1', '2:3', '9:16', '1:2', '1:3'];
const styles: ReadonlySet<string | undefined> = new Set([undefined, 'auto', 'manga']);
const maxUserLength = 256;

function encode(call: TargetCall, url: string): EncodedCall {
  const { size, style, outputFormat, user } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const [source, ...others] = call.images.map(reference);
  const isUserTooLong = user !== undefined && user.length > maxUserLength;
  const members = {
    model: call.model,
    prompt: call.prompt,
    type: source === undefined ? 'image' : 'image_edit',
    source,
    image_ref: others.length === 0 ? undefined : others,
    // Where nothing is asked for, the model chooses; for an edit that is the ratio of the source.
    aspect_ratio: nearestRatio(size, ratios),
    style: styles.has(style) ? style : undefined,
    output_format: format,
    user_id: isUserTooLong ? undefined : user,
    ...call.unknown,
  };
  const dropped = [
    ...(styles.has(style) ? [] : ['style']),
    ...(outputFormat === undefined || format !== undefined ? [] : ['output_format']),
    ...(isUserTooLong ? ['user'] : []),
  ];
  return { request: postJson(url, members), dropped };
}

function reference(image: InputImage): WireJson {
  return { data: bareBase64(image), media_type: pictureOf(image).mediaType };
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const job = await readObject(reply);
  const pictures = list(job['output']).map((item) => linkPicture(object(item)['url']));
  return answerOf(pictures, { created: secondsOf(job['created_at']) });
}

function failure(job: Members): GatewayError {
  const reason = text(job['failure_reason']);
  switch (job['failure_code']) {
    case 'content_moderated':
      return refusal(reason);
    case 'invalid_request':
    case 'image_too_large':
    case 'unsupported_format':
    case 'corrupt_input':
      return new GatewayError('invalid_value', reason ?? 'The provider cannot use the request.', { status: 400 });
    case 'rate_limited':
      return new GatewayError('rate_limit_exceeded', reason ?? 'The provider had too many requests.');
    case 'budget_exhausted':
      return new GatewayError('upstream_auth_failed', 'The provider refused the credential of the gateway.', {
        cause: new Error(reason ?? 'budget_exhausted'),
      });
    default:
      return failedJob(reason);
  }
}

function agentsWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const words = commonWords(document);
  return { ...words, refusal: [400, 422].includes(status) && /moderat/i.test(words.message ?? '') };
}
