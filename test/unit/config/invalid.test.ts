import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../fixtures/load-config.ts';
import { schemaDefinitions } from './definitions.ts';

const folder = fileURLToPath(new URL('../../configs/invalid/', import.meta.url));
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.replace('.yaml', ''));
const definitions = schemaDefinitions();

/** Each NAME.yaml has one mistake or a few, and NAME.txt the problems that it must give: `LINE:COLUMN message`. */
describe('a file with a mistake', () => {
  it.each(names)('%s is refused with its problems', async (name) => {
    const result = await loadConfig({ path: `${folder}${name}.yaml`, env: {}, definitions });
    if (result.kind !== 'invalid') throw new Error('The file was accepted.');
    const found = result.problems.map(
      ({ line, column, message }) => `${line}:${column} ${message.replaceAll(folder, '')}`,
    );
    const expected = readFileSync(`${folder}${name}.txt`, 'utf8').trimEnd().split('\n');
    expect(found).toEqual(expected);
  });

  it('has its expected problems beside it, and nothing else lies there', () => {
    const expectations = readdirSync(folder).filter((file) => !file.endsWith('.yaml'));
    expect(expectations.toSorted()).toEqual(names.map((name) => `${name}.txt`).toSorted());
  });
});
