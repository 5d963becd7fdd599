import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { keys } from './keys.ts';
import { reload } from './reload.ts';
import { schema } from './schema.ts';
import { start } from './start.ts';
import type { Command, CommandValues, Terminal } from './terminal.ts';
import { usage } from './usage.ts';
import { validate } from './validate.ts';

const commands: readonly Command[] = [start, validate, schema, keys, reload, usage];

/** Runs what the arguments ask for, and gives the exit code: 0 done, 1 failed, 2 used wrongly. */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const parsed = parse(args);
  if (parsed.kind === 'wrong') {
    terminal.err(`${parsed.message}\n\n${help}`);
    return 2;
  }
  const { config, command, rest, values, wantsHelp, wantsVersion } = parsed;
  if (wantsVersion) {
    terminal.out(`${version()}\n`);
    return 0;
  }
  if (wantsHelp || command === undefined) {
    terminal.out(help);
    return wantsHelp ? 0 : 2;
  }
  return command.run({ config, rest, values }, terminal);
}

type Arguments =
  | { readonly kind: 'wrong'; readonly message: string }
  | {
      readonly kind: 'parsed';
      readonly config: string;
      readonly command: Command | undefined;
      readonly rest: readonly string[];
      readonly values: CommandValues;
      readonly wantsHelp: boolean;
      readonly wantsVersion: boolean;
    };

const commonOptions = {
  config: { type: 'string', short: 'c', default: './gateway.yaml' },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', short: 'v', default: false },
} as const;

function parse(args: readonly string[]): Arguments {
  const [name] = positionalsOf(args);
  const command = commands.find((candidate) => candidate.name === name);
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ...command?.options, ...commonOptions },
    });
    const { config, help: helps, version: wantsVersion, ...own } = values;
    const wantsHelp = helps || name === 'help';
    if (name !== undefined && command === undefined && !wantsHelp && !wantsVersion) {
      return { kind: 'wrong', message: `There is no command \`${name}\`.` };
    }
    return { kind: 'parsed', config, command, rest: positionals.slice(1), values: own, wantsHelp, wantsVersion };
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
}

/** What is neither an option nor an option's value, whichever command it turns out to be. */
function positionalsOf(args: readonly string[]): readonly string[] {
  const options = Object.assign({}, ...commands.map((command) => command.options ?? {}), commonOptions);
  return parseArgs({ args: [...args], allowPositionals: true, strict: false, options }).positionals;
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
    ([name, { value = '', about }]) => `  ${' '.repeat(18)}   ${`--${name} ${value}`.padEnd(20)} ${about}`,
  );
  return [`  ${usage.padEnd(18)} ${about}`, ...own].join('\n');
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
