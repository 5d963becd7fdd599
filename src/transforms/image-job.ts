import schema from '../../schemas/stages/image-job.schema.json' with { type: 'json' };
import type { ByteSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import { base64Length, encodeBase64 } from '../images/base64.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import { jobDocument, outcomeOf } from '../pipeline/job-document.ts';
import { jsonResponse, type BodyResponse } from '../pipeline/response.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import type { Job } from '../stores/job-store.ts';
import { jobHeaders } from './job-headers.ts';
import { openBody } from './kept-answer.ts';

/**
 * Tells how a job is, with its result when it has one, and cancels it when the request is a DELETE. A job is its consumer's:
 * for others there is none of this id.
 */
export const imageJob = defineStage({
  name: 'image-job',
  schema,
  reads: ['caller'],
  writes: ['response'],
  create(_config, env) {
    return async function imageJob(exchange) {
      const job = await findJob(exchange, env);
      if (exchange.request.method !== 'DELETE') return { response: await answer(job, exchange, env) };
      const ended = await env.store.cancelJob(job.id, env.clock.now() + env.catalogue.jobs.keptMs);
      if (ended?.state === 'cancelled') env.jobs.end(job.id);
      return { response: await answer(ended ?? job, exchange, env) };
    };
  },
});

type View = ExchangeView<'caller'>;

/** The longest id that is looked for. */
const longestId = 128;

/** @throws GatewayError job_not_found */
async function findJob({ request, caller }: View, { store }: StageEnv): Promise<Job> {
  const { id = '' } = request.parameters;
  const job = id.length > longestId || !/^[\w-]+$/.test(id) ? undefined : await store.readJob(id);
  if (job === undefined || job.consumer !== (caller.consumer?.id ?? null)) throw notFound();
  return job;
}

const notFound = (): GatewayError => new GatewayError('job_not_found', 'There is no job of this id.');

async function answer(job: Job, exchange: View, env: StageEnv): Promise<BodyResponse> {
  const document = jobDocument(job);
  const headers = jobHeaders(job, env.clock.now());
  const outcome = job.state === 'succeeded' ? outcomeOf(job) : undefined;
  if (outcome === undefined || 'error' in outcome) return jsonResponse(200, document, headers);
  const result = await openBody(outcome.body, env.answers, exchange);
  if (result === undefined) throw new GatewayError('job_not_found', 'The result of this job is not there any more.');
  const { 'content-type': contentType = 'application/octet-stream', ...others } = outcome.headers;
  const told = Object.entries(others).filter(([name]) => name.startsWith('x-pinhole-'));
  return {
    kind: 'body',
    status: 200,
    headers: { 'content-type': 'application/json', ...Object.fromEntries(told), ...headers },
    body: withResult(
      JSON.stringify(document),
      /^application\/json\b/i.test(contentType) ? result : asText(result, contentType),
    ),
  };
}

/** A picture by itself, which a caller who had waited would have had as such, as a data URI. */
function asText(picture: ByteSource, mediaType: string): ByteSource {
  const head = Buffer.from(`"data:${mediaType};base64,`);
  const tail = Buffer.from('"');
  return {
    length: picture.length === undefined ? undefined : head.length + base64Length(picture.length) + tail.length,
    cancel: picture.cancel,
    async *[Symbol.asyncIterator]() {
      yield head;
      yield* encodeBase64(picture);
      yield tail;
    },
  };
}

/** @param document an object, as JSON */
function withResult(document: string, result: ByteSource): ByteSource {
  const head = Buffer.from(`${document.slice(0, -1)},"result":`);
  const tail = Buffer.from('}');
  return {
    length: result.length === undefined ? undefined : head.length + result.length + tail.length,
    cancel: result.cancel,
    async *[Symbol.asyncIterator]() {
      yield head;
      yield* result;
      yield tail;
    },
  };
}
