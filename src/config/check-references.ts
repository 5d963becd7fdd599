/** Checks what a schema cannot: that names are unique, and that what is referred to exists. */
import { createHash } from 'node:crypto';
import { formats } from '../formats.ts';
import { isLoopback, parseListenAddress } from '../listen-address.ts';
import { pointerTo } from '../json-pointer.ts';
import { isPlainName } from '../name-list.ts';
import type { Registry } from '../pipeline/registry.ts';
import { entriesAt, objectAt, textAt, textsAt, type Entry } from './entries.ts';
import type { PointedProblem, Report } from './problems.ts';

/**
 * @param root the file's data, which may have mistakes of other kinds
 * @param isWritten whether the file itself says something at a pointer, as opposed to a default
 */
export function checkReferences(
  root: Record<string, unknown>,
  definitions: Pick<Registry, 'providers'>,
  isWritten: (pointer: string) => boolean,
): readonly PointedProblem[] {
  const problems: PointedProblem[] = [];
  const report: Report = (problem) => void problems.push(problem);
  checkIds(root, report);
  checkConsumers(root, report);
  checkAliases(root, isWritten, report);
  checkBudgetWindows(root, isWritten, report);
  checkBudgetScopes(root, definitions, report);
  checkAdmin(root, report);
  checkImages(root, report);
  return problems;
}

/** The ids of a list; undefined if the list itself is wrong, so that nobody is told that all names are unknown. */
export function idsOf(root: Record<string, unknown>, list: string): ReadonlySet<string> | undefined {
  if (!Array.isArray(root[list])) return undefined;
  return new Set(entriesAt(root, list).flatMap(({ value }) => textAt(value, 'id') ?? []));
}

/** What entities call their providers themselves. */
export function ownProviderNames(root: Record<string, unknown>): readonly string[] {
  return entriesAt(root, 'image_models').flatMap(
    ({ value }) => textAt(objectAt(objectAt(value, 'config'), 'connection'), 'provider_name') ?? [],
  );
}

/** Reports a name that does not exist, unless nobody knows which names there are. */
export function checkName(
  what: string,
  { text, pointer }: { readonly text: string; readonly pointer: string },
  known: ReadonlySet<string> | undefined,
  report: Report,
): void {
  if (known === undefined || known.has(text)) return;
  report({ pointer, message: `there is no ${what} \`${text}\``, misspelt: { given: text, among: known } });
}

function checkIds(root: Record<string, unknown>, report: Report): void {
  for (const list of ['image_models', 'consumers', 'users', 'budgets', 'routes']) {
    const seen = new Set<string>();
    for (const { pointer, value } of entriesAt(root, list)) {
      const id = textAt(value, 'id');
      if (id === undefined) continue;
      const message = `\`${id}\` is the id of another entry of \`${list}\` already`;
      if (seen.has(id)) report({ pointer: pointerTo(pointer, 'id'), message });
      seen.add(id);
    }
  }
}

function checkConsumers(root: Record<string, unknown>, report: Report): void {
  const users = idsOf(root, 'users');
  const budgets = idsOf(root, 'budgets');
  const consumersByKeyHash = new Map<string, string>();
  for (const consumer of entriesAt(root, 'consumers')) {
    const { pointer, value } = consumer;
    checkKeys(consumer, consumersByKeyHash, report);
    const user = textAt(value, 'user');
    // Without any user declared the names only label what is counted, and no rule can be missed by a misspelling.
    if (user !== undefined && users?.size !== 0) {
      checkName('user', { text: user, pointer: pointerTo(pointer, 'user') }, users, report);
    }
    for (const name of textsAt(value, 'budgets', pointer)) checkName('budget', name, budgets, report);
  }
}

/** A consumer has at most one of `key` and `key_sha256`, beside any number of `keys`; every one of these exactly one. */
function checkKeys(consumer: Entry, consumersByKeyHash: Map<string, string>, report: Report): void {
  const { pointer, name, value } = consumer;
  const further = entriesAt(value, 'keys', pointer);
  const id = textAt(value, 'id') ?? name;
  const isSingle = 'key' in value || 'key_sha256' in value;
  if (isSingle) checkKey(consumer, 'a consumer', id, consumersByKeyHash, report);
  else if (further.length === 0)
    report({ kind: 'missing', pointer, message: 'a consumer needs `key`, `key_sha256` or `keys`' });
  for (const key of further) checkKey(key, 'an entry of `keys`', id, consumersByKeyHash, report);
}

