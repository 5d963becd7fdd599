/** Imports the modules that the file names under `extensions`, again whenever their text has changed. */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isJsonObject } from '../json.ts';
import { extendRegistry, type Extension, type Registry } from '../pipeline/registry.ts';
import type { PointedProblem } from './compile.ts';

export interface ExtensionFile {
  /** Absolute. */
  readonly path: string;
  /** JSON pointer of its name in the file. */
  readonly pointer: string;
}

export interface ImportedExtensions {
  readonly registry: Registry;
  readonly problems: readonly PointedProblem[];
}

/** The registry with all that the modules bring, and what is wrong with those that cannot be used. */
export async function importExtensions(
  files: readonly ExtensionFile[],
  builtIn: Registry,
): Promise<ImportedExtensions> {
  const problems: PointedProblem[] = [];
  let registry = builtIn;
  for (const { path, pointer } of files) {
    try {
      registry = extendRegistry(registry, await importExtension(path));
    } catch (error) {
      problems.push({ pointer, message: `this extension cannot be used: ${reasonOf(error)}` });
    }
  }
  return { registry, problems };
}

const versionParameter = 'pinhole';
let hooked = false;

async function importExtension(path: string): Promise<Extension> {
  hookResolution();
  const url = pathToFileURL(path);
  // A module is kept for ever under its address, so a new text needs a new address.
  url.searchParams.set(versionParameter, hash('sha256', await readFile(path)).slice(0, 16));
  const module: unknown = await import(url.href);
  if (!isExtension(module)) throw new Error('it exports neither `stages` nor `providers` as a list');
  return module;
}

function isExtension(module: unknown): module is Extension {
  const { stages, providers } = (module ?? {}) as Readonly<Record<string, unknown>>;
  const given = [stages, providers].filter((list) => list !== undefined);
  return given.length > 0 && given.every((list) => Array.isArray(list) && list.every(isDefinition));
}

function isDefinition(value: unknown): boolean {
  return (
    isJsonObject(value) &&
    typeof value['name'] === 'string' &&
    isJsonObject(value['schema']) &&
    typeof value['create'] === 'function'
  );
}

/**
 * Two things that Node's own resolution cannot give an extension: `pinhole` means the gateway that loads it, wherever the
 * file lies; and what it imports from its own folder is read anew along with it.
 */
function hookResolution(): void {
  if (hooked) return;
  hooked = true;
  const publicDoor = new URL(`../index${extname(fileURLToPath(import.meta.url))}`, import.meta.url).href;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier === 'pinhole') return { url: publicDoor, shortCircuit: true };
      const version = versionOf(context.parentURL);
      const resolved = nextResolve(specifier, context);
      if (version === undefined || !specifier.startsWith('.')) return resolved;
      const url = new URL(resolved.url);
      url.searchParams.set(versionParameter, version);
      return { ...resolved, url: url.href };
    },
  });
}

function versionOf(parent: string | undefined): string | undefined {
  return parent?.startsWith('file:') === true
    ? (new URL(parent).searchParams.get(versionParameter) ?? undefined)
    : undefined;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
