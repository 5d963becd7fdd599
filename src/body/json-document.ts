import { JsonScanError } from './json-error.ts';

/** What a document may not hold. */
export interface DocumentRules {
  /**
   * What to do with `__proto__`, and with `prototype` in a `constructor`. `refuse` if not given; `keep` makes them
   * ordinary members, as `JSON.parse` does. In neither case does a document set a prototype.
   */
  readonly prototypeKeys?: 'refuse' | 'keep' | undefined;
  /** What to do with a name that an object has twice. `last` if not given: the last one counts, as with `JSON.parse`. */
  readonly duplicateKeys?: 'refuse' | 'last' | undefined;
}

type Container = { readonly kind: 'array'; readonly items: unknown[] } | ObjectContainer;

interface ObjectContainer {
  readonly kind: 'object';
  readonly members: Record<string, unknown>;
  key: string;
}

/** A document that grows with the tokenizer's events. */
export interface DocumentBuilder {
  open(kind: 'object' | 'array'): void;
  close(): void;
  key(name: string): void;
  value(value: unknown): void;
  document(): unknown;
}

/** Puts a document together. Its objects are ordinary ones, with the members that `JSON.parse` would give them. */
export function createDocumentBuilder(rules: DocumentRules): DocumentBuilder {
  const refusePrototypes = rules.prototypeKeys !== 'keep';
  const refuseDuplicates = rules.duplicateKeys === 'refuse';
  const stack: Container[] = [];
  let root: unknown;

  function put(value: unknown): void {
    const container = stack.at(-1);
    if (container === undefined) root = value;
    else if (container.kind === 'array') container.items.push(value);
    else setMember(container.members, container.key, value);
  }

  function checkKey(container: ObjectContainer, name: string): void {
    const parent = stack.at(-2);
    const onConstructor = parent?.kind === 'object' && parent.key === 'constructor';
    if (refusePrototypes && (name === '__proto__' || (name === 'prototype' && onConstructor)))
      throw new JsonScanError('forbidden_key', `The document has a member \`${name}\`, which is not accepted.`);
    if (refuseDuplicates && Object.hasOwn(container.members, name))
      throw new JsonScanError('duplicate_key', 'An object in the document has the same member twice.');
  }

  return {
    open(kind) {
      if (kind === 'array') {
        const items: unknown[] = [];
        put(items);
        stack.push({ kind, items });
      } else {
        const members: Record<string, unknown> = {};
        put(members);
        stack.push({ kind, members, key: '' });
      }
    },
    close() {
      stack.pop();
    },
    key(name) {
      const container = stack.at(-1);
      if (container?.kind !== 'object') return;
      checkKey(container, name);
      container.key = name;
    },
    value: put,
    document: () => root,
  };
}

function setMember(members: Record<string, unknown>, name: string, value: unknown): void {
  // An assignment to `__proto__` would set the prototype.
  if (name === '__proto__')
    Object.defineProperty(members, name, { value, writable: true, enumerable: true, configurable: true });
  else members[name] = value;
}
