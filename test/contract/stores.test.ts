import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { memoryStore } from '../../src/stores/memory.ts';
import { sqliteStore } from '../../src/stores/sqlite.ts';
import { storeContract } from './store-contract.ts';

let folder: string;
let files = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-store-'));
});
afterEach(() => rm(folder, { recursive: true }));

storeContract('memory', () => ({ open: (settings) => memoryStore.open('', { now: Date.now, ...settings }) }));

storeContract('sqlite', () => {
  files += 1;
  const file = join(folder, String(files), 'state.db');
  return { open: (settings) => sqliteStore.open(file, { now: Date.now, ...settings }) };
});

it('tells others that it cannot read what is in memory', async () => {
  await expect(memoryStore.read('')).rejects.toThrow(/in the memory of the gateway/);
});
