import schema from '../../schemas/providers/stability.schema.json' with { type: 'json' };
import type { StabilityConfig } from '../generated/providers/stability.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, base64Picture, invalidAnswer, object, readObject, refusal, text } from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import {
  defineProvider,
  type Asked,
  type EncodedCall,
  type OperationCapabilities,
  type PollOutcome,
  type Provider,
  type SupportedParameters,
} from './provider.ts';
import { fieldParts, filePart, getJson, withoutSlash } from './requests.ts';
import { stableImageMembers, stableImageTasks, type StableImageTask } from './stable-image.ts';

/**
 * Stability AI. Source: its REST API reference, "v2beta" (2026). Models are what stands at the end of a path, with or
 * without what stands before it: `core`, `stable-image-core`, `inpaint`, `edit/inpaint`; and the names of SD 3.5.
 */
export const stability = defineProvider({
  name: 'stability',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'sd3.5-large' },
    { name: 'sd3.5-large-turbo' },
    { name: 'sd3.5-medium' },
    { name: 'sd3.5-flash' },
    ...Object.values(stableImageTasks).map(({ path }) => ({ name: path.replace('generate/', '') })),
  ],
  create({ connection }: StabilityConfig): Provider {
    const base = withoutSlash(connection.base_url);
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (model, operation) => taskOf(model)[operation],
      encode: (call) => encode(call, base),
      authorise: bearer,
      poll: (reply, asked) => poll(reply, asked, base),
      decode,
      fault: faultReader((document) => ({
        ...commonWords(document),
        refusal: object(document)['name'] === 'content_moderation',
      })),
    };
  },
});

/** The caller's end user goes in a header, for questions of moderation; styles are for one model alone. */
function extended({ generation, edition, ...task }: StableImageTask): StableImageTask {
  const style: SupportedParameters = task.path === 'generate/core' ? { style: 'mapped' } : {};
  const extend = (capabilities: OperationCapabilities): OperationCapabilities => ({
    ...capabilities,
    parameters: { ...capabilities.parameters, ...style, user: 'mapped' },
  });
  return {
    ...task,
    ...(generation === undefined ? {} : { generation: extend(generation) }),
    ...(edition === undefined ? {} : { edition: extend(edition) }),
  };
}

const tasks = new Map(Object.entries<StableImageTask>(stableImageTasks).map(([name, task]) => [name, extended(task)]));
const sd3 = tasks.get('sd3') ?? extended(stableImageTasks.sd3);

function nameOf(model: string): string {
  return model.replace(/^(stable-image-|(generate|edit|upscale|control)\/)/, '');
}

/** What is not known yet is taken for a model of the family that new ones join. */
function taskOf(model: string): StableImageTask {
  return tasks.get(nameOf(model)) ?? sd3;
}

function encode(call: TargetCall, base: string): EncodedCall {
  const { images, mask, model, parameters } = call;
  const task = taskOf(model);
  const { members, dropped } = stableImageMembers(task, call);
  const name = nameOf(model);
  // The path alone means the largest of the family.
  const variant = task === sd3 && name !== 'sd3' ? { model: name } : {};
  const files = images.map((image, index) => filePart(task.pictures[index] ?? 'image', `image-${index}`, image));
  const { user } = parameters;
  const tellsUser = user !== undefined && /^[\x20-\x7e]{1,256}$/.test(user);
  return {
    request: {
      method: 'POST',
      url: `${base}/v2beta/stable-image/${task.path}`,
      headers: { accept: 'application/json', ...(tellsUser ? { 'stability-client-user-id': user } : {}) },
      // A form also where there is no file in it: nothing else is read.
      body: {
        kind: 'multipart',
        parts: [
          ...fieldParts({ ...variant, ...members }),
          ...files,
          ...(mask === undefined ? [] : [filePart('mask', 'mask', mask)]),
        ],
      },
    },
    dropped: user === undefined || tellsUser ? dropped : [...dropped, 'user'],
  };
}

/** The creative upscaler alone answers with a job; 202 says that it is under way. */
async function poll(reply: UpstreamReply, { call, request, state }: Asked, base: string): Promise<PollOutcome> {
  if (taskOf(call.model).path !== 'upscale/creative') return { kind: 'done', reply };
  if (state === undefined) {
    const id = text((await readObject(reply))['id']);
    if (id === undefined) throw invalidAnswer('it names no job');
    return { kind: 'again', request: getJson(`${base}/v2beta/results/${encodeURIComponent(id)}`), state: id };
  }
  if (reply.status !== 202) return { kind: 'done', reply };
  if (text((await readObject(reply))['id']) === undefined) throw invalidAnswer('it is about no job');
  return { kind: 'again', request, state };
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  // The picture is there all the same, but blurred.
  if (document['finish_reason'] === 'CONTENT_FILTERED') throw refusal(undefined);
  return answerOf([base64Picture(document['image'])]);
}
