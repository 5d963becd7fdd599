import schema from '../../schemas/providers/black-forest-labs.schema.json' with { type: 'json' };
import { bytesSource } from '../body/byte-source.ts';
import type { BlackForestLabsConfig } from '../generated/providers/black-forest-labs.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, invalidAnswer, nanoUsd, number, object, readObject, text, type Members } from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { isReady, sampleOf } from './flux-jobs.ts';
import { fluxFamily, fluxMembers } from './flux-models.ts';
import { defineProvider, type Asked, type EncodedCall, type PollOutcome, type Provider } from './provider.ts';
import { getJson, modelSegment, postJson, withoutSlash } from './requests.ts';

/** Black Forest Labs, who make FLUX. Every request becomes a job. Source: docs.bfl.ai (2026). */
export const blackForestLabs = defineProvider({
  name: 'black-forest-labs',
  aliases: ['bfl'],
  schema,
  tokenOptional: false,
  models: [
    { name: 'flux-2-max' },
    { name: 'flux-2-pro' },
    { name: 'flux-2-flex' },
    { name: 'flux-2-klein-4b' },
    { name: 'flux-2-klein-9b' },
    { name: 'flux-3-image' },
    { name: 'flux-kontext-pro' },
    { name: 'flux-kontext-max' },
    { name: 'flux-pro-1.1' },
    { name: 'flux-pro-1.1-ultra' },
    { name: 'flux-pro' },
    { name: 'flux-dev' },
    { name: 'flux-pro-1.0-fill' },
    { name: 'flux-pro-1.0-expand' },
  ],
  create({ connection }: BlackForestLabsConfig): Provider {
    const base = withoutSlash(connection.base_url);
    const reaches = clusterOf(base);
    return {
      origin: new URL(base).origin,
      reaches,
      speaksOpenAi: false,
      capabilities: (model, operation) => fluxFamily(model)[operation],
      encode: (call) => encode(call, base),
      authorise: (token): Readonly<Record<string, string>> => (token === undefined ? {} : { 'x-key': token.reveal() }),
      poll: (reply, asked) => poll(reply, asked, base, reaches),
      decode,
      fault: faultReader((document) => ({ ...commonWords(document), refusal: false })),
    };
  },
});

/** A job lies with one of several regional hosts, such as `api.eu1.bfl.ai`, and only there. */
function clusterOf(base: string): (origin: string) => boolean {
  const home = new URL(base);
  const isVendor = (hostname: string): boolean => hostname.endsWith('.bfl.ai');
  return (origin) => {
    const url = URL.parse(origin);
    if (url === null || origin === home.origin) return url !== null;
    return isVendor(home.hostname) && isVendor(url.hostname) && url.protocol === 'https:' && url.port === '';
  };
}

function encode(call: TargetCall, base: string): EncodedCall {
  const { members, dropped } = fluxMembers(call);
  return { request: postJson(`${base}/${modelSegment(call.model)}`, members), dropped };
}

/** The price is told when the job is taken, so that it goes along with the job. */
async function poll(
  reply: UpstreamReply,
  { request, state: cost }: Asked,
  base: string,
  reaches: (origin: string) => boolean,
): Promise<PollOutcome> {
  const document = await readObject(reply);
  if (request.method === 'POST') {
    const url = pollingUrl(document, base);
    if (!reaches(url.origin)) throw invalidAnswer('its job lies with a host that is not the provider’s');
    return { kind: 'again', request: getJson(url.href), state: document['cost'] };
  }
  if (!isReady(document)) {
    const progress = number(document['progress']);
    return { kind: 'again', request, state: cost, progress: progress && Math.min(progress, 1) };
  }
  const { sample, prompt } = object(document['result']);
  const told = { result: { sample: text(sample), prompt: text(prompt) }, cost: number(cost) };
  return { kind: 'done', reply: { ...reply, body: bytesSource(Buffer.from(JSON.stringify(told))) } };
}

/** Older answers name the job alone. */
function pollingUrl(document: Members, base: string): URL {
  const id = text(document['id']);
  const told = text(document['polling_url']) ?? (id && `${base}/get_result?id=${encodeURIComponent(id)}`);
  const url = told === undefined ? null : URL.parse(told, base);
  if (url === null) throw invalidAnswer('it names no job');
  return url;
}

async function decode(reply: UpstreamReply, call: TargetCall): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const payload = sampleOf(document);
  const prompt = text(object(document['result'])['prompt']);
  const credits = number(document['cost']);
  return answerOf([payload && { payload, revisedPrompt: prompt === call.prompt ? undefined : prompt }], {
    // A credit is a cent.
    costNanoUsd: credits === undefined ? undefined : nanoUsd(credits / 100),
  });
}
