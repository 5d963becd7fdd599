import schema from '../../schemas/stages/provider-transform.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { wireNames, type ImageCall, type ImageParameters, type TargetCall } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import type { ParameterAccount } from '../pipeline/explain.ts';
import type { Route, Target } from '../pipeline/settings.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { UpstreamPart } from '../pipeline/upstream.ts';
import type { OperationCapabilities } from '../providers/provider.ts';
import { createInputPreparer } from './call-inputs.ts';
import { owedFormat, type OwedFormat } from './output-format.ts';

/**
 * `ImageCall` → the provider's wire requests: one, or as many as it takes to make `n` pictures. What the provider cannot
 * take is dropped, refused or passed on, as the route says; pictures are brought into the form that it takes.
 */
export const providerTransform = defineStage({
  name: 'provider-transform',
  schema,
  reads: ['call', 'target'],
  writes: ['upstream'],
  create(_config, env) {
    const transform = createTransform(env);

    return async function providerTransform(exchange) {
      const plan = await transform.plan(exchange.call, exchange.target, exchange.route);
      const { upstream } = await transform.encode(plan, exchange);
      return { upstream };
    };
  },
  explain(_config, env) {
    const transform = createTransform(env);

    return async function explainProviderTransform(exchange, { account, notes }) {
      const { call, target } = exchange;
      if (call === undefined || target === undefined) return undefined;
      const candidate = account.candidate(target);
      const plan = await transform.plan(call, target, exchange.route);
      candidate.parameters = fatesOf(plan, exchange.route, []);
      const { upstream, dropped } = await transform.encode(plan, exchange);
      candidate.parameters = fatesOf(plan, exchange.route, dropped);
      candidate.upstream = upstream;
      if (upstream.length > 1) notes.push(`${upstream.length} requests make the pictures`);
      return { upstream };
    };
  },
});

/** What is to be done with a call at a target, before its pictures are looked at. */
interface TransformPlan {
  readonly target: Target;
  readonly capabilities: OperationCapabilities;
  readonly wanted: TargetCall;
  readonly owed: OwedFormat | undefined;
  readonly taken: TargetCall;
  readonly refused: Refused;
  readonly passed: Readonly<Record<string, JsonValue>>;
}

interface Transform {
  /** @throws GatewayError operation_not_supported, unsupported_parameter */
  plan(call: ImageCall, target: Target, route: Route): Promise<TransformPlan>;
  /** @throws GatewayError what the provider, the route or a picture refuses */
  encode(
    plan: TransformPlan,
    exchange: Exchange,
  ): Promise<{ readonly upstream: readonly UpstreamPart[]; readonly dropped: readonly string[] }>;
}

function createTransform(env: StageEnv): Transform {
  const canHost = env.catalogue.hosting.path !== undefined;
  const prepareInputs = createInputPreparer(env);

  return {
    async plan(call, target, { unsupportedParams }) {
      const capabilities = target.entity.provider.capabilities(target.model, call.operation);
      if (capabilities === undefined) throw noOperation(call.operation);
      const wanted = targetCall(call, target);
      const owed = await owedFormat(wanted, capabilities);
      const givesNoLinks = capabilities.nativeForm === 'b64_json' || owed !== undefined;
      if (wanted.responseFormat === 'url' && givesNoLinks && !canHost) throw noLinks();
      const { taken, refused } = divide(wanted, capabilities, owed);
      const passed = unsupportedParams === 'pass' ? sendable(refused) : {};
      return { target, capabilities, wanted, owed, taken, refused, passed };
    },
    async encode({ target, capabilities, owed, taken, refused, passed }, exchange) {
      const { provider } = target.entity;
      const { unsupportedParams } = exchange.route;
      if (unsupportedParams === 'reject') rejectAll(Object.keys(refused));
      // Further members go where the vendor has its parameters, and so does what it is said not to have.
      const asked = { ...taken, unknown: { ...taken.unknown, ...passed } };
      const ready = await prepareInputs(asked, capabilities, exchange);
      const { maxImages, maxStreamed = maxImages } = capabilities;
      const parts = portions(ready, ready.stream ? Math.min(maxImages, maxStreamed) : maxImages);
      const encoded = parts.map((part) => ({ call: part, ...provider.encode(part) }));
      // A format that the provider left out is made by the gateway.
      const leftOut = encoded.flatMap(({ dropped }) => dropped);
      const dropped = leftOut.filter((name) => name !== wireNames.outputFormat || owed?.format === undefined);
      if (unsupportedParams === 'reject') rejectAll(dropped);
      const lost = Object.keys(refused).filter((name) => !(name in passed));
      tellDropped(exchange.responseHeaders, [...dropped, ...lost]);
      return { upstream: encoded.map(({ call, request }) => ({ call, request })), dropped };
    },
  };
}

