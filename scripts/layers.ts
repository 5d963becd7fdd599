/**
 * Checks the two rules of the structure: imports go down only, and each dependency has one home. Prints every breach as
 * file:line and exits 1 when there is one.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const source = join(root, 'src');

/** The first pattern that matches a file's path below src/ gives its level. */
const levels: readonly (readonly [RegExp, number])[] = [
  [/^(main|gateway|index)\.ts$/, 4],
  // Contracts stand beside their implementations, but belong to everybody.
  [/^(providers\/provider|stores\/(store|ledger|limiter|key-store|job-store|answer-index)|blobs\/blob-store)\.ts$/, 1],
  [/^pipeline\//, 1],
  [/^(transforms|providers|stores|blobs|budget)\//, 2],
  [/^(config|runtime|http|admin)\//, 3],
  [/^cli\//, 4],
  [/^(images|body|generated)\//, 0],
  [/^[\w-]+\.ts$/, 0],
];

/** Where each dependency may be imported; everywhere else its home is asked. */
const homes: Readonly<Record<string, RegExp>> = {
  ajv: /^validation/,
  chokidar: /^config\/watch/,
  yaml: /^config\//,
  undici: /^http\//,
  'http-proxy-3': /^http\/forward/,
  '@fastify/busboy': /^body\/multipart/,
  winston: /^log/,
  'winston-transport': /^log/,
  re2js: /^pattern\.ts$/,
  sharp: /^images\/codecs/,
  '@marcbachmann/cel-js': /^providers\/cel\.ts$/,
  jose: /^providers\/vertex\.ts$/,
  pg: /^stores\/postgres/,
  '@redis/client': /^stores\/redis/,
  aws4fetch: /^(providers\/bedrock\.ts|blobs\/s3)/,
};

/** What the engine must not know, and what a provider must not touch. */
const forbidden: readonly { readonly from: RegExp; readonly to: RegExp; readonly why: string }[] = [
  {
    from: /^(transforms|pipeline)\//,
    to: /^providers\/(?!provider\.ts$)/,
    why: 'shared code knows no vendor',
  },
  { from: /^providers\//, to: /^node:/, why: 'providers are pure: no network, clock or environment' },
  {
    from: /^(config|runtime)\//,
    to: /^(transforms|providers|stores|blobs)\/(?!provider\.ts|store\.ts|ledger\.ts|limiter\.ts|key-store\.ts|job-store\.ts|answer-index\.ts|blob-store\.ts)/,
    why: 'only the registry knows them',
  },
];

const breaches: string[] = [];
for (const name of globSync('**/*.ts', { cwd: source }).toSorted()) {
  for (const { target, line } of importsOf(name)) {
    const why = breach(name, target);
    if (why !== undefined) breaches.push(`src/${name}:${line} imports ${target}: ${why}`);
  }
  const processUse =
    name === 'main.ts' ? -1 : lineOf(name, /(^|[^\w.'"`-])process\.(env|argv|exit|on|stdout|stderr)\b/);
  if (processUse > 0) breaches.push(`src/${name}:${processUse} uses process: its home is src/main.ts`);
}
for (const line of breaches) console.error(line);
if (breaches.length > 0) process.exit(1);

function breach(name: string, target: string): string | undefined {
  for (const rule of forbidden) if (rule.from.test(name) && rule.to.test(target)) return rule.why;
  if (target.startsWith('node:')) return undefined;
  if (target.endsWith('.ts')) {
    const [from, to] = [levelOf(name), levelOf(target)];
    return to > from ? `level ${from} must not reach up to level ${to}` : undefined;
  }
  if (target.endsWith('.json')) return undefined;
  const home = homes[target];
  if (home === undefined) return 'this dependency has no home: name one in scripts/layers.ts';
  return home.test(name) ? undefined : `the home of this dependency is ${home.source}`;
}

function levelOf(name: string): number {
  const found = levels.find(([pattern]) => pattern.test(name));
  if (found === undefined) throw new Error(`src/${name} belongs to no layer: name one in scripts/layers.ts`);
  return found[1];
}

/** Import targets: package names, `node:` modules, and files as paths below src/. */
function importsOf(name: string): { target: string; line: number }[] {
  const lines = readFileSync(join(source, name), 'utf8').split('\n');
  return lines.flatMap((text, index) => {
    const specifier = /(?:^|\s)(?:from|import)\s*\(?\s*'([^']+)'/.exec(text)?.[1];
    if (specifier === undefined || /^\s*(\*|\/\/)/.test(text)) return [];
    const target = specifier.startsWith('.') ? relative(source, join(source, dirname(name), specifier)) : specifier;
    return [{ target, line: index + 1 }];
  });
}

function lineOf(name: string, pattern: RegExp): number {
  const lines = readFileSync(join(source, name), 'utf8').split('\n');
  return lines.findIndex((text) => pattern.test(text) && !/^\s*(\*|\/\/)/.test(text)) + 1;
}
