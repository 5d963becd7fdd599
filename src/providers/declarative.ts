import schema from '../../schemas/providers/declarative.schema.json' with { type: 'json' };
import type { DeclarativeConfig } from '../generated/providers/declarative.ts';
import { pointerTo } from '../json-pointer.ts';
import type { Operation } from '../pipeline/call.ts';
import { ConfigError } from '../pipeline/stage.ts';
import { compileAnswer } from './declarative-answer.ts';
import { compileRules, readFault } from './declarative-errors.ts';
import { compileJob } from './declarative-job.ts';
import { compileOperation, type CompiledOperation } from './declarative-operation.ts';
import { createReader, type Reader } from './declarative-reader.ts';
import type { RequestContext } from './declarative-request.ts';
import { defineProvider, type OperationCapabilities, type Provider } from './provider.ts';
import { withoutSlash } from './requests.ts';

/**
 * A provider without code: its entity describes requests, answers, jobs and errors in the file, with CEL expressions
 * wherever a value depends on the call or on the answer. All of them are parsed and checked when the file is loaded.
 */
export const declarative = defineProvider({
  name: 'declarative',
  aliases: [],
  schema,
  tokenOptional: true,
  models: [],
  create(config: DeclarativeConfig): Provider {
    const { connection, answer } = config;
    const base = withoutSlash(connection.base_url);
    const own = Object.entries(connection.headers).map(([name, value]) => [name.toLowerCase(), value] as const);
    const accept = answer.raw ? 'image/*' : 'application/json';
    const context: RequestContext = {
      reader: createReader(),
      base,
      headers: { accept, ...Object.fromEntries(own) },
    };
    const operations = compileOperations(config, context);
    const rules = compileRules(config.errors, context.reader);
    const decode = compileAnswer(answer, rules, context.reader);
    const poll = config.poll === undefined ? undefined : compileJob(config.poll, rules, answer.raw, context);
    refuseProblems(context.reader);

    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      names: connection.provider_name === undefined ? [] : [connection.provider_name],
      capabilities: (_model, operation) => operations.get(operation)?.capabilities,
      encode(call) {
        const operation = operations.get(call.operation);
        if (operation === undefined) throw new TypeError('this provider promises no such operation');
        return operation.encode(call);
      },
      decode,
      ...(poll === undefined ? {} : { poll }),
      fault: (reply) => readFault(reply, rules),
      authorise(token) {
        if (token === undefined) return {};
        const { header, value } = connection.auth;
        return { [header.toLowerCase()]: value.replaceAll('{token}', () => token.reveal()) };
      },
    };
  },
});

function compileOperations(
  { operations, options, answer }: DeclarativeConfig,
  context: RequestContext,
): ReadonlyMap<Operation, CompiledOperation> {
  if (options.edition.enabled && operations.edition === undefined) {
    context.reader.report('/options/edition/enabled', '`operations` has no `edition`');
  }
  const compiled = new Map<Operation, CompiledOperation>();
  for (const name of ['generation', 'edition'] as const) {
    const file = operations[name];
    if (file === undefined) continue;
    compiled.set(name, compileOperation(file, pointerTo('/operations', name), nativeFormOf(answer), context));
  }
  return compiled;
}

function nativeFormOf({ raw, url, base64 }: DeclarativeConfig['answer']): OperationCapabilities['nativeForm'] {
  if (raw || url === undefined) return 'b64_json';
  return base64 === undefined ? 'url' : 'unknown';
}

/** @throws AggregateError of a ConfigError for each mistake */
function refuseProblems({ problems }: Reader): void {
  const errors = problems.map(({ pointer, message }) => new ConfigError(pointer, message));
  if (errors.length > 0) throw new AggregateError(errors, errors.map(({ message }) => message).join('; '));
}
