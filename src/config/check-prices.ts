/** Checks the file's prices against each other and against what they name. */
import { pointerTo } from '../json-pointer.ts';
import type { Registry } from '../pipeline/registry.ts';
import { checkName, idsOf } from './check-references.ts';
import { entriesAt, textAt, type Entry } from './entries.ts';
import type { PointedProblem, Report } from './problems.ts';

/** What may be billed for a picture; tokens may stand beside them. */
const pictureKinds = ['per_image', 'per_megapixel', 'per_step'] as const;

/** @param root the file's data, which may have mistakes of other kinds */
export function checkPrices(
  root: Record<string, unknown>,
  definitions: Pick<Registry, 'providers'>,
): readonly PointedProblem[] {
  const problems: PointedProblem[] = [];
  const report: Report = (problem) => void problems.push(problem);
  const entities = idsOf(root, 'image_models');
  const providers = new Set(definitions.providers.keys());
  const seen = new Set<string>();
  for (const price of entriesAt(root, 'prices')) {
    checkKinds(price, report);
    const { pointer, value } = price;
    const scope = scopeOf(price, report);
    const name = scope && textAt(value, scope);
    if (scope === undefined || name === undefined) continue;
    const names = scope === 'entity' ? entities : providers;
    checkName(scope, { text: name, pointer: pointerTo(pointer, scope) }, names, report);

    // A provider is the same by each of its names.
    const same = scope === 'entity' ? name : (definitions.providers.get(name)?.name ?? name);
    const model = textAt(value, 'model');
    const key = JSON.stringify([scope, same, model]);
    const message = `another entry of \`prices\` is for the same ${scope} and model already`;
    if (model !== undefined && seen.has(key)) report({ pointer: pointerTo(pointer, 'model'), message });
    seen.add(key);
  }
  return problems;
}

function scopeOf({ pointer, value }: Entry, report: Report): 'entity' | 'provider' | undefined {
  if ('entity' in value && 'provider' in value) {
    const message = 'a price is for an `entity` or for a `provider`, not both';
    report({ kind: 'key', pointer: pointerTo(pointer, 'provider'), message });
    return undefined;
  }
  if ('entity' in value) return 'entity';
  if ('provider' in value) return 'provider';
  report({ kind: 'missing', pointer, message: 'a price needs an `entity` or a `provider`' });
  return undefined;
}

function checkKinds({ pointer, value }: Entry, report: Report): void {
  const [first, second] = pictureKinds.filter((kind) => kind in value);
  if (first !== undefined && second !== undefined) {
    const message = `\`${first}\` says already what a picture costs`;
    report({ kind: 'key', pointer: pointerTo(pointer, second), message });
  }
  if (first !== undefined || 'per_token' in value) return;
  const message = 'a price needs `per_image`, `per_token`, `per_megapixel` or `per_step`; 0 is free of charge';
  report({ kind: 'missing', pointer, message });
}
