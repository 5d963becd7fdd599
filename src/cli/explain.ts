import { GatewayError } from '../errors.ts';
import { explainConfig } from '../gateway.ts';
import type {
  ShownBudget,
  ShownCandidate,
  ShownExplanation,
  ShownRefusal,
  ShownRequest,
  ShownStage,
} from '../runtime/show-explanation.ts';
import { printProblems } from './print-problems.ts';
import type { Command, CommandOptions } from './terminal.ts';

export const explain: Command = {
  name: 'explain',
  usage: 'explain',
  about: 'what a request would do, stage by stage, without sending it',
  options: {
    route: { type: 'string', value: 'ROUTE', about: 'id or path (default: the first that does the operation)' },
    model: { type: 'string', value: 'MODEL', about: 'as callers write it' },
    consumer: { type: 'string', value: 'CONSUMER', about: 'who calls' },
    operation: { type: 'string', value: 'OPERATION', about: 'generation or edition' },
    size: { type: 'string', value: 'SIZE', about: 'as callers write it' },
    quality: { type: 'string', value: 'QUALITY', about: 'as callers write it' },
    n: { type: 'string', value: 'NUMBER', about: 'pictures asked for' },
    prompt: { type: 'string', value: 'TEXT', about: 'the prompt (default: a mark in its place)' },
    image: { type: 'string', value: 'NUMBER', about: 'pictures sent along' },
    user: { type: 'string', value: 'USER', about: 'the end user' },
    fallback: { type: 'string', multiple: true, value: 'MODEL', about: 'a further model of the caller' },
    format: { type: 'string', value: 'FORMAT', about: 'text or json (default: text)' },
  },
  async run(options, terminal) {
    const { format = 'text' } = options.values;
    try {
      if (options.rest.length > 0) throw wrong(`\`${options.rest.join(' ')}\` is one argument too many.`);
      if (format !== 'text' && format !== 'json') throw wrong('`--format` must be text or json.');
      const { problems, explanation } = await explainConfig(
        { configPath: options.config, env: terminal.env },
        questionOf(options),
      );
      if (problems !== undefined) {
        terminal.err(printProblems(problems, terminal.colour));
        return 1;
      }
      terminal.out(format === 'json' ? `${JSON.stringify(explanation, undefined, 2)}\n` : asText(explanation));
      return explanation.refusal === null ? 0 : 1;
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'invalid_value') throw error;
      terminal.err(`${error.message}\n`);
      return 2;
    }
  },
};

function wrong(message: string): GatewayError {
  return new GatewayError('invalid_value', message);
}

/** The question in the words of `POST /api/explain`, where it is judged. */
function questionOf({ values, lists }: CommandOptions): object {
  const { format: _format, n, image, ...texts } = values;
  const { fallback: fallbacks } = lists;
  return {
    ...texts,
    ...(n === undefined ? {} : { n: wholeNumber('n', n) }),
    ...(image === undefined ? {} : { images: wholeNumber('image', image) }),
    ...(fallbacks === undefined ? {} : { fallbacks }),
  };
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw wrong(`\`--${name}\` must be a whole number.`);
  return Number(text);
}

function asText(explanation: ShownExplanation): string {
  const { route, operation, consumer, model, refusal, notes, stages, candidates, budgets } = explanation;
  const head = [
    `route     ${route ?? 'none'}`,
    `call      ${operation ?? '-'} of ${model ?? "the route's default model"} by ${consumer ?? 'nobody known'}`,
    ...notes.map((note) => `note      ${note}`),
    refusal === null ? 'answer    it would be sent' : `answer    ${refusalText(refusal)}`,
  ];
  const sections = [
    head,
    section(
      'stages',
      stages.flatMap((stage) => stageLines(stage, '  ')),
    ),
    section('candidates', candidates.flatMap(candidateLines)),
    section('budgets', budgets.map(budgetLine)),
    section(
      'rate limits',
      explanation.rate_limits.map(({ limit, takes }) => `  ${limit}: takes ${takes}`),
    ),
  ].filter((lines) => lines.length > 0);
  // Nobody who chooses names tells the terminal what to do.
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`.replaceAll(/[^\P{Cc}\n]/gu, '\uFFFD');
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}

function refusalText({ status, code, param, message }: ShownRefusal): string {
  return `${status} ${code}${param === null ? '' : ` (${param})`}: ${message}`;
}

const outcomes: Readonly<Record<ShownStage['outcome'], string>> = {
  told: '',
  runs: ' (only a request shows what it does)',
  refuses: ' REFUSES',
  not_reached: ' (not reached)',
};

function stageLines({ stage, outcome, notes, stages }: ShownStage, indent: string): readonly string[] {
  const words = notes.length === 0 ? '' : `: ${notes.join('; ')}`;
  return [
    `${indent}${stage}${outcomes[outcome]}${words}`,
    ...stages.flatMap((each) => stageLines(each, `${indent}  `)),
  ];
}

function candidateLines(candidate: ShownCandidate): readonly string[] {
  const { place, entity, provider, model, allowed, rule, refusal, price, parameters, requests } = candidate;
  const cost =
    price === null
      ? []
      : price.kind === 'priced'
        ? [
            `at the most ${price.cost_usd} USD (${price.origin} ${price.entry})`,
            ...price.arithmetic.map((line) => `  ${line}`),
          ]
        : ['no price is known'];
  const fates = parameters.map(({ name, how }) => `${name} ${how}`).join(', ');
  return [
    `  ${place ?? '-'}  ${entity}/${model} (${provider})${allowed ? '' : ' NOT ALLOWED'}`,
    ...[
      ...(rule === null ? [] : [`rule: ${rule}`]),
      ...(refusal === null ? [] : [`refused: ${refusalText(refusal)}`]),
      ...cost,
      ...(fates === '' ? [] : [`parameters: ${fates}`]),
      ...requests.flatMap(requestLines),
    ].map((line) => `     ${line}`),
  ];
}

function requestLines({ method, url, local, headers, body }: ShownRequest): readonly string[] {
  if (local) return ['drawn by the gateway itself, nothing is sent'];
  return [
    `${method} ${url}`,
    ...Object.entries(headers).map(([name, value]) => `  ${name}: ${value}`),
    ...(body === null
      ? []
      : JSON.stringify(body, undefined, 2)
          .split('\n')
          .map((line) => `  ${line}`)),
  ];
}

function budgetLine({ id, value, unit, reserves, limit, used, held, on_exceed: onExceed }: ShownBudget): string {
  const whose = value === null ? '' : ` of ${value}`;
  const standing = used === null ? '' : `, ${used} used and ${held} held`;
  const warns = onExceed === 'warn' ? ', which only warns' : '';
  return `  ${id}${whose}: reserves ${reserves} of ${limit} ${unit}${standing}${warns}`;
}
