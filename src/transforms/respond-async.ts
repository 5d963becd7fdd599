import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import schema from '../../schemas/stages/respond-async.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { payloadContent } from '../images/convert-payload.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import { jobDocument } from '../pipeline/job-document.ts';
import type { JobRequest } from '../pipeline/job.ts';
import { jsonResponse } from '../pipeline/response.ts';
import { ConfigError, defineStage, Halt, type StageEnv } from '../pipeline/stage.ts';
import { jobHeaders } from './job-headers.ts';

/**
 * Makes a job of a call with `Prefer: respond-async` (RFC 7240): its request is kept, and answered with 202 and the address
 * of the job. What stands above in the pipeline has then judged the request; what stands below is done by the job, in its
 * turn, in this process or in another one.
 */
export const respondAsync = defineStage({
  name: 'respond-async',
  schema,
  reads: ['caller', 'call', 'candidates'],
  writes: [],
  before: ['upstream', 'reply'],
  keepsBody: ({ headers }) => prefersAsync(headers),
  create(_config, env) {
    const { jobs } = env.catalogue;
    if (jobs.path === undefined) {
      throw new ConfigError(
        '',
        'nobody could ask after a job: add a route such as { id: job, path: "/v1/images/jobs/:id", methods: [GET, DELETE], pipeline: [authenticate, image-job] }',
      );
    }
    return async function respondAsync(exchange) {
      if (exchange.job !== undefined || !prefersAsync(exchange.request.headers)) return undefined;
      checkForm(exchange.call);
      const id = `job_${randomBytes(24).toString('base64url')}`;
      const nowMs = env.clock.now();
      const keptUntilMs = nowMs + jobs.keptMs;
      const body = await keepRequest(exchange, env, keptUntilMs + jobs.timeoutMs);
      try {
        await enqueue(env, id, {
          consumer: exchange.caller.consumer?.id ?? null,
          request: JSON.stringify(requestOf(exchange, body)),
          keptUntilMs: keptUntilMs + jobs.timeoutMs,
        });
      } catch (error) {
        await env.answers.remove(body).catch(() => undefined);
        throw error;
      }
      env.jobs.wake();
      const job = { ...unbegun, id, createdAtMs: nowMs };
      return new Halt(
        jsonResponse(202, jobDocument(job), {
          ...jobHeaders(job, nowMs),
          location: `${jobs.path?.replace(':id', id)}`,
          'preference-applied': 'respond-async',
        }),
      );
    };
  },
  explain() {
    return function explainRespondAsync(_exchange, { notes }) {
      notes.push('with `Prefer: respond-async` the call becomes a job, for which the stages below run later');
    };
  },
});

type View = ExchangeView<'caller' | 'call' | 'candidates'>;

/** A list of preferences, each with parameters of its own: https://www.rfc-editor.org/rfc/rfc7240#section-2 */
function prefersAsync({ prefer }: IncomingHttpHeaders): boolean {
  const text = Array.isArray(prefer) ? prefer.join(',') : prefer;
  return text?.split(',').some((preference) => /^\s*respond-async\s*(?:;|$)/i.test(preference)) ?? false;
}

/** @throws GatewayError invalid_value for answers that cannot be given later */
function checkForm({ stream, responseFormat }: ImageCall): void {
  if (stream) {
    throw new GatewayError('invalid_value', 'A stream has nobody to take it when the call is a job.', {
      param: 'stream',
    });
  }
  if (responseFormat === 'b64_ephemeral') {
    const message = 'Of `b64_ephemeral` the gateway keeps nothing, and the result of a job is kept.';
    throw new GatewayError('invalid_value', message, { param: 'response_format' });
  }
}

/** @returns the name under which the bytes of the request are kept */
async function keepRequest(exchange: View, { answers }: StageEnv, expiresAtMs: number): Promise<string> {
  const kept = await exchange.keptBody?.();
  if (kept === undefined) throw new GatewayError('internal_error', 'The bytes of this request were not kept.');
  return answers.put(payloadContent(kept), 'application/octet-stream', { expiresAtMs, signal: exchange.signal });
}

/** Milliseconds after which it is worth asking whether there is room in the queue. */
const fullRetryMs = 10_000;

/** @throws GatewayError rate_limit_exceeded when too many wait; overloaded */
async function enqueue(
  { store, catalogue }: StageEnv,
  id: string,
  job: { readonly consumer: string | null; readonly request: string; readonly keptUntilMs: number },
): Promise<void> {
  const { mostQueued, webhook } = catalogue.jobs;
  if (await store.createJob(id, { ...job, notify: webhook !== undefined, mostQueued })) return;
  throw new GatewayError('rate_limit_exceeded', `There are ${mostQueued} jobs waiting, and may not be more.`, {
    retryAfterMs: fullRetryMs,
  });
}

function requestOf({ id, route, request, live, candidates }: View, body: string): JobRequest {
  const { method, path, parameters, headers, remoteAddress } = request;
  return {
    requestId: id,
    route: route.id,
    method,
    path,
    parameters,
    headers: withoutCredentials(headers),
    remoteAddress,
    secure: 'encrypted' in live.request.socket,
    body,
    candidates: candidates.map(({ entity, model, alias }) => ({ entity: entity.id, model, alias })),
  };
}

/** Whatever may be a credential, and what was said to this connection or about this one answer. */
const unkept =
  /auth|key|token|secret|cookie|password|credential|signature|session(?!-id$)|^(?:connection|expect|keep-alive|prefer|te|trailer|transfer-encoding|content-length|upgrade|via|x-forwarded-.*|forwarded)$/i;

function withoutCredentials(headers: IncomingHttpHeaders): JobRequest['headers'] {
  const kept = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || unkept.test(name) ? [] : [[name, value] as const],
  );
  return Object.fromEntries(kept);
}

/** A job that has just come. */
const unbegun = {
  consumer: null,
  state: 'queued',
  request: '',
  outcome: null,
  place: null,
  progress: null,
  startedAtMs: null,
  finishedAtMs: null,
  keptUntilMs: 0,
  noticeTries: 0,
} as const;
