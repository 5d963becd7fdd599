/** Checks routes against each other and against what they name. */
import { isJsonObject } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import type { Registry } from '../pipeline/registry.ts';
import { stagesOf } from './check-plugins.ts';
import { checkName, idsOf, ownProviderNames } from './check-references.ts';
import { entriesAt, objectAt, textAt, textsAt, type Entry } from './entries.ts';
import type { PointedProblem, Report } from './problems.ts';

/** @param root the file's data, which may have mistakes of other kinds */
export function checkRoutes(
  root: Record<string, unknown>,
  definitions: Pick<Registry, 'stages' | 'providers'>,
): readonly PointedProblem[] {
  const problems: PointedProblem[] = [];
  const report: Report = (problem) => void problems.push(problem);
  const entities = idsOf(root, 'image_models');
  const pipelines = isJsonObject(root['pipelines']) ? root['pipelines'] : undefined;
  const pipelineNames = pipelines && new Set(Object.keys(pipelines));
  const routes = entriesAt(root, 'routes');
  const providers = new Set([...definitions.providers.keys(), ...ownProviderNames(root)]);

  for (const { pointer, value } of routes) {
    const refs = textsAt(value, 'refs', pointer);
    for (const name of refs) checkName('entity', name, entities, report);
    for (const name of textsAt(value, 'allow_providers', pointer)) checkName('provider', name, providers, report);
    const pipeline = textAt(value, 'pipeline');
    if (pipeline !== undefined) {
      checkName('pipeline', { text: pipeline, pointer: pointerTo(pointer, 'pipeline') }, pipelineNames, report);
    }
    if (value['on_disconnect'] === 'finish' && value['upstream'] !== undefined) {
      const message = 'what is forwarded ends with its client; only calls for pictures go on to their end';
      report({ pointer: pointerTo(pointer, 'on_disconnect'), message });
    }
    const list = pipeline === undefined ? value['pipeline'] : pipelines?.[pipeline];
    if (refs.length === 0 && resolvesModels(list, definitions)) {
      const message = '`refs` must name at least one entity, since the pipeline has the stage `route-resolve`';
      report({ pointer: pointerTo(pointer, 'refs'), message });
    }
  }
  checkDuplicates(routes, report);
  return problems;
}

function resolvesModels(list: unknown, definitions: Pick<Registry, 'stages'>): boolean {
  const stages = [...stagesOf(list, '', definitions)];
  return stages.some(({ value }) => value['plugin'] === 'route-resolve' && value['enabled'] !== false);
}

/** Of two routes that take the same requests the second would never be reached. */
function checkDuplicates(routes: readonly Entry[], report: Report): void {
  const takenBy = new Map<string, string>();
  for (const { pointer, name, value } of routes) {
    const id = textAt(value, 'id') ?? name;
    const requests = requestsOf(value);
    const taken = requests.find((request) => takenBy.has(request));
    if (taken !== undefined) {
      const message = `the route \`${takenBy.get(taken)}\` takes the same requests already`;
      report({ pointer: pointerTo(pointer, 'path'), message });
    }
    for (const request of requests) takenBy.set(request, takenBy.get(request) ?? id);
  }
}

/** A text for each kind of request that a route takes. */
function requestsOf(route: Record<string, unknown>): string[] {
  const path = textAt(route, 'path')?.replaceAll(/\/:[^/]*/g, '/:');
  if (path === undefined) return [];
  const headers = Object.entries(objectAt(route, 'headers'))
    .map(([name, value]) => `${name.toLowerCase()}: ${String(value)}`)
    .toSorted();
  const hosts = textsAt(route, 'hosts', '').map(({ text }) => text.toLowerCase());
  const methods = textsAt(route, 'methods', '').map(({ text }) => text);
  return (methods.length === 0 ? ['any'] : methods).flatMap((method) =>
    (hosts.length === 0 ? ['any'] : hosts).map((host) => JSON.stringify([method, host, path, headers])),
  );
}
