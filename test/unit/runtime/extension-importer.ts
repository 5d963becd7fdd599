/**
 * Imports extensions where Node's own loader is at work, in a worker: the test runner has a loader of its own, which
 * neither keeps modules under their addresses nor knows hooks. Each message is a list of files, each answer what came
 * of them.
 */
import { parentPort } from 'node:worker_threads';
import { createRegistry } from '../../../src/pipeline/registry.ts';
import { importExtensions, type ExtensionFile } from '../../../src/runtime/extensions.ts';

/** What the registry has afterwards, by name, and what was wrong. */
export interface Imported {
  readonly stages: readonly string[];
  readonly providers: readonly string[];
  readonly problems: readonly { readonly pointer: string; readonly message: string }[];
}

const builtIn = createRegistry({ stores: [], limiters: [], blobStores: [] });

parentPort?.on('message', (files: readonly ExtensionFile[]) => {
  void importExtensions(files, builtIn).then(({ registry, problems }) => {
    const imported: Imported = {
      stages: [...registry.stages.keys()],
      providers: [...registry.providers.keys()],
      problems,
    };
    parentPort?.postMessage(imported, []);
  });
});
