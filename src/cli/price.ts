import { existsSync } from 'node:fs';
import { checkConfig } from '../gateway.ts';
import { formatUsd } from '../money.ts';
import type { Operation } from '../pipeline/call.ts';
import type { PriceExplanation, PriceQuestion } from '../pipeline/prices.ts';
import { priceTargets, scopeOfBuiltIn, scopeOfFile, type PriceScope, type PriceTarget } from './price-target.ts';
import { printProblems } from './print-problems.ts';
import type { Command, CommandOptions, Terminal } from './terminal.ts';

export const price: Command = {
  name: 'price',
  usage: 'price --model MODEL',
  about: 'what a call costs at the most, and why',
  options: {
    model: { type: 'string', value: 'MODEL', about: 'may stand behind ENTITY/ or PROVIDER/' },
    size: { type: 'string', value: 'SIZE', about: 'not given: what the entity says, else the dearest' },
    quality: { type: 'string', value: 'QUALITY', about: 'not given: what the entity says, else the dearest' },
    n: { type: 'string', value: 'NUMBER', about: 'pictures asked for' },
    images: { type: 'string', value: 'NUMBER', about: 'pictures sent along' },
    steps: { type: 'string', value: 'NUMBER', about: 'steps for each picture' },
    operation: { type: 'string', value: 'OPERATION', about: 'generation or edition' },
    format: { type: 'string', value: 'FORMAT', about: 'text or json (default: text)' },
  },
  async run(options, terminal) {
    const asked = readQuestion(options);
    if (asked.kind === 'wrong') {
      terminal.err(`${asked.message}\n`);
      return 2;
    }
    const scope = await scopeOf(options, terminal);
    if (scope === undefined) return 1;
    const [target, ...others] = priceTargets(asked.model, scope);
    if (target === undefined) {
      terminal.err(`Nobody is known to have a model \`${asked.model}\`. Name it as ENTITY/MODEL or PROVIDER/MODEL.\n`);
      return 1;
    }
    const question = questionOf(asked, target);
    const explanation = scope.prices.explain(question);
    const shown = { target, others, question, explanation };
    terminal.out(asked.format === 'json' ? asJson(shown) : asText(shown));
    return explanation.kind === 'priced' ? 0 : 1;
  },
};

interface Asked {
  readonly kind: 'asked';
  readonly model: string;
  readonly operation: Operation;
  readonly size: string | undefined;
  readonly quality: string | undefined;
  readonly n: number | undefined;
  readonly images: number;
  readonly steps: number | undefined;
  readonly format: string;
}

function readQuestion({ values, rest }: CommandOptions): Asked | { readonly kind: 'wrong'; readonly message: string } {
  const { model, size, quality, format = 'text', operation } = values;
  const wrong = (message: string) => ({ kind: 'wrong', message }) as const;
  if (model === undefined || model === '') return wrong('The option `--model` says whose price is wanted.');
  if (rest.length > 0) return wrong(`\`${rest.join(' ')}\` is one argument too many.`);
  if (!['text', 'json'].includes(format)) return wrong('`--format` must be text or json.');
  const numbers = { n: count(values['n'], 1), images: count(values['images'], 0), steps: count(values['steps'], 1) };
  for (const [name, number] of Object.entries(numbers)) {
    if (number === 'none') return wrong(`\`--${name}\` must be a whole number, ${name === 'images' ? 0 : 1} or more.`);
  }
  const { n, images = 0, steps } = numbers as Record<keyof typeof numbers, number | undefined>;
  const usual = images > 0 ? 'edition' : 'generation';
  const named = operation === undefined ? usual : operations.get(operation);
  if (named === undefined) return wrong('`--operation` must be generation or edition.');
  return { kind: 'asked', model, operation: named, size, quality, n, images, steps, format };
}

const operations: ReadonlyMap<string, Operation> = new Map([
  ['generation', 'generation'],
  ['edition', 'edition'],
  ['edit', 'edition'],
]);

/** More would be no number of pictures any more, and no sum. */
const most = 1_000_000;

function count(text: string | undefined, least: number): number | 'none' | undefined {
  if (text === undefined) return undefined;
  const number = /^\d{1,7}$/.test(text) ? Number(text) : most + 1;
  return number < least || number > most ? 'none' : number;
}

