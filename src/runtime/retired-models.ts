/** Models in the file that their vendor has shut down, or will. They still go through: a mirror may have them. */
import type { GatewayFile } from '../generated/gateway.ts';
import { isJsonObject } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import { knownModel } from '../pipeline/capability-table.ts';
import type { Registry } from '../pipeline/registry.ts';
import type { PointedProblem } from './compile.ts';

/** What to warn of, each with its place in the file. @param nowMs milliseconds since 1970 */
export function retiredModels(
  config: GatewayFile,
  registry: Pick<Registry, 'providers'>,
  nowMs: number,
): readonly PointedProblem[] {
  const warnings: PointedProblem[] = [];
  const look = (provider: string, model: string, pointer: string): void => {
    const { retired, successor } = knownModel(registry.providers.get(provider)?.models ?? [], model) ?? {};
    if (retired === undefined) return;
    const when =
      Date.parse(retired) > nowMs
        ? `will be shut down by its vendor on ${retired}`
        : `was shut down by its vendor on ${retired}`;
    const instead = successor === undefined ? '' : `; \`${successor}\` takes its place`;
    warnings.push({ pointer, message: `the model \`${model}\` ${when}${instead}` });
  };

  // What sleeps serves nothing.
  const awake = config.image_models.filter(({ provider, config: settings }) => {
    const { token } = isJsonObject(settings['connection']) ? settings['connection'] : {};
    return token !== '' || registry.providers.get(provider)?.tokenOptional === true;
  });
  for (const [index, entity] of config.image_models.entries()) {
    if (!awake.includes(entity)) continue;
    const { provider, config: settings } = entity;
    const options = isJsonObject(settings['options']) ? settings['options'] : {};
    for (const operation of ['generation', 'edition']) {
      const { enabled, model } = isJsonObject(options[operation]) ? options[operation] : {};
      if (enabled === true && typeof model === 'string') {
        look(provider, model, pointerTo('/image_models', index, 'config', 'options', operation, 'model'));
      }
    }
  }
  const providers = new Map(awake.map(({ id, provider }) => [id, provider]));
  for (const [name, { targets }] of Object.entries(config.aliases)) {
    for (const [index, { target }] of targets.entries()) {
      const at = target.indexOf('/');
      const pointer = pointerTo('/aliases', name, 'targets', index, 'target');
      look(providers.get(target.slice(0, at)) ?? '', target.slice(at + 1), pointer);
    }
  }
  return warnings;
}
