import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ExtensionFile } from '../../../src/runtime/extensions.ts';
import type { Imported } from './extension-importer.ts';

const sourceFile = (path: string): string => JSON.stringify(new URL(`../../../src/${path}`, import.meta.url).href);

let worker: Worker;
let folder: string;

beforeAll(() => {
  worker = new Worker(new URL('extension-importer.ts', import.meta.url), { execArgv: [] });
});
afterAll(() => worker.terminate());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-extension-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A module that brings stages of these names, which may be any expressions. */
const stagesNamed = (...names: readonly string[]): string =>
  `export const stages = [${names.map((name) => `{ name: ${name}, schema: {}, reads: [], writes: [], create: () => () => {} }`).join(', ')}];`;

describe('an extension', () => {
  it('brings stages and providers', async () => {
    await write('both.ts', `${stagesNamed('"watermark"')} export const providers = [${provider('local', 'loc')}];`);
    await write('plain.mjs', stagesNamed('"plain"'));
    expect(await imported('both.ts', 'plain.mjs')).toEqual({
      stages: ['watermark', 'plain'],
      providers: ['local', 'loc'],
      problems: [],
    });
  });

  it('is imported again when its text has changed, and only then', async () => {
    await write(
      'counting.ts',
      `globalThis.runs = (globalThis.runs ?? 0) + 1; ${stagesNamed('`run-${globalThis.runs}`')}`,
    );
    expect((await imported('counting.ts')).stages).toEqual(['run-1']);
    expect((await imported('counting.ts')).stages).toEqual(['run-1']);
    await write('counting.ts', `globalThis.runs += 10; ${stagesNamed('`run-${globalThis.runs}`')}`);
    expect((await imported('counting.ts')).stages).toEqual(['run-11']);
  });

  it('has what it imports from its own folder read again along with it, however deep', async () => {
    await write('lib/name.ts', `import { suffix } from '../suffix.ts'; export const name: string = 'one' + suffix;`);
    await write(
      'suffix.ts',
      `import data from './data.json' with { type: 'json' }; export const suffix = data.suffix;`,
    );
    await write('data.json', '{"suffix": "-a"}');
    const entry = (version: number) =>
      `import { name } from './lib/name.ts'; ${stagesNamed('name')} // version ${version}`;
    await write('entry.ts', entry(1));
    expect((await imported('entry.ts')).stages).toEqual(['one-a']);
    await write('data.json', '{"suffix": "-b"}');
    await write('lib/name.ts', `import { suffix } from '../suffix.ts'; export const name: string = 'two' + suffix;`);
    await write('entry.ts', entry(2));
    expect((await imported('entry.ts')).stages).toEqual(['two-b']);
  });

  it('gets the gateway that loads it as `pinhole`, wherever it lies', async () => {
    await write(
      'door.ts',
      `import { defineStage, GatewayError, Halt } from 'pinhole';
       import { GatewayError as ours } from ${sourceFile('errors.ts')};
       import { Halt as halt } from ${sourceFile('pipeline/stage.ts')};
       import { helper } from './lib/helper.ts';
       export const stages = [
         defineStage({ name: String(GatewayError === ours && Halt === halt && helper === ours), schema: {}, reads: [], writes: [], create: () => () => {} }),
       ];`,
    );
    await write('lib/helper.ts', `import { GatewayError } from 'pinhole'; export const helper = GatewayError;`);
    expect(await imported('door.ts')).toEqual({ stages: ['true'], providers: [], problems: [] });
  });

  it('gets no second gateway when it imports parts of it by a relative path', async () => {
    const up = '../'.repeat(folder.split('/').length - 1);
    const errors = JSON.stringify(up + new URL('../../../src/errors.ts', import.meta.url).pathname.slice(1));
    await write(
      'relative.ts',
      `import { GatewayError } from ${errors}; import { GatewayError as ours } from ${sourceFile('errors.ts')};
       ${stagesNamed('String(GatewayError === ours)')}`,
    );
    expect(await imported('relative.ts')).toEqual({ stages: ['true'], providers: [], problems: [] });
  });
});

describe('an extension that cannot be used', () => {
  it.each([
    ['cannot be parsed', 'export const stages = [', /./],
    ['uses what Node cannot strip', 'enum Colour { red } export const stages = [Colour];', /enum/],
    ['throws', 'throw new Error("no luck");', /no luck$/],
    ['throws a text', 'throw "no luck";', /no luck$/],
    ['imports what is not there', `import './gone.ts'; ${stagesNamed()}`, /gone\.ts/],
    ['imports a package that is not there', `import 'no-such-package'; ${stagesNamed()}`, /no-such-package/],
    ['exports nothing of interest', 'export const stage = 1;', /exports neither `stages` nor `providers`$/],
    ['exports only a default', 'export default { stages: [] };', /exports neither/],
    ['exports no list', 'export const stages = {};', /its `stages` are not a list of stages$/],
    ['has a stage without a name', stagesNamed('undefined'), /its `stages` are not a list/],
    ['has a stage without slots', stagesNamed('"a"').replace('reads: [], ', ''), /its `stages` are not a list/],
    ['has a hole in its list', 'export const stages = [null];', /its `stages` are not a list/],
    [
      'has a provider without aliases',
      `export const providers = [${provider('local').replace('aliases: [], ', '')}];`,
      /its `providers` are not a list of providers$/,
    ],
    ['brings a name twice', stagesNamed('"a"', '"a"'), /there are two stages of the name a$/],
  ])('because it %s is a problem at its place', async (_, module, reason) => {
    await write('broken.ts', module);
    const { stages, providers, problems } = await imported('broken.ts');
    expect([stages, providers]).toEqual([[], []]);
    expect(problems).toEqual([{ pointer: '/extensions/0', message: expect.stringMatching(reason) }]);
    expect(problems[0]?.message).toMatch(/^this extension cannot be used: /);
  });

  it('because it does not exist is a problem too', async () => {
    const { problems } = await imported('gone.ts');
    expect(problems).toEqual([{ pointer: '/extensions/0', message: expect.stringContaining('gone.ts') }]);
  });

  it('keeps none of the others from being imported', async () => {
    await write('good.ts', stagesNamed('"good"'));
    await write('clash.ts', stagesNamed('"fine"', '"good"'));
    await write('late.ts', stagesNamed('"late"'));
    const { stages, problems } = await imported('good.ts', 'clash.ts', 'gone.ts', 'late.ts');
    expect(stages).toEqual(['good', 'late']);
    expect(problems.map(({ pointer }) => pointer)).toEqual(['/extensions/1', '/extensions/2']);
  });

  it('is imported again once it is mended', async () => {
    await write('mended.ts', 'export const stages = [');
    expect((await imported('mended.ts')).problems).toHaveLength(1);
    await write('mended.ts', stagesNamed('"mended"'));
    expect(await imported('mended.ts')).toEqual({ stages: ['mended'], providers: [], problems: [] });
  });
});

function provider(name: string, ...aliases: readonly string[]): string {
  return `{ name: '${name}', aliases: ${JSON.stringify(aliases)}, schema: {}, tokenOptional: true, create() {} }`;
}

async function write(name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

async function imported(...names: readonly string[]): Promise<Imported> {
  const files: ExtensionFile[] = names.map((name, index) => ({
    path: join(folder, name),
    pointer: `/extensions/${index}`,
  }));
  const answer = once(worker, 'message');
  worker.postMessage(files, []);
  const [result] = (await answer) as [Imported];
  return result;
}
