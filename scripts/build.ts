/**
 * Makes the published package in dist/: compiled JavaScript with types, the schemas, the table of prices, the shipped gateway.yaml, and a
 * package.json without what only a checkout needs. `npm publish ./dist` publishes it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

rmSync(dist, { recursive: true, force: true });
execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
// The compiler would write the table of prices too, but in a form of its own.
for (const name of ['schemas', 'src/budget/image-prices.json', 'gateway.yaml', 'README.md', 'LICENSE', 'examples']) {
  cpSync(join(root, name), join(dist, name), { recursive: true });
}

/** The members of the root manifest that concern users; its pinned Node is for checkouts only. */
interface Manifest {
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly [name: string]: unknown;
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
const { sharp } = manifest.optionalDependencies;
const kept = ['name', 'version', 'description', 'license', 'type', 'engines', 'dependencies'].map(
  (name) => [name, manifest[name]] as const,
);
const published = {
  ...Object.fromEntries(kept),
  bin: { pinhole: './src/main.js' },
  exports: {
    '.': { types: './src/index.d.ts', default: './src/index.js' },
    './schemas/*': './schemas/*',
    './package.json': './package.json',
  },
  optionalDependencies: { sharp },
};
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
console.log('built dist/');
