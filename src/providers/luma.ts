import schema from '../../schemas/providers/luma.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { LumaConfig } from '../generated/providers/luma.ts';
import { isJsonObject } from '../json.ts';
import type { Operation, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireJson } from '../pipeline/upstream.ts';
import {
  answerOf,
  failedJob,
  linkPicture,
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
import { linkOf, postJson } from './requests.ts';
import { nearestRatio } from './sizes.ts';

/** Luma's Dream Machine API. Sources: docs.lumalabs.ai, "Image Generation"; lumalabs/lumaai-python. */
export const luma = defineProvider({
  name: 'luma',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [{ name: 'photon-1' }, { name: 'photon-flash-1' }],
  create({ connection }: LumaConfig): Provider {
    const base = completeBase(connection.base_url, '/dream-machine/v1');
    const jobs: LumaJobs = {
      url: `${base}/generations`,
      running: ['queued', 'dreaming'],
      failure,
      cancel: (url) => ({ method: 'DELETE', url, headers: { accept: 'application/json' }, body: { kind: 'none' } }),
    };
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => operations[operation],
      encode: (call) => encode(call, `${base}/generations/image`),
      authorise: bearer,
      poll: (reply, asked) => pollLumaJob(reply, asked, jobs),
      decode,
      fault: faultReader(lumaWords),
    };
  },
});

const generation: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'url',
  parameters: { size: 'mapped', outputFormat: 'mapped' },
  further: ['aspect_ratio', 'image_ref', 'style_ref', 'character_ref', 'modify_image_ref'],
};
const operations: Readonly<Record<Operation, OperationCapabilities>> = {
  generation,
  edition: { ...generation, inputs: { max: 1, as: 'link' } },
};

const ratios = ['1:1', '16:9', '9:16', '4:3', '3:4', '21:9', '9:21'];

function encode(call: TargetCall, url: string): EncodedCall {
  const { size, outputFormat } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const members = {
    model: call.model,
    prompt: call.prompt,
    // Luma's own default is 16:9.
    aspect_ratio: nearestRatio(size, ratios) ?? '1:1',
    format: format === 'jpeg' ? 'jpg' : format,
    ...call.unknown,
    modify_image_ref: modifyImageRef(call),
  };
  return {
    request: postJson(url, members),
    dropped: outputFormat === undefined || format !== undefined ? [] : ['output_format'],
  };
}

/** The picture to change. What the caller wrote wins, so that it can say how much is kept: `{"weight": 0.8}`. */
function modifyImageRef({ images: [image], unknown }: TargetCall): WireJson | undefined {
  const { modify_image_ref: own } = unknown;
  if (image === undefined || (own !== undefined && !isJsonObject(own))) return own;
  return { url: linkOf(image), ...own };
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const job = await readObject(reply);
  return answerOf([linkPicture(object(job['assets'])['image'])], { created: secondsOf(job['created_at']) });
}

function failure(job: Members): GatewayError {
  const reason = text(job['failure_reason']);
  if (isRefusal(reason)) return refusal(reason);
  return reason?.startsWith('400:') === true
    ? new GatewayError('invalid_value', reason.slice('400:'.length).trim(), { status: 400 })
    : failedJob(reason);
}

/**
 * "Advanced moderation failed" refuses the content; "failed to moderate image" is about a link that could not be read.
 * Sources: lumalabs/ComfyUI-LumaAI-API, issues 7, 9 and 14.
 */
function isRefusal(words: string | undefined): boolean {
  return words !== undefined && /moderat/i.test(words) && !/failed to moderate/i.test(words);
}

function lumaWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const words = commonWords(document);
  const isBroke = /insufficient (?:credit|balance|fund)/i.test(words.message ?? '');
  return {
    ...words,
    refusal: [400, 403, 422].includes(status) && isRefusal(words.message),
    about: isBroke ? 'credential' : undefined,
  };
}
