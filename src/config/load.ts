/**
 * From a path to a configuration that can be compiled, or to everything that is wrong with it. In two steps, as stages
 * and providers may come from modules that the file itself names: `readConfig` reads, parses and expands; the caller
 * imports the extensions; `validateConfig` checks with all definitions at hand.
 */
import type { GatewayFile } from '../generated/gateway.ts';
import { isJsonObject } from '../json.ts';
import type { Registry } from '../pipeline/registry.ts';
import { schemaFile } from '../schema-files.ts';
import { compileConfigValidator } from '../validation.ts';
import { checkPlugins } from './check-plugins.ts';
import { checkPrices } from './check-prices.ts';
import { checkReferences } from './check-references.ts';
import { checkRoutes } from './check-routes.ts';
import type { Position } from './document.ts';
import { checkCertificate, checkExtensions, withAbsolutePaths, type Certificate } from './named-files.ts';
import type { PointedProblem, Problem } from './problems.ts';
import { problemsOf, type ReadConfig } from './read.ts';

export { readConfig, type ReadConfig } from './read.ts';

/** What the file can name: the built-in stages and providers, and those of its extensions. */
export type Definitions = Pick<Registry, 'stages' | 'providers'>;

export type LoadResult = LoadedConfig | InvalidConfig;

/** A valid configuration. */
export interface LoadedConfig {
  readonly kind: 'loaded';
  /** Defaults filled in, shorthands written out, durations in milliseconds, sizes in bytes, paths absolute. */
  readonly config: GatewayFile;
  readonly digest: string;
  readonly files: readonly string[];
  /** Certificate and key, as they were when the digest was taken. */
  readonly tls: Certificate | undefined;
  /** JSON pointers of the values that are shown to nobody. */
  readonly secrets: ReadonlySet<string>;
  /** What references stand for, by itself, wherever in a value it stands. */
  readonly secretTexts: readonly string[];
  /** Variables that are not set and have no default; they count as empty. */
  readonly unset: readonly { readonly pointer: string; readonly name: string }[];
  /** Where the value at a JSON pointer stands in the file. */
  readonly locate: (pointer: string) => Position;
  /** Problems that only compiling can find, as problems with a place in the file. */
  readonly problemsFrom: (pointed: readonly PointedProblem[]) => readonly Problem[];
}

export interface InvalidConfig {
  readonly kind: 'invalid';
  /** All of them, in the order of the text; never empty. */
  readonly problems: readonly Problem[];
  readonly digest: string;
  readonly files: readonly string[];
}

/**
 * Checks what was read, and finds all problems at once.
 * @param further problems that the caller met between the two steps, such as an extension that cannot be imported
 */
export function validateConfig(
  read: ReadConfig,
  definitions: Definitions,
  further: readonly PointedProblem[] = [],
): LoadResult {
  const { digest, files, document, expansion, folder, contents } = read;
  const invalid = (pointed: readonly PointedProblem[]): InvalidConfig => ({
    kind: 'invalid',
    problems: problemsOf(read, pointed),
    digest,
    files,
  });
  if (document.problems.length > 0) return invalid([]);

  // Validation fills in defaults in place, and what was read may be validated again.
  const root: unknown = structuredClone(expansion.value);
  const origin = { at: '', isReferenced: (pointer: string) => expansion.referenced.has(pointer) };
  const core = compileConfigValidator(schemaFile('gateway'))(root, origin);
  const plugins = checkPlugins(root, definitions, origin);
  const pointed: PointedProblem[] = [...further, ...core.problems, ...plugins.problems];
  if (isJsonObject(root)) {
    pointed.push(
      ...checkReferences(root, definitions, (pointer) => document.has(pointer)),
      ...checkPrices(root, definitions),
      ...checkRoutes(root, definitions),
      ...checkExtensions(read.extensions, contents),
      ...checkCertificate(root, folder, contents),
    );
  }
  if (read.problems.length > 0 || pointed.length > 0 || !isChecked(root)) return invalid(pointed);

  return {
    kind: 'loaded',
    ...withAbsolutePaths(root, folder, contents),
    digest,
    files,
    secrets: new Set([...core.secrets, ...plugins.secrets, ...expansion.referenced]),
    secretTexts: expansion.secretTexts,
    unset: expansion.unset,
    locate: (pointer) => document.locate(pointer),
    problemsFrom: (later) => problemsOf(read, later),
  };
}

/** Gives the data its type. Only for data in which the schema has found nothing wrong. */
function isChecked(root: unknown): root is GatewayFile {
  return isJsonObject(root);
}
