import { checkConfig } from '../gateway.ts';
import { printProblems } from './print-problems.ts';
import type { Command } from './terminal.ts';

export const validate: Command = {
  name: 'validate',
  usage: 'validate',
  about: 'check the file as a reload would, without starting anything',
  async run({ config }, terminal) {
    const { problems, warnings } = await checkConfig({ configPath: config, env: terminal.env });
    if (warnings.length > 0) terminal.err(printProblems(warnings, terminal.colour, 'warning'));
    if (problems.length === 0) {
      terminal.out(`${config} is valid.\n`);
      return 0;
    }
    terminal.err(printProblems(problems, terminal.colour));
    return 1;
  },
};
