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
  return asExtension(module);
}

function asExtension(module: unknown): Extension {
  const extension = module as Readonly<Record<keyof Extension, unknown>>;
  const { stages, providers } = extension;
  if (stages === undefined && providers === undefined) throw new Error('it exports neither `stages` nor `providers`');
  if (!areDefinitions(stages ?? [], ['reads', 'writes'])) throw new Error('its `stages` are not a list of stages');
  if (!areDefinitions(providers ?? [], ['aliases'])) throw new Error('its `providers` are not a list of providers');
  return extension as Extension;
}

/** @param lists members of each definition that must be lists */
function areDefinitions(values: unknown, lists: readonly string[]): boolean {
  const isDefinition = (value: unknown): boolean =>
    isJsonObject(value) &&
    typeof value['name'] === 'string' &&
    isJsonObject(value['schema']) &&
    typeof value['create'] === 'function' &&
    lists.every((name) => Array.isArray(value[name]));
  return Array.isArray(values) && values.every(isDefinition);
}

/**
 * Two things that Node's own resolution cannot give an extension: `pinhole` means the gateway that loads it, wherever the
 * file lies; and what it imports from its own folder is read anew along with it.
 */
function hookResolution(): void {
  if (hooked) return;
  hooked = true;
  const ownFolder = new URL('..', import.meta.url).href;
  const publicDoor = new URL(`../index${extname(fileURLToPath(import.meta.url))}`, import.meta.url).href;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier === 'pinhole') return { url: publicDoor, shortCircuit: true };
      const version = versionOf(context.parentURL);
      const resolved = nextResolve(specifier, context);
      // The gateway itself must not be loaded a second time, or its errors would no longer be its errors.
      if (version === undefined || !specifier.startsWith('.') || resolved.url.startsWith(ownFolder)) return resolved;
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
