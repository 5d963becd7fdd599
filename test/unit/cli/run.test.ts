import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isJsonObject } from '../../../src/json.ts';
import { run } from './fake-terminal.ts';

describe('the command line', () => {
  it.each([['--help'], ['-h'], ['help'], ['start', '--help'], ['nonsense', '-h']])(
    'explains itself: %s %s',
    async (...args) => {
      const { code, out, err } = await run(args);
      expect([code, err]).toEqual([0, '']);
      for (const command of ['start', 'validate', 'schema', 'price', 'keys', 'reload', 'usage']) {
        expect(out).toMatch(new RegExp(`^  ${command} .*\\S`, 'm'));
      }
      expect(out).toContain('--config FILE');
      expect(out).toMatch(/^ +--where NAME=VALUE +\S/m);
    },
  );

  it('explains itself, and says that this was not it, without a command', async () => {
    const { code, out } = await run([]);
    expect([code, out.startsWith('Pinhole')]).toEqual([2, true]);
  });

  it.each([['--version'], ['-v']])('tells its version: %s', async (flag) => {
    const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
    const version = isJsonObject(manifest) ? manifest['version'] : undefined;
    expect(await run([flag])).toEqual({ code: 0, out: `${String(version)}\n`, err: '' });
  });

  it.each([
    [['strat'], 'There is no command `strat`.'],
    [['--no-such-option'], '--no-such-option'],
    [['start', '--config'], '--config'],
    [['validate', '--config=a', '-x'], '-x'],
  ])('is told how it goes when it is used wrongly: %j', async (args, reason) => {
    const { code, out, err } = await run(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(reason);
    expect(err).toContain('Usage: pinhole COMMAND');
  });
});

describe('keys', () => {
  it('makes a new key each time, and prints it with its hash', async () => {
    const [first, second] = [await run(['keys']), await run(['keys', 'batch-job'])];
    for (const { code, out, err } of [first, second]) {
      expect([code, err]).toEqual([0, '']);
      const key = /^key: +(ph-[\w-]{43})$/m.exec(out)?.[1] ?? '';
      expect(/^key_sha256: ([0-9a-f]{64})$/m.exec(out)?.[1]).toBe(hash('sha256', key));
      expect(out.split(key)).toHaveLength(2);
    }
    expect(first.out).toContain('{ id: web-app, key_sha256: ');
    expect(second.out).toContain('{ id: batch-job, key_sha256: ');
    expect(second.out).not.toContain(/ph-[\w-]{43}/.exec(first.out)?.[0]);
  });
});

describe('schema', () => {
  const schemaOf = async (...args: string[]): Promise<unknown> => JSON.parse((await run(['schema', ...args])).out);

  it('prints that of the file unless another is named', async () => {
    expect(await schemaOf()).toMatchObject({ type: 'object', properties: { version: {}, routes: {} } });
    expect(await schemaOf('stages/fallback')).toMatchObject({ required: ['stages'] });
  });

  it('lists the names of all, each of which it can print', async () => {
    const names = (await run(['schema', 'list'])).out.trim().split('\n');
    expect(names).toEqual(expect.arrayContaining(['gateway', 'stages/parse', 'providers/openai']));
    for (const name of names) expect(await schemaOf(name)).toBeTypeOf('object');
  });

  it.each(['nonsense', '../package', 'stages/../gateway', ''])('knows no schema of the name %j', async (name) => {
    const { code, out, err } = await run(['schema', name]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(`There is no schema \`${name}\`. There are: `);
  });
});