/** The file, where there is one; undefined when it is not valid, which has been told then. */
async function scopeOf({ config, configIsGiven }: CommandOptions, terminal: Terminal): Promise<PriceScope | undefined> {
  if (!configIsGiven && !existsSync(config)) return scopeOfBuiltIn();
  const { problems, meaning } = await checkConfig({ configPath: config, env: terminal.env });
  if (meaning !== undefined) return scopeOfFile(meaning);
  terminal.err(printProblems(problems, terminal.colour));
  return undefined;
}

/** What the caller does not say is what the entity says. */
function questionOf({ operation, size, quality, n, images, steps }: Asked, target: PriceTarget): PriceQuestion {
  const own = target.entity?.operations[operation].parameters;
  return {
    provider: target.provider,
    entity: target.entityId ?? '',
    model: target.model,
    operation,
    size: size ?? own?.size,
    quality: quality ?? own?.quality,
    n: n ?? own?.n ?? 1,
    inputImages: images,
    steps,
  };
}

interface Shown {
  readonly target: PriceTarget;
  readonly others: readonly PriceTarget[];
  readonly question: PriceQuestion;
  readonly explanation: PriceExplanation;
}

function asJson({ target, others, question, explanation }: Shown): string {
  const { origin, entry, compiled, sources, confidence, unconfirmed, status, retiredOn, notes } = explanation;
  const isPriced = explanation.kind === 'priced';
  const shown = {
    model: target.model,
    provider: target.provider,
    entity: target.entityId ?? null,
    operation: question.operation,
    size: question.size ?? null,
    quality: question.quality ?? null,
    n: question.n,
    input_images: question.inputImages,
    steps: question.steps ?? null,
    kind: explanation.kind,
    cost_usd: isPriced ? Number(formatUsd(explanation.nanoUsd)) : null,
    nano_usd: isPriced ? explanation.nanoUsd : null,
    basis: isPriced ? explanation.basis : null,
    arithmetic: isPriced ? explanation.arithmetic : [],
    origin,
    entry: entry ?? null,
    compiled: compiled ?? null,
    sources: sources.map(({ title, asOf }) => ({ title, as_of: asOf })),
    confidence: confidence ?? null,
    unconfirmed,
    status: status ?? null,
    retired_on: retiredOn ?? null,
    notes,
    others: others.map(nameOf),
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

function asText(shown: Shown): string {
  const { target, others, question, explanation } = shown;
  const { operation, size, quality, n, inputImages } = question;
  const call = [
    operation,
    `quality ${quality ?? 'not said'}`,
    `size ${size ?? 'not said'}`,
    `n = ${n}`,
    ...(inputImages > 0 ? [`${inputImages} sent along`] : []),
  ];
  const sum =
    explanation.kind === 'priced'
      ? [`at the most ${formatUsd(explanation.nanoUsd)} USD`, '', ...explanation.arithmetic.map((line) => `  ${line}`)]
      : ['no price is known: a budget in dollars goes by `unpriced`, and refuses the call unless that says `allow`'];
  const facts = [
    ...factsOf(explanation),
    ...(others.length === 0 ? [] : [`also      ${others.map(nameOf).join(', ')}`]),
  ];
  return `${[`${nameOf(target)}: ${call.join(', ')}`, ...sum, '', ...facts].join('\n').trimEnd()}\n`;
}

function factsOf({ origin, entry, compiled, ...rest }: PriceExplanation): readonly string[] {
  const { sources, confidence, unconfirmed, status, retiredOn, notes } = rest;
  const rule = {
    file: `${entry} of the file's prices`,
    table: `${entry} of the built-in table of ${compiled}`,
    none: 'neither the file nor the built-in table has one',
  }[origin];
  const on = retiredOn === undefined ? '' : ` on ${retiredOn}`;
  const marks: Partial<Record<NonNullable<typeof status>, string>> = {
    retired: `RETIRED: shut down by its vendor${on}`,
    scheduled_shutdown: `RETIRING: to be shut down by its vendor${on}`,
    legacy: 'legacy',
  };
  const mark = status && marks[status];
  return [
    `rule      ${rule}`,
    ...(mark === undefined ? [] : [`status    ${mark}`]),
    ...(confidence === undefined ? [] : [`figures   ${unconfirmed ? 'UNCONFIRMED: ' : ''}${confidence}`]),
    ...sources.map(({ title, asOf }) => `source    ${title} (as of ${asOf})`),
    ...notes.map((note) => `note      ${note}`),
  ];
}

function nameOf({ entityId, provider, model }: PriceTarget): string {
  return `${entityId ?? provider}/${model}`;
}
