import { schemaFile, schemaNames } from '../schema-files.ts';
import type { Command } from './terminal.ts';

export const schema: Command = {
  name: 'schema',
  usage: 'schema [NAME]',
  about: 'print a JSON Schema, that of the file unless another is named; `schema list` lists them',
  run({ rest }, terminal) {
    const [name = 'gateway'] = rest;
    const names = schemaNames();
    if (name === 'list') {
      terminal.out(`${names.join('\n')}\n`);
      return Promise.resolve(0);
    }
    if (!names.includes(name)) {
      terminal.err(`There is no schema \`${name}\`. There are: ${names.join(', ')}.\n`);
      return Promise.resolve(2);
    }
    terminal.out(`${JSON.stringify(schemaFile(name), undefined, 2)}\n`);
    return Promise.resolve(0);
  },
};
