import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { importExtensions } from '../../../src/runtime/extensions.ts';
import { createRegistry } from '../../../src/pipeline/registry.ts';
import { GatewayError } from '../../../src/errors.ts';
it('probe', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'pinhole-ext-'));
  const path = join(dir, 'a.ts');
  await writeFile(path, `import { defineStage, GatewayError } from 'pinhole'; import { x } from './b.ts'; export const E: unknown = GatewayError; export const stages = [defineStage({name: 'a'+x, schema: {}, reads: [], writes: [], create() { throw new GatewayError('guard_blocked','x'); } })];`);
  await writeFile(join(dir, 'b.ts'), `export const x: number = 1;`);
  const builtIn = createRegistry({ stages: [], providers: [], stores: [], blobStores: [] });
  const r = await importExtensions([{ path, pointer: '/extensions/0' }], builtIn);
  console.log(r);
  try { (r.registry.stages.get('a1')!.create as any)({}); } catch (e) { console.log(e instanceof GatewayError, (e as Error).name); }
  await writeFile(join(dir, 'b.ts'), `export const x: number = 2;`);
  await writeFile(path, `import { defineStage } from 'pinhole'; import { x } from './b.ts'; export const stages = [defineStage({name: 'b'+x, schema: {}, reads: [], writes: [], create() { throw 1; } })];`);
  console.log(await importExtensions([{ path, pointer: '/extensions/0' }], builtIn));
  await rm(dir, { recursive: true });
});
