/**
 * `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in values. They are expanded after the file was parsed, so
 * that what they stand for is always one value and can never change the document. `$${` stands for a plain `${`.
 */
import { resolve } from 'node:path';
import { isJsonObject } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import { decodeText, readFileBounded, type FileRead } from './files.ts';

/** Far more than any key, certificate chain or password. */
const mostFileBytes = 64 * 1024;

/** A piece of a text. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  /** `fallback` also holds when the variable is set but empty, as in a shell. */
  | { readonly kind: 'env'; readonly name: string; readonly fallback: string | undefined }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'invalid' };

/** Takes a text apart. */
export function parseTemplate(text: string): readonly TemplatePart[] {
  if (!text.includes('${')) return [{ kind: 'text', text }];
  const parts: TemplatePart[] = [];
  let position = 0;
  for (const match of text.matchAll(/\$\$\{|\$\{(?:([^}]*)\})?/g)) {
    if (match.index > position) parts.push({ kind: 'text', text: text.slice(position, match.index) });
    parts.push(match[0] === '$${' ? { kind: 'text', text: '${' } : parseReference(match[1] ?? ''));
    position = match.index + match[0].length;
  }
  if (position < text.length) parts.push({ kind: 'text', text: text.slice(position) });
  return parts;
}

function parseReference(inner: string): TemplatePart {
  const variable = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inner);
  if (variable?.[1] !== undefined) return { kind: 'env', name: variable[1], fallback: variable[2] };
  const path = /^file:(.+)$/s.exec(inner)?.[1]?.trim() ?? '';
  return path === '' || path.includes('\0') ? { kind: 'invalid' } : { kind: 'file', path };
}

export interface ReferenceSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the folder at which relative paths begin. */
  readonly folder: string;
}

export interface Expansion {
  /** A copy of the value with everything expanded. */
  readonly value: unknown;
  /** Pointers of the values that hold something from a reference. */
  readonly referenced: ReadonlySet<string>;
  /** What the references stand for, to keep it out of anything that is shown. */
  readonly secretTexts: readonly string[];
  /** Variables that are not set and have no default; they count as empty. */
  readonly unset: readonly { readonly pointer: string; readonly name: string }[];
  /** Every file that is referred to, by absolute path. */
  readonly files: ReadonlyMap<string, FileRead>;
  readonly problems: readonly { readonly pointer: string; readonly message: string }[];
}

/** Expands all references in a value. Never throws: what cannot be expanded is among the problems. */
export async function expandReferences(value: unknown, { env, folder }: ReferenceSources): Promise<Expansion> {
  const files = await readReferencedFiles(value, folder);
  const referenced = new Set<string>();
  const secretTexts: string[] = [];
  const unset: { pointer: string; name: string }[] = [];
  const problems: { pointer: string; message: string }[] = [];

  /** Where `expand` is at. A pointer is made of it only where there is something to tell. */
  const place: (string | number)[] = [];

  function expand(node: unknown): unknown {
    if (typeof node === 'string') return node.includes('${') ? expandText(node, pointerTo('', ...place)) : node;
    if (Array.isArray(node)) return node.map((item: unknown, index) => expandMember(index, item));
    if (!isJsonObject(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, member]) => [key, expandMember(key, member)]));
  }

  function expandMember(key: string | number, member: unknown): unknown {
    place.push(key);
    const expanded = expand(member);
    place.pop();
    return expanded;
  }

  function expandText(text: string, pointer: string): string {
    const parts = parseTemplate(text);
    if (parts.every((part) => part.kind === 'text')) return parts.map((part) => part.text).join('');
    referenced.add(pointer);
    const expanded = parts.map((part) => expandPart(part, pointer));
    secretTexts.push(expanded.join(''));
    return expanded.join('');
  }

  function expandPart(part: TemplatePart, pointer: string): string {
    if (part.kind === 'text') return part.text;
    if (part.kind === 'env') return remember(variable(part.name, part.fallback, pointer));
    if (part.kind === 'file') return remember(content(part.path, pointer));
    const message = 'only ${env:NAME}, ${env:NAME:-default} and ${file:PATH} are known; write $${ for a plain ${';
    problems.push({ pointer, message });
    return '';
  }

  function remember(text: string): string {
    secretTexts.push(text);
    return text;
  }

  function variable(name: string, fallback: string | undefined, pointer: string): string {
    const text = Object.hasOwn(env, name) ? env[name] : undefined;
    if (text !== undefined && text !== '') return text;
    if (fallback === undefined && text === undefined) unset.push({ pointer, name });
    return fallback ?? '';
  }

  function content(path: string, pointer: string): string {
    const file = files.get(resolve(folder, path));
    if (file?.kind !== 'read') {
      problems.push({ pointer, message: `the file ${path} ${file?.reason ?? 'does not exist'}` });
      return '';
    }
    const text = decodeText(file.bytes);
    if (text === undefined) problems.push({ pointer, message: `the file ${path} is not text in UTF-8` });
    // Most editors and `echo` end a file with a line break that is no part of the secret.
    return text?.replace(/\r?\n$/, '') ?? '';
  }

  return { value: expand(value), referenced, secretTexts, unset, files, problems };
}

async function readReferencedFiles(value: unknown, folder: string): Promise<ReadonlyMap<string, FileRead>> {
  const files = new Map<string, FileRead>();
  for (const path of referencedPaths(value)) {
    const absolutePath = resolve(folder, path);
    if (!files.has(absolutePath)) files.set(absolutePath, await readFileBounded(absolutePath, mostFileBytes));
  }
  return files;
}

function referencedPaths(node: unknown): string[] {
  if (typeof node === 'string') {
    if (!node.includes('${file:')) return [];
    return parseTemplate(node).flatMap((part) => (part.kind === 'file' ? part.path : []));
  }
  return typeof node === 'object' && node !== null ? Object.values(node).flatMap(referencedPaths) : [];
}