/** What becomes of everything that was asked for. @param dropped values that the provider left out */
function fatesOf(
  { capabilities, wanted, taken, refused, passed }: TransformPlan,
  { unsupportedParams }: Route,
  dropped: readonly string[],
): readonly ParameterAccount[] {
  const names = (Object.keys(wireNames) as (keyof ImageParameters)[]).filter(
    (name) => wanted.parameters[name] !== undefined,
  );
  const fateOf = (wireName: string, otherwise: ParameterAccount['how']): ParameterAccount => {
    if (wireName in passed) return { name: wireName, how: 'passed' };
    if (wireName in refused) return { name: wireName, how: unsupportedParams === 'reject' ? 'refused' : 'dropped' };
    return { name: wireName, how: dropped.includes(wireName) ? 'dropped' : otherwise };
  };
  const own = names.map((name) =>
    fateOf(
      wireNames[name],
      taken.parameters[name] === undefined ? 'gateway' : (capabilities.parameters[name] ?? 'gateway'),
    ),
  );
  const mask = wanted.mask === undefined ? [] : [fateOf('mask', 'native')];
  return [...own, ...mask, ...Object.keys(wanted.unknown).map((name) => fateOf(name, 'passed'))];
}

/** What a provider cannot take, by wire name. */
type Refused = Readonly<Record<string, unknown>>;

/**
 * A call with what the provider takes, and apart from it what it does not.
 * @param owed what the gateway does by itself
 */
function divide(
  call: TargetCall,
  { parameters: supported, further, mask, streams = false }: OperationCapabilities,
  owed: OwedFormat | undefined,
): { readonly taken: TargetCall; readonly refused: Refused } {
  const refused: Record<string, unknown> = {};
  const parameters: { -readonly [Name in keyof ImageParameters]: ImageParameters[Name] } = { ...call.parameters };
  for (const name of Object.keys(wireNames) as (keyof ImageParameters)[]) {
    // How many pictures there are is the gateway's business, whatever the provider has for it.
    if (name === 'n' || parameters[name] === undefined || supported[name] !== undefined) continue;
    const emulated =
      (name === 'outputFormat' && owed?.format !== undefined) ||
      (name === 'outputCompression' && owed?.quality !== undefined);
    if (!emulated) refused[wireNames[name]] = parameters[name];
    delete parameters[name];
  }
  const unknown: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(call.unknown)) {
    if (further === 'any' || further.includes(name)) unknown[name] = value;
    else refused[name] = value;
  }
  const takesMask = call.mask === undefined || mask !== undefined;
  if (!takesMask) refused['mask'] = call.mask;
  const stream = call.stream && streams;
  const { partialImages = 0 } = call;
  if (call.stream && !streams && partialImages > 0) refused['partial_images'] = partialImages;
  const streaming = { stream, partialImages: stream ? call.partialImages : undefined };
  return { taken: { ...call, ...streaming, parameters, unknown, mask: takesMask ? call.mask : undefined }, refused };
}

/** @throws GatewayError unsupported_parameter when there is any */
function rejectAll(names: readonly string[]): void {
  const [first] = names;
  if (first === undefined) return;
  const listed = names.map((name) => `\`${name}\``).join(', ');
  throw new GatewayError('unsupported_parameter', `The provider of this model cannot take ${listed}.`, {
    param: first,
  });
}

/** The refused members that can be sent as they came: all but pictures. */
function sendable({ mask: _picture, ...members }: Refused): Readonly<Record<string, JsonValue>> {
  // Parameters are texts and numbers, unknown members came from JSON.
  return members as Record<string, JsonValue>;
}

function tellDropped(headers: Map<string, string>, names: readonly string[]): void {
  if (names.length > 0) headers.set('x-pinhole-dropped-params', headerList(new Set(names)));
  else headers.delete('x-pinhole-dropped-params');
}

/** Names come from callers; a header carries printable ASCII only, and a bounded amount of it. */
function headerList(names: Iterable<string>): string {
  // By whole characters: a half of one cannot be encoded.
  const safe = Array.from(names, (name) => name.toWellFormed().replace(/[^\w.:[\]-]/gu, encodeURIComponent));
  return safe.join(', ').slice(0, 1024);
}

/** The call cut so that no part asks for more pictures than one request may. Equal seeds would give equal pictures. */
function portions(call: TargetCall, maxImages: number): readonly TargetCall[] {
  const { n: wanted = 1, seed } = call.parameters;
  if (wanted <= maxImages) return [call];
  return Array.from({ length: Math.ceil(wanted / maxImages) }, (_, index) => {
    const before = index * maxImages;
    const own = { n: Math.min(maxImages, wanted - before), ...(seed === undefined ? {} : { seed: seed + before }) };
    return { ...call, parameters: { ...call.parameters, ...own } };
  });
}

function noOperation(operation: TargetCall['operation']): GatewayError {
  return new GatewayError('operation_not_supported', `The provider has no image ${operation} for this model.`, {
    retry: false,
  });
}

/** Said before anything is sent: afterwards it would have been paid for. */
function noLinks(): GatewayError {
  const message = 'The provider gives no links, and this gateway has no route that serves hosted images.';
  return new GatewayError('unsupported_parameter', message, { param: 'response_format' });
}