function checkKey(
  { pointer, value }: Entry,
  what: string,
  id: string,
  consumersByKeyHash: Map<string, string>,
  report: Report,
): void {
  const key = textAt(value, 'key');
  if (!('key' in value) && !('key_sha256' in value)) {
    report({ kind: 'missing', pointer, message: `${what} needs \`key\` or \`key_sha256\`` });
  } else if ('key' in value && 'key_sha256' in value) {
    const message = `${what} has either \`key\` or \`key_sha256\`, not both`;
    report({ kind: 'key', pointer: pointerTo(pointer, 'key_sha256'), message });
  }
  const hash = key === undefined ? textAt(value, 'key_sha256')?.toLowerCase() : sha256(key);
  if (hash === undefined || key === '') return;
  const other = consumersByKeyHash.get(hash);
  if (other === undefined) {
    consumersByKeyHash.set(hash, id);
    return;
  }
  const message =
    other === id
      ? 'the consumer has this key already'
      : `the consumer \`${other}\` has the same key, so nobody could tell the two apart`;
  report({ kind: 'key', pointer: pointerTo(pointer, key === undefined ? 'key_sha256' : 'key'), message });
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function checkAliases(root: Record<string, unknown>, isWritten: (pointer: string) => boolean, report: Report): void {
  const entities = idsOf(root, 'image_models');
  for (const alias of entriesAt(root, 'aliases')) {
    const targets = entriesAt(alias.value, 'targets', alias.pointer);
    const isWeighted = alias.value['strategy'] === 'weighted';
    for (const { pointer, value } of targets) {
      const [entity = '', model] = textAt(value, 'target')?.split('/') ?? [];
      if (model !== undefined) {
        checkName('entity', { text: entity, pointer: pointerTo(pointer, 'target') }, entities, report);
      }
      const weightPointer = pointerTo(pointer, 'weight');
      const message = '`weight` has an effect only under `strategy: weighted`';
      if (!isWeighted && isWritten(weightPointer)) report({ kind: 'key', pointer: weightPointer, message });
    }
    if (isWeighted && targets.length > 0 && targets.every(({ value }) => value['weight'] === 0)) {
      report({
        pointer: pointerTo(alias.pointer, 'targets'),
        message: 'at least one target must have a weight above 0',
      });
    }
  }
}

/** A budget counts in one kind of window. */
function checkBudgetWindows(
  root: Record<string, unknown>,
  isWritten: (pointer: string) => boolean,
  report: Report,
): void {
  for (const { pointer, value } of entriesAt(root, 'budgets')) {
    if (!('rolling' in value)) {
      const message = 'a budget needs `window` or `rolling`';
      if (!('window' in value)) report({ kind: 'missing', pointer, message });
      continue;
    }
    const message = 'a budget has either `window` or `rolling`, not both';
    if ('window' in value) report({ kind: 'key', pointer: pointerTo(pointer, 'rolling'), message });
    const zone = pointerTo(pointer, 'time_zone');
    if (isWritten(zone))
      report({ kind: 'key', pointer: zone, message: '`time_zone` has an effect only with `window`' });
  }
}

/** A budget whose scope is misspelt would count nothing, and nobody would notice. Patterns may wait for names to come. */
function checkBudgetScopes(
  root: Record<string, unknown>,
  definitions: Pick<Registry, 'providers'>,
  report: Report,
): void {
  const consumers = entriesAt(root, 'consumers');
  const named = (key: string): string[] => consumers.flatMap(({ value }) => textAt(value, key) ?? []);
  const entities = idsOf(root, 'image_models');
  const users = idsOf(root, 'users');
  const known: readonly (readonly [list: string, what: string, names: ReadonlySet<string> | undefined])[] = [
    ['consumers', 'consumer', idsOf(root, 'consumers')],
    ['users', 'user', users && new Set([...users, ...named('user')])],
    ['teams', 'team', new Set(named('team'))],
    [
      'providers',
      'entity or provider',
      entities && new Set([...entities, ...definitions.providers.keys(), ...ownProviderNames(root)]),
    ],
    ['entities', 'entity', entities],
    ['routes', 'route', idsOf(root, 'routes')],
  ];
  for (const { pointer, value } of entriesAt(root, 'budgets')) {
    const scope = objectAt(value, 'scope');
    for (const [list, what, names] of known) {
      for (const name of textsAt(scope, list, pointerTo(pointer, 'scope'))) {
        if (isPlainName(name.text)) checkName(what, name, names, report);
      }
    }
  }
}

function checkAdmin(root: Record<string, unknown>, report: Report): void {
  const admin = objectAt(root, 'admin');
  const listen = textAt(admin, 'listen') ?? '';
  // The schema has said already what is wrong with an address that is none.
  if (formats['listen-address']?.(listen) !== undefined) return;
  const address = parseListenAddress(listen);
  if (admin['token'] === '' && !isLoopback(address)) {
    const message = '`token` must be set, since others than this machine can reach the admin listener';
    report({ pointer: '/admin/token', message });
  }
  const isTaken = textsAt(objectAt(root, 'server'), 'listen', '').some(({ text }) => text === listen);
  if (isTaken && address.port !== 0) {
    report({ pointer: '/admin/listen', message: 'the public listener has this address already' });
  }
}

/** A bucket cannot be used without keys. With a folder they do no harm, so that a variable can choose between the two. */
function checkImages(root: Record<string, unknown>, report: Report): void {
  if (textAt(root, 'images')?.startsWith('s3:') !== true) return;
  if (!('images_credentials' in root)) {
    const message = '`images` is a bucket, so `images_credentials` must be set';
    report({ pointer: '/images', message });
    return;
  }
  const credentials = objectAt(root, 'images_credentials');
  for (const name of ['access_key_id', 'secret_access_key']) {
    const message = `\`${name}\` must not be empty, since \`images\` is a bucket`;
    if (credentials[name] === '') report({ pointer: pointerTo('/images_credentials', name), message });
  }
}
