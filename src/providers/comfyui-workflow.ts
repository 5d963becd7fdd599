/** ComfyUI's workflows as templates: graphs in which some inputs are placeholders such as `{prompt}` or `{cfg=7}`. */
import { GatewayError } from '../errors.ts';
import { isJsonObject, type JsonValue } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import { ConfigError } from '../pipeline/stage.ts';
import type { WireJson } from '../pipeline/upstream.ts';
import type { OperationCapabilities } from './provider.ts';

/** A graph, ready to be filled in. */
export interface Workflow {
  readonly capabilities: OperationCapabilities;
  /** @throws GatewayError for what this graph needs and was not given */
  fill(values: WorkflowValues): WireJson;
}

/** Values by the names of placeholders; what is undefined was not given. */
export type WorkflowValues = Readonly<Record<string, JsonValue | undefined>>;

/** What stands for a placeholder that the request says nothing about, and that has no value of its own in the graph. */
const usualValues: WorkflowValues = { prompt: '', negative_prompt: '', width: 1024, height: 1024, n: 1, steps: 20 };
/** What the gateway has values for. Every other name is a member that callers may send. */
const ownNames: ReadonlySet<string> = new Set([...Object.keys(usualValues), 'seed', 'mask']);
const isPicture = (name: string): boolean => /^image(_[2-4])?$/.test(name);

/** A placeholder that is the whole input takes its value with its type. */
const whole = /^\{([a-z][a-z0-9_]*)(?:=([^{}]*))?\}$/;
/** Within longer text only words can stand. */
const inText = /\{(prompt|negative_prompt)\}/g;

type Fill = (values: WorkflowValues) => WireJson;

/**
 * @param at JSON pointer of the graph within the entity's config
 * @throws ConfigError for a placeholder that nothing could stand for
 */
export function compileWorkflow(graph: object, at: string): Workflow {
  const names = new Set<string>();
  const fill = compileValue(graph, at, names);
  return { fill, capabilities: capabilitiesOf(names) };
}

function compileValue(value: unknown, at: string, names: Set<string>): Fill {
  if (typeof value === 'string') return compileText(value, at, names);
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compileValue(item, pointerTo(at, index), names));
    return (values) => items.map((item) => item(values));
  }
  if (isJsonObject(value)) {
    const members = Object.entries(value).map(
      ([name, member]) => [name, compileValue(member, pointerTo(at, name), names)] as const,
    );
    return (values) => Object.fromEntries(members.map(([name, member]) => [name, member(values)]));
  }
  // It came from YAML: there is nothing but JSON in it.
  return () => value as JsonValue;
}

function compileText(text: string, at: string, names: Set<string>): Fill {
  const [, name, written] = whole.exec(text) ?? [];
  if (name === undefined) {
    for (const [, word = ''] of text.matchAll(inText)) names.add(word);
    return (values) =>
      text.replaceAll(inText, (_, word: string) => {
        const value = values[word];
        return typeof value === 'string' ? value : '';
      });
  }
  const usual = written === undefined ? usualValues[name] : plainValue(written);
  if (usual === undefined && !ownNames.has(name) && !isPicture(name)) {
    const known = [...ownNames, 'image'].map((each) => `{${each}}`).join(', ');
    throw new ConfigError(
      at,
      `\`{${name}}\` is none of ${known}; if callers may send \`${name}\`, write what stands there if they do not: {${name}=…}`,
    );
  }
  names.add(name);
  return (values) => {
    const value = values[name] ?? usual;
    if (value === undefined) throw missing(name);
    // Anything else would be a link to another node.
    if (typeof value !== 'object') return value;
    throw new GatewayError('invalid_value', `\`${name}\` must be text, a number, or true or false.`, { param: name });
  };
}

/** Numbers and truth values as such, everything else as text. */
function plainValue(text: string): JsonValue {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function missing(name: string): GatewayError {
  const message =
    name === 'mask'
      ? 'This model paints a part of the picture anew: it needs a mask.'
      : `This model needs ${name.slice('image_'.length)} input images.`;
  return new GatewayError('missing_required_parameter', message, { param: name === 'mask' ? 'mask' : 'image' });
}

function capabilitiesOf(names: ReadonlySet<string>): OperationCapabilities {
  const pictures = [...names].filter(isPicture).map((name) => Number(name.slice('image_'.length) || 1));
  const further = [...names].filter((name) => !ownNames.has(name) && !isPicture(name));
  return {
    // The batch of one request lies in the graphics card's memory at once.
    maxImages: names.has('n') ? 4 : 1,
    nativeForm: 'b64_json',
    parameters: {
      ...(names.has('n') ? { n: 'mapped' } : {}),
      ...(names.has('width') || names.has('height') ? { size: 'mapped' } : {}),
      ...(names.has('steps') ? { quality: 'mapped' } : {}),
      ...(names.has('seed') ? { seed: 'native' } : {}),
    },
    further: [...further, ...['negative_prompt', 'steps'].filter((name) => names.has(name))],
    promptOptional: !names.has('prompt'),
    ...(pictures.length === 0 ? {} : { inputs: { max: Math.max(...pictures), as: 'bytes' } }),
    ...(names.has('mask') ? { mask: 'white' } : {}),
  };
}
