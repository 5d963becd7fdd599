import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../fixtures/load-config.ts';
import { builtIn } from '../../../src/gateway.ts';
import type { GatewayFile } from '../../../src/generated/gateway.ts';
import type { Registry } from '../../../src/pipeline/registry.ts';
import { formatProblem } from '../../../src/config/problems.ts';
import { gatewayConfig, sandboxEntity } from '../../fixtures/gateway-config.ts';

/**
 * A configuration as the loader hands it to the compiler: defaults filled in, shorthands written out.
 * @param given top-level keys that matter to the test; the rest is a gateway that draws by itself
 * @throws Error with the problems when it is not valid
 */
export async function loadFile(
  given: Readonly<Record<string, unknown>> = {},
  definitions: Registry = builtIn,
): Promise<GatewayFile> {
  const folder = await mkdtemp(join(tmpdir(), 'pinhole-file-'));
  try {
    const path = join(folder, 'gateway.yaml');
    await writeFile(path, JSON.stringify(gatewayConfig([sandboxEntity()], given)));
    const loaded = await loadConfig({ path, env: {}, definitions });
    if (loaded.kind === 'loaded') return loaded.config;
    throw new Error(loaded.problems.map((problem) => formatProblem(problem)).join('\n'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
