import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { explain } from './explain.ts';
import { keys } from './keys.ts';
import { price } from './price.ts';
import { reload } from './reload.ts';
import { schema } from './schema.ts';
import { start } from './start.ts';
import type { Command, CommandOption, CommandOptions, Terminal } from './terminal.ts';
import { usage } from './usage.ts';
import { validate } from './validate.ts';

const commands: readonly Command[] = [start, validate, schema, explain, price, keys, reload, usage];

/** Runs what the arguments ask for, and gives the exit code: 0 done, 1 failed, 2 used wrongly. */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const parsed = parse(args);
  if (parsed.kind === 'wrong') {
    terminal.err(`${parsed.message}\n\n${help}`);
    return 2;
  }
  const { rest, wantsHelp, wantsVersion, ...given } = parsed;
  if (wantsVersion) {
    terminal.out(`${version()}\n`);
    return 0;
  }
  const [name, ...further] = rest;
  if (wantsHelp || name === undefined || name === 'help') {
    terminal.out(help);
    return wantsHelp || name === 'help' ? 0 : 2;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    terminal.err(`There is no command \`${name}\`.\n\n${help}`);
    return 2;
  }
  const stray = [...Object.keys(given.values), ...Object.keys(given.lists)].find(
    (option) => !Object.hasOwn(command.options ?? {}, option),
  );
  if (stray !== undefined) {
    terminal.err(`The command \`${name}\` has no option \`--${stray}\`.\n\n${help}`);
    return 2;
  }
  return command.run({ ...given, rest: further }, terminal);
}

type Arguments =
  { kind: 'wrong'; message: string } | (CommandOptions & { kind: 'parsed'; wantsHelp: boolean; wantsVersion: boolean });

const generalOptions = {
  config: { type: 'string', short: 'c' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

function parse(args: readonly string[]): Arguments {
  const own: Readonly<Record<string, CommandOption>> = Object.assign({}, ...commands.map(({ options }) => options));
  try {
    const parsed = parseArgs({ args: [...args], allowPositionals: true, options: { ...own, ...generalOptions } });
    const given: Readonly<Record<string, unknown>> = parsed.values;
    const text = (name: string): string | undefined => (typeof given[name] === 'string' ? given[name] : undefined);
    const ownGiven = Object.keys(own).filter((name) => name in given);
    return {
      kind: 'parsed',
      config: text('config') ?? './gateway.yaml',
      configIsGiven: given['config'] !== undefined,
      values: Object.fromEntries(
        ownGiven.filter((name) => own[name]?.multiple !== true).map((name) => [name, text(name) ?? '']),
      ),
      lists: Object.fromEntries(
        ownGiven.flatMap((name) => (Array.isArray(given[name]) ? [[name, given[name].map(String)]] : [])),
      ),
      rest: parsed.positionals,
      wantsHelp: given['help'] === true,
      wantsVersion: given['version'] === true,
    };
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
}

const help = `Pinhole: a declarative gateway for image models.

Usage: pinhole COMMAND [--config FILE]

Commands:
${commands.map(describe).join('\n')}

Options:
  -c, --config FILE  the file that declares the gateway (default: ./gateway.yaml)
  -h, --help         this text
  -v, --version      the version

Exit codes: 0 done, 1 failed, 2 used wrongly.
`;

function describe({ usage, about, options = {} }: Command): string {
  const own = Object.entries(options).map(
    ([name, { value = '', about }]) => `${' '.repeat(25)}${`--${name} ${value}`.padEnd(21)} ${about}`,
  );
  return [`  ${usage.padEnd(21)} ${about}`, ...own].join('\n');
}

function version(): string {
  // In a checkout the manifest lies one folder up, in the published package two.
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8'));
      const found = (manifest as { version?: unknown }).version;
      if (typeof found === 'string') return found;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}
