/** What a declarative provider does for one operation: told from what its request reads, so that the two cannot differ. */
import { GatewayError } from '../errors.ts';
import type { OperationFile } from '../generated/providers/declarative.ts';
import { pointerTo } from '../json-pointer.ts';
import { wireNames, type ImageParameters, type TargetCall } from '../pipeline/call.ts';
import type { WireRequest } from '../pipeline/upstream.ts';
import { ExpressionError } from './cel.ts';
import { viewCall } from './declarative-language.ts';
import { FormulaError, type Filling, type Formula, type Reader } from './declarative-reader.ts';
import { compileRequest, UnsafePath, type RequestContext } from './declarative-request.ts';
import type { EncodedCall, OperationCapabilities, ParameterSupport } from './provider.ts';

export interface CompiledOperation {
  readonly capabilities: OperationCapabilities;
  encode(call: TargetCall): EncodedCall;
}

export function compileOperation(
  file: OperationFile,
  at: string,
  nativeForm: OperationCapabilities['nativeForm'],
  context: RequestContext,
): CompiledOperation {
  const { reader } = context;
  const before = reader.formulas.length;
  const request = compileRequest(file.request, pointerTo(at, 'request'), 'request', context);
  const formulas = reader.formulas.slice(before);
  checkPictures(file, at, formulas, reader);
  const names = Object.keys(wireNames) as (keyof ImageParameters)[];
  const readersOf = new Map(names.map((name) => [name, formulas.filter(readsAny(chainsOf(name)))]));
  if (file.max_images > 1 && readersOf.get('n')?.length === 0) {
    reader.report(pointerTo(at, 'max_images'), 'the request does not ask for several pictures: nothing reads `call.n`');
  }
  const supported = names.flatMap((name): [keyof ImageParameters, ParameterSupport][] => {
    const readers = readersOf.get(name) ?? [];
    const isPassedOn = readers.some(({ expression }) => expression.source.trim() === `call.${wireNames[name]}`);
    return readers.length === 0 ? [] : [[name, isPassedOn ? 'native' : 'mapped']];
  });
  const further = furtherOf(formulas);
  const capabilities: OperationCapabilities = {
    maxImages: file.max_images,
    nativeForm,
    parameters: Object.fromEntries(supported),
    further,
    promptOptional: file.prompt_optional,
    ...(file.inputs === undefined ? {} : { inputs: file.inputs }),
    ...(file.mask === undefined ? {} : { mask: file.mask }),
  };

  /** Names in wire spelling of what was given, but of which no expression that reads it had a value. */
  function droppedOf({ parameters, unknown }: TargetCall, sent: ReadonlySet<Formula>): string[] {
    const isSent = (readers: readonly Formula[]): boolean => readers.some((one) => sent.has(one));
    const lost = supported.filter(([name]) => {
      // `auto` asks for nothing in particular, so nothing is lost.
      const isGiven = parameters[name] !== undefined && parameters[name] !== 'auto';
      return isGiven && !isSent(readersOf.get(name) ?? []);
    });
    const lostFurther = further === 'any' ? [] : further.filter((name) => unknown[name] !== undefined);
    return [
      ...lost.map(([name]) => wireNames[name]),
      ...lostFurther.filter((name) => !isSent(formulas.filter(readsAny([`call.further.${name}`])))),
    ];
  }

  return {
    capabilities,
    encode(call) {
      const { written, sent } = write(call, (filling) => request.write(filling));
      if (written === undefined)
        throw new GatewayError('invalid_value', 'The provider’s API has no place for this call.');
      return { request: written, dropped: droppedOf(call, sent) };
    },
  };
}

/** @throws GatewayError when it is about what the caller wrote */
function write(
  call: TargetCall,
  fill: (filling: Filling) => WireRequest | undefined,
): { readonly written: WireRequest | undefined; readonly sent: ReadonlySet<Formula> } {
  try {
    const filling: Filling = { variables: { call: viewCall(call) }, sent: new Set() };
    return { written: fill(filling), sent: filling.sent };
  } catch (error) {
    if (error instanceof UnsafePath) {
      throw new GatewayError('model_not_found', `The provider has no model \`${call.model}\`.`, { param: 'model' });
    }
    if (!(error instanceof FormulaError || error instanceof ExpressionError)) throw error;
    const params = error instanceof FormulaError ? paramsOf(error.formula) : [];
    const subject = params.length === 0 ? 'This call' : params.map((name) => `\`${name}\``).join(' or ');
    throw new GatewayError('invalid_value', `${subject} has a value that the provider cannot be asked for.`, {
      param: params[0],
      cause: error,
    });
  }
}

/** The request parameters that an expression reads. */
function paramsOf({ expression }: Formula): string[] {
  const members = [...expression.reads].flatMap((chain) => /^call\.(?:further\.)?([^.]+)/.exec(chain)?.[1] ?? []);
  return members.map((name) => (name === 'width' || name === 'height' ? 'size' : name));
}

function chainsOf(name: keyof ImageParameters): readonly string[] {
  return name === 'size' ? ['call.size', 'call.width', 'call.height'] : [`call.${wireNames[name]}`];
}

function readsAny(chains: readonly string[]): (formula: Formula) => boolean {
  return ({ expression }) =>
    [...expression.reads].some((read) => chains.some((chain) => read === chain || read.startsWith(`${chain}.`)));
}

/** The members beyond OpenAI's that are read by name; all of them when they are read as a whole. */
function furtherOf(formulas: readonly Formula[]): OperationCapabilities['further'] {
  const reads = formulas.flatMap(({ expression }) => [...expression.reads]);
  if (reads.includes('call.further')) return 'any';
  const names = reads.flatMap((read) => /^call\.further\.([^.]+)/.exec(read)?.[1] ?? []);
  return [...new Set(names)];
}

/** Pictures come in the form that is said beside the request, so that has to fit what the request does with them. */
function checkPictures(
  { inputs, mask }: OperationFile,
  at: string,
  formulas: readonly Formula[],
  { report }: Reader,
): void {
  const reads = (chain: string): boolean => formulas.some(readsAny([chain]));
  const calls = (name: string): Formula | undefined => formulas.find(({ expression }) => expression.calls.has(name));
  if (reads('call.images') !== (inputs !== undefined)) {
    report(
      inputs === undefined ? at : pointerTo(at, 'inputs'),
      '`inputs` belongs to a request that reads `call.images`',
    );
  }
  if (reads('call.mask') !== (mask !== undefined)) {
    report(mask === undefined ? at : pointerTo(at, 'mask'), '`mask` belongs to a request that reads `call.mask`');
  }
  if (inputs === undefined) return;
  for (const [name, form] of Object.entries({ link: 'link', base64: 'bytes', dataUri: 'bytes' })) {
    const caller = calls(name);
    if (caller !== undefined && form !== inputs.as) report(caller.at, `${name}() needs \`inputs.as: ${form}\``);
  }
}
