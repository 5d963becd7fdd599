/** When two calls get the same answer: the key that the cache and the single flight go by. */
import { hash } from 'node:crypto';
import type { ImageCall, InputImage } from '../pipeline/call.ts';
import type { Exchange, ExchangeView } from '../pipeline/exchange.ts';
import { originOf } from '../pipeline/hosted-link.ts';
import type { Alias, Hosting, Target } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import { pictureDigest, sorted } from './call-fingerprint.ts';
import { mayUse } from './constrain.ts';

export interface KeyOptions {
  /** Whose equal calls are one. */
  readonly scope: 'consumer' | 'everyone';
  /** Anything that makes other keys. */
  readonly version: string;
}

type View = ExchangeView<'caller' | 'call' | 'candidates'>;

/**
 * The SHA-256 of everything that the answer depends on, the targets that may make it and what their entities fill in
 * included; not the words in which it was asked for, nor labels such as `user`. Reads the pictures.
 */
export async function answerKey(exchange: View, env: StageEnv, options: KeyOptions): Promise<string> {
  const { catalogue, route, below } = env;
  const { caller, call, request } = exchange;
  const digests: string[] = [];
  // One after the other: each may be as large as the route allows.
  for (const image of call.images) digests.push(await digestOnce(image));
  const { urlMode, unsupportedParams, fanout } = route;
  const targets = usable(exchange);
  const mayHaveLinks = targets.some((target) => givesLinks(call, target));
  const document = {
    version: options.version,
    whose: options.scope === 'everyone' ? 'everyone' : { consumer: caller.consumer?.id ?? null },
    route: [route.id, urlMode, unsupportedParams, fanout, request.parameters],
    links: mayHaveLinks ? linksOf(exchange, catalogue.hosting) : null,
    below,
    query: [...request.query].toSorted(([name], [other]) => (name < other ? -1 : Number(name > other))),
    wantsImage: route.decode || /^\s*image\//i.test(request.headers.accept ?? ''),
    operation: call.operation,
    prompt: call.prompt,
    unknown: call.unknown,
    images: digests,
    mask: call.mask === undefined ? null : await digestOnce(call.mask),
    stripMetadata: call.inputRules.stripMetadata,
    targets: inSteadyOrder(
      targets.map((target) => ({ alias: target.alias, ...asked(call, target) })),
      catalogue.aliases,
    ),
  };
  return hash('sha256', JSON.stringify(sorted(document)));
}

/** What links begin and end with: one that was made otherwise may not open, or lead elsewhere. */
function linksOf({ live }: View, { publicUrl, path, signer }: Hosting): readonly unknown[] {
  return [publicUrl ?? originOf(live), path, signer?.sign('', 0)];
}

/** Two stages may ask for the same one. */
const digested = new WeakMap<InputImage, Promise<string>>();

function digestOnce(image: InputImage): Promise<string> {
  const known = digested.get(image) ?? pictureDigest(image);
  digested.set(image, known);
  return known;
}

/** Candidates that this caller may use, wherever `constrain` stands. */
export function usable({ caller, candidates, route }: View): readonly Target[] {
  return candidates.filter((target) => mayUse(caller, route, target));
}

/** Why an answer to a call is no answer to an equal one; undefined: it is. */
export function whyUnlike({ stream, responseFormat }: ImageCall): string | undefined {
  if (stream) return 'it comes picture by picture';
  return responseFormat === 'b64_ephemeral' ? 'nothing of it may be kept' : undefined;
}

/** Whether an answer tells something in its body that is true of its own call alone. */
export function tellsOfItself(exchange: ExchangeView<'call', 'response'>): boolean {
  const { response } = exchange;
  return response?.kind === 'images' && response.extras.length > 0;
}

/** Whether the targets that made an answer are the first choice, and all pictures are there. */
export function isFirstChoice({ attempts, call }: Exchange & { readonly call: ImageCall }, first: Target): boolean {
  const last = attempts.at(-1);
  if (last === undefined || last.entity !== first.entity.id || last.model !== first.model) return false;
  const made = attempts.reduce((sum, { images = 0 }) => sum + images, 0);
  return made >= (targetCall(call, first).parameters.n ?? 1);
}

/** Whether pictures may go out as links, which are made for the address at which the caller has found the gateway. */
function givesLinks(call: ImageCall, target: Target): boolean {
  const { responseFormat } = targetCall(call, target);
  if (responseFormat !== undefined) return responseFormat === 'url';
  return target.entity.provider.capabilities(target.model, call.operation)?.nativeForm !== 'b64_json';
}

interface AskedTarget {
  readonly alias: string | undefined;
}

/** What one target would be asked for. */
function asked(call: ImageCall, target: Target): object {
  const { parameters, responseFormat } = targetCall(call, target);
  const { user: _label, n = 1, ...rest } = parameters;
  const { id, identity } = target.entity;
  return { entity: [id, identity], model: target.model, parameters: { ...rest, n }, responseFormat };
}

/** Where a strategy takes turns, no order of an alias's targets is another than any other. */
function inSteadyOrder(
  targets: readonly AskedTarget[],
  aliases: ReadonlyMap<string, Alias>,
): readonly (readonly AskedTarget[])[] {
  const runs: AskedTarget[][] = [];
  for (const target of targets) {
    const run = runs.at(-1);
    if (run !== undefined && run[0]?.alias === target.alias) run.push(target);
    else runs.push([target]);
  }
  return runs.map((run) => {
    const { alias } = run[0] ?? {};
    if (alias === undefined || aliases.get(alias)?.strategy === 'failover') return run;
    return run
      .map((target) => ({ target, text: JSON.stringify(sorted(target)) }))
      .toSorted((left, right) => (left.text < right.text ? -1 : 1))
      .map(({ target }) => target);
  });
}
