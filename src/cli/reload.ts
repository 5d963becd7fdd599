import { readConfig } from '../config/load.ts';
import { validateWithExtensions } from '../gateway.ts';
import { isJsonObject } from '../json.ts';
import { parseListenAddress } from '../listen-address.ts';
import { printProblems } from './print-problems.ts';
import type { Command, Terminal } from './terminal.ts';

export const reload: Command = {
  name: 'reload',
  usage: 'reload',
  about: 'make the running gateway read its file now, and say what came of it',
  async run({ config }, terminal) {
    const { loaded } = await validateWithExtensions(await readConfig({ path: config, env: terminal.env }));
    if (loaded.kind === 'invalid') {
      terminal.err(printProblems(loaded.problems, terminal.colour));
      return 1;
    }
    const { listen, token } = loaded.config.admin;
    const { host, port } = parseListenAddress(listen);
    const url = `http://${host === '' || host === '0.0.0.0' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}/api/reload`;
    try {
      const headers = token === '' ? undefined : { authorization: `Bearer ${token}` };
      const response = await fetch(url, {
        method: 'POST',
        ...(headers === undefined ? {} : { headers }),
        signal: AbortSignal.timeout(30_000),
      });
      return report(await response.json(), terminal);
    } catch (error) {
      terminal.err(`No gateway answers at ${url}: ${error instanceof Error ? error.message : String(error)}\n`);
      return 1;
    }
  },
};

/** @param result as `POST /api/reload` answers it */
function report(result: unknown, terminal: Terminal): number {
  const { kind, revision, diff, problems } = isJsonObject(result) ? result : {};
  if (kind === 'unchanged') terminal.out(`Nothing has changed; revision ${String(revision)} stays in force.\n`);
  else if (kind === 'applied' && Array.isArray(diff)) {
    terminal.out(`Revision ${String(revision)} is in force.\n${diff.map((line) => `  ${String(line)}\n`).join('')}`);
  } else if (kind === 'refused' && Array.isArray(problems)) {
    terminal.err(printProblems(problems, terminal.colour));
    return 1;
  } else {
    terminal.err(`The gateway answered: ${JSON.stringify(result)}\n`);
    return 1;
  }
  return 0;
}
