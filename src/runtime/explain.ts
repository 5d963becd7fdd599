/** What a given request would do: its route's own stages are asked one after the other, and nothing is sent or reserved. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { bytesSource } from '../body/byte-source.ts';
import { priceQuestion } from '../budget/price-question.ts';
import { GatewayError } from '../errors.ts';
import type { ExplainRequest } from '../generated/api/explain-request.ts';
import { openExchange } from '../http/exchange.ts';
import { silentLog } from '../log.ts';
import { createAccount, type Account, type StageAccount } from '../pipeline/explain.ts';
import { explainStages } from '../pipeline/explain-stages.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { PriceExplanation } from '../pipeline/prices.ts';
import type { Catalogue, Target } from '../pipeline/settings.ts';
import { targetCall } from '../pipeline/target-call.ts';
import { placeholderPicture } from '../pipeline/without-effects.ts';
import { schemaFile } from '../schema-files.ts';
import { compileRequestValidator } from '../validation.ts';
import type { CompiledRoute, Snapshot } from './compile.ts';

/** What a request is explained by. */
export interface ExplainScope extends Pick<Snapshot, 'catalogue' | 'router' | 'routes'> {
  /** Whether counts are those of a gateway that runs. */
  readonly readsCounts: boolean;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** What would come of a request. Not for the eyes of callers, and not yet without secrets: `showExplanation` makes it so. */
export interface Explanation {
  readonly asked: ExplainRequest;
  /** Undefined when there is no such route. */
  readonly route: CompiledRoute['route'] | undefined;
  /** Undefined when it cannot be understood, or nobody gets to it. */
  readonly call: ImageCall | undefined;
  /** What the caller would get; undefined: the call would be sent. */
  readonly refusal: GatewayError | undefined;
  readonly notes: readonly string[];
  readonly stages: readonly StageAccount[];
  readonly account: Account;
  /** What a candidate would cost at the most. */
  priceOf(target: Target): PriceExplanation | undefined;
}

const validate = compileRequestValidator(schemaFile('api/explain-request'));

/** @throws GatewayError invalid_value; `param` names the member */
export function readExplainRequest(given: unknown): ExplainRequest {
  const problem = validate(given);
  if (problem !== undefined) {
    throw new GatewayError('invalid_value', problem.message, { param: problem.param });
  }
  const asked = given as ExplainRequest;
  if (asked.operation === 'generation' && (asked.images ?? 0) > 0) {
    throw new GatewayError('invalid_value', 'A request with pictures is an edition.', { param: 'images' });
  }
  return asked;
}

/** The longest that there may be something to wait for, such as a counter. */
const deadlineMs = 10_000;

export async function explainRequest(asked: ExplainRequest, scope: ExplainScope): Promise<Explanation> {
  const { catalogue } = scope;
  const account = createAccount({ consumer: asked.consumer, readsCounts: scope.readsCounts });
  const found = findRoute(asked, scope);
  if (found instanceof GatewayError) {
    const nothing = { route: undefined, call: undefined, notes: [], stages: [], priceOf: () => undefined };
    return { ...nothing, asked, account, refusal: found };
  }
  const { route, stages } = found;
  const message = new IncomingMessage(new Socket());
  const { exchange, finish } = openExchange({
    id: 'explain',
    startedAtMs: scope.nowMs,
    route,
    live: { request: message, answer: { kind: 'response', response: new ServerResponse(message) } },
    signal: AbortSignal.timeout(deadlineMs),
    log: silentLog,
    keepAlive: () => undefined,
    outliveClient: () => undefined,
    body: bytesSource(Buffer.from(JSON.stringify(membersOf(asked)))),
    request: {
      method: 'POST',
      path: '/',
      query: new URLSearchParams(),
      parameters: {},
      headers: { 'content-type': 'application/json' },
      remoteAddress: '127.0.0.1',
    },
  });
  try {
    const { told, call } = await explainStages(
      stages,
      { ...exchange, caller: exchange.caller ?? anonymousCaller },
      account,
    );
    return {
      asked,
      route,
      call,
      refusal: account.refusal,
      notes: inactiveNotes(asked, found, catalogue),
      stages: told,
      account,
      priceOf: (target) => call && catalogue.prices.explain(priceQuestion(target, targetCall(call, target))),
    };
  } finally {
    await finish({ kind: 'answered', status: 200, error: undefined });
  }
}

const anonymousCaller = { consumer: undefined, endUser: undefined, session: undefined };

function findRoute(
  { route: name, ...asked }: ExplainRequest,
  { routes, router }: ExplainScope,
): CompiledRoute | GatewayError {
  const operation = operationOf(asked);
  if (name === undefined) {
    const making = routes.filter(({ route }) => route.operation !== undefined);
    const first = making.find(({ route }) => route.operation === operation) ?? making[0];
    return first ?? new GatewayError('route_not_found', 'There is no route that makes pictures.');
  }
  const named = routes.find(({ route }) => route.id === name);
  if (named !== undefined) return named;
  const match = router.match('POST', name, {});
  if (match.kind === 'found') return match.route;
  return match.kind === 'none'
    ? new GatewayError('route_not_found', `There is no route for ${name}.`)
    : new GatewayError('method_not_allowed', `POST is not allowed here; ${match.methods.join(', ')} is.`);
}

function operationOf({ operation, images = 0 }: ExplainRequest): 'generation' | 'edition' {
  return operation ?? (images > 0 ? 'edition' : 'generation');
}

/** A picture of one pixel: what is in it is nobody's business here. */
const pixel = `data:image/png;base64,${placeholderPicture.toString('base64')}`;

/** The body that a caller would send. */
function membersOf(asked: ExplainRequest): object {
  const { parameters, prompt = '[prompt]', model, size, quality, n, user, fallbacks, images } = asked;
  const count = images ?? (operationOf(asked) === 'edition' ? 1 : 0);
  const pictures = count === 0 ? {} : { image: Array.from({ length: count }, () => pixel) };
  return { ...parameters, prompt, model, size, quality, n, user, fallbacks, ...pictures };
}

/** What is in the file and asleep, as far as it may be what was meant. */
function inactiveNotes({ model = '', fallbacks = [] }: ExplainRequest, { route }: CompiledRoute, catalogue: Catalogue) {
  const prefixes = [model, ...fallbacks].map((name) => /^(.+?)(?:###|\/)/.exec(name)?.[1] ?? '');
  const meant = new Set([...prefixes, ...route.refs].filter((name) => catalogue.inactiveNames.has(name)));
  return [...meant].map((name) => `${name} is inactive: its token is empty`);
}
