/** `docs/providers.md`: what each provider's models take, from the same tables by which the gateway goes. */
import { isJsonObject } from '../src/json.ts';
import type { Operation } from '../src/pipeline/call.ts';
import { capabilityTable, type CapabilityTable, type ParameterFate } from '../src/pipeline/capability-table.ts';
import { providers } from '../src/providers/index.ts';
import type { KnownModel, Provider, ProviderDefinition } from '../src/providers/provider.ts';
import { compileConfigValidator } from '../src/validation.ts';

const columns = [
  'n',
  'size',
  'quality',
  'style',
  'background',
  'moderation',
  'output_format',
  'output_compression',
  'input_fidelity',
  'user',
  'seed',
  'mask',
  'partial_images',
] as const;

const signs: Readonly<Record<ParameterFate, string>> = {
  native: 'yes',
  mapped: 'mapped',
  emulated: 'gateway',
  dropped: '',
};

const introduction = `# Providers

<!-- Generated from the providers themselves by \`npm run generate\`. Do not edit. -->

What becomes of each parameter: **yes**, the vendor has it; **mapped**, it is translated into what the vendor has;
**gateway**, the gateway does it; empty, nobody can, and the route's \`unsupported_params\` decides (\`drop\`, \`reject\` or
\`pass\`). \`response_format\` and \`stream\` are the gateway's business everywhere. A running gateway tells the same of its own
entities at \`GET /api/capabilities\` on the admin listener; \`?model=NAME\` asks about any model.

Any model name is passed on to the vendor; those below are the ones known when this was written.
`;

/** The whole page. */
export function providerPage(): string {
  const sections = providers.map((definition) => section(definition)).toSorted();
  return `${introduction}\n${sections.join('\n')}`;
}

function section(definition: ProviderDefinition): string {
  const { name, aliases, models, tokenOptional } = definition;
  const provider = createSample(definition);
  const rows = tableRows(provider, sampleModels(models));
  const others = [...aliases, ...(provider.names ?? [])];
  const lines = [
    `## \`${name}\``,
    '',
    ...(others.length === 0 ? [] : [`Also: ${others.map((other) => `\`${other}\``).join(', ')}.`, '']),
    ...(tokenOptional ? ['Works without a token.', ''] : []),
    `| models | operation | pictures a request | gives | input images | ${columns.map((column) => `\`${column}\``).join(' | ')} |`,
    `| --- | --- | --- | --- | --- | ${columns.map(() => '---').join(' | ')} |`,
    ...rows,
    '',
    ...furtherLines(provider, sampleModels(models)),
    ...retiredLines(models),
  ];
  return lines.join('\n');
}

/** An instance with the schema's example or its defaults, for its tables. */
function createSample(definition: ProviderDefinition): Provider {
  const { examples } = definition.schema;
  const example: unknown = Array.isArray(examples) ? examples[0] : {};
  const config = { connection: {}, options: {}, ...(isJsonObject(example) ? structuredClone(example) : {}) };
  const { problems } = compileConfigValidator(definition.schema)(config);
  const [problem] = problems;
  if (problem !== undefined) throw new Error(`${definition.name}: ${problem.pointer} ${problem.message}`);
  // It has just been validated.
  return definition.create(config as never);
}

function sampleModels(models: readonly KnownModel[]): readonly string[] {
  return models.length === 0 ? ['any'] : models.map(({ name }) => name);
}

function tableRows(provider: Provider, models: readonly string[]): readonly string[] {
  const operations: readonly Operation[] = ['generation', 'edition'];
  return operations.flatMap((operation) => {
    const byRow = new Map<string, string[]>();
    for (const model of models) {
      const capabilities = provider.capabilities(model.replace(/\*$/, ''), operation);
      if (capabilities === undefined) continue;
      const row = cells(operation, capabilityTable(capabilities));
      byRow.set(row, [...(byRow.get(row) ?? []), model]);
    }
    return Array.from(byRow, ([row, names]) => `| ${names.map((name) => `\`${name}\``).join(', ')} | ${row} |`);
  });
}

function cells(operation: Operation, table: CapabilityTable): string {
  const form = { url: 'links', b64_json: 'base64', unknown: 'either' }[table.native_form];
  const edits = operation === 'edition';
  const inputs = edits ? `up to ${table.max_input_images}` : '';
  const fates = columns.map((column) =>
    column === 'mask' && !edits ? '' : signs[table.parameters[column] ?? 'dropped'],
  );
  return [operation, table.max_images, form, inputs, ...fates].join(' | ');
}

function furtherLines(provider: Provider, models: readonly string[]): readonly string[] {
  const names = new Set<string>();
  for (const model of models) {
    for (const operation of ['generation', 'edition'] as const) {
      const further = provider.capabilities(model.replace(/\*$/, ''), operation)?.further ?? [];
      if (further === 'any') return ['Further members of a request are passed on as they are.', ''];
      for (const name of further) names.add(name);
    }
  }
  if (names.size === 0) return [];
  return [`Further members that are passed on: ${[...names].map((name) => `\`${name}\``).join(', ')}.`, ''];
}

function retiredLines(models: readonly KnownModel[]): readonly string[] {
  const gone = models.filter(({ retired }) => retired !== undefined);
  if (gone.length === 0) return [];
  const told = gone.map(({ name, retired, successor }) => {
    const instead = successor === undefined ? '' : `, then \`${successor}\``;
    return `\`${name}\` (${retired}${instead})`;
  });
  return [`Shut down by the vendor, or to be: ${told.join(', ')}.`, ''];
}
