import schema from '../../schemas/providers/openai-compatible.schema.json' with { type: 'json' };
import type { OpenaiCompatibleConfig } from '../generated/providers/openai-compatible.ts';
import type { JsonObject } from '../json.ts';
import { wireNames } from '../pipeline/call.ts';
import { bearer, createOpenAiDialect, imagesPath, unknownDialect } from './openai-dialect.ts';
import { defineProvider, type OperationCapabilities, type Provider, type SupportedParameters } from './provider.ts';
import { present, withoutSlash, type WireMembers } from './requests.ts';

/**
 * Any other service that speaks OpenAI's images API. Nothing is known about its models, so parameters go through as they
 * are, and its answers are written anew: many such services put `null` where clients expect absence.
 */
export const openaiCompatible = defineProvider({
  name: 'openai-compatible',
  aliases: [],
  schema,
  tokenOptional: true,
  models: [],
  create: ({ connection }: OpenaiCompatibleConfig): Provider => createCompatible(connection),
});

type Connection = OpenaiCompatibleConfig['connection'];

/** The provider of such a service, as far as it is known; also for presets. */
export function createCompatible(service: Pick<Connection, 'base_url'> & Partial<Connection>): Provider {
  const { provider_name: ownName, edit_body: editBody = 'multipart' } = service;
  const base = withoutSlash(service.base_url);
  const names = createNaming(service);
  const { headers, authorise } = readHeaders(service.headers ?? {});
  const codec = createOpenAiDialect({
    url: (operation) => `${base}${imagesPath(operation)}`,
    headers,
    authorise,
    jsonEdits: editBody === 'json',
    fit: (fitted, { unknown }) => ({ fitted, dropped: Object.keys(unknown).filter((name) => names.isTaken(name)) }),
    finish: names.write,
  });
  const maxImages = names.isSent('n') ? (service.max_images ?? 10) : 1;
  const generation: OperationCapabilities = {
    ...unknownDialect,
    maxImages,
    parameters: names.parameters,
    streams: service.streams === true,
    maxStreamed: 1,
  };
  const { moderation: _moderation, ...formParameters } = names.parameters;
  const form: OperationCapabilities = {
    ...generation,
    parameters: formParameters,
    inputs: { max: 16, as: 'bytes' },
  };
  const edition = editBody === 'json' ? generation : form;
  return {
    ...codec,
    names: ownName === undefined ? [] : [ownName],
    origin: new URL(base).origin,
    speaksOpenAi: false,
    capabilities: (_model, operation) => (operation === 'generation' ? generation : edition),
  };
}

const keyPlace = '{api_key}';

/** The headers of the file. Where one of them has a place for the credential, it goes there, and nowhere else. */
function readHeaders(written: Connection['headers']): Pick<Provider, 'authorise'> & { headers: Connection['headers'] } {
  const entries = Object.entries(written).map(([name, value]): [string, string] => [name.toLowerCase(), value]);
  const keyed = entries.filter(([, value]) => value.includes(keyPlace));
  return {
    headers: Object.fromEntries(entries.filter(([, value]) => !value.includes(keyPlace))),
    authorise(token) {
      if (keyed.length === 0 || token === undefined) return bearer(token);
      const filled = keyed.map(([name, value]) => [name, value.replaceAll(keyPlace, () => token.reveal())]);
      return Object.fromEntries(filled);
    },
  };
}

/** How the service calls OpenAI's parameters. */
interface Naming {
  readonly parameters: SupportedParameters;
  isSent(name: string): boolean;
  /** Whether one of OpenAI's parameters goes by this name: another member of this name would take its place. */
  isTaken(name: string): boolean;
  write(members: WireMembers): WireMembers;
}

function createNaming(service: Partial<Connection>): Naming {
  const given = new Map(Object.entries(service.param_mappings ?? {}));
  const taken: ReadonlySet<unknown> = new Set(given.values());
  // Valid against the schema, and it came from YAML: there is nothing but JSON in it.
  const additional = (service.additional_body_params ?? {}) as JsonObject;
  /** The service's name for a member; undefined where it is not sent. */
  const ownName = (name: string): string | undefined => {
    const own = given.get(name);
    if (own === undefined) return taken.has(name) ? undefined : name;
    if (own === true) return name;
    return typeof own === 'string' ? own : undefined;
  };
  const isSent = (name: string): boolean => ownName(name) !== undefined;
  const parameters = Object.entries(wireNames).flatMap(([name, wireName]) => {
    // Several pictures take as many requests where the service has no word for their number.
    if (name !== 'n' && !isSent(wireName)) return [];
    return [[name, ownName(wireName) === wireName ? 'native' : 'mapped'] as const];
  });
  return {
    parameters: Object.fromEntries(parameters),
    isSent,
    isTaken: (name) => taken.has(name) && !given.has(name),
    write(members) {
      const named = Object.entries(present(members)).flatMap(([name, value]) => {
        const own = ownName(name);
        return own === undefined ? [] : [[own, value] as const];
      });
      return { ...additional, ...Object.fromEntries(named) };
    },
  };
}
