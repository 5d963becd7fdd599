/** The requests of a declarative provider: written out in the file, filled in for each call. */
import type { RequestFile } from '../generated/providers/declarative.ts';
import { isJsonObject, type JsonValue } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import type { WireBody, WireJson, WirePart, WireRequest } from '../pipeline/upstream.ts';
import { Picture, type Place } from './declarative-language.ts';
import {
  headerLeaf,
  jsonLeaf,
  textLeaf,
  type Filling,
  type Leaf,
  type LeafKind,
  type Reader,
} from './declarative-reader.ts';
import { filePart } from './requests.ts';

export interface RequestTemplate {
  /**
   * The request; undefined when its path is empty.
   * @throws FormulaError, UnsafePath
   */
  write(filling: Filling): WireRequest | undefined;
}

/** A path that would lead away from where the API is. */
export class UnsafePath extends Error {
  override readonly name = 'UnsafePath';
}

export interface RequestContext {
  readonly reader: Reader;
  /** Where the API is, without a slash at its end. */
  readonly base: string;
  /** Sent with each request; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
}

/** @param at JSON pointer of the request within the config */
export function compileRequest(file: RequestFile, at: string, place: Place, context: RequestContext): RequestTemplate {
  const { base, reader } = context;
  const { json, form, method = json === undefined && form === undefined ? 'GET' : 'POST' } = file;
  const path = reader.leaf(file.path, pointerTo(at, 'path'), place, textLeaf);
  const query = compileMembers(file.query, pointerTo(at, 'query'), place, textLeaf, reader);
  const headers = compileMembers(file.headers, pointerTo(at, 'headers'), place, headerLeaf, reader);
  const body = compileBody(file, at, place, reader);
  return {
    write(filling) {
      const where = path(filling);
      if (where === undefined) return undefined;
      const url = new URL(place === 'request' ? below(base, where) : named(base, where));
      for (const [name, value] of query(filling)) url.searchParams.append(name, value);
      const own = headers(filling).map(([name, value]) => [name.toLowerCase(), value] as const);
      return {
        method,
        url: url.href,
        headers: { ...context.headers, ...Object.fromEntries(own) },
        body: body(filling),
      };
    },
  };
}

/** An address below the base. */
function below(base: string, path: string): string {
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) throw new UnsafePath('it leads upwards');
  const encoded = encodeURI(path.toWellFormed()).replaceAll(/[?#]/g, encodeURIComponent);
  return `${base}/${encoded.replace(/^\/+/, '')}`;
}

/** The address that an answer names, if it is on the base's own origin; or one below the base. */
function named(base: string, path: string): string {
  if (!/^https?:/i.test(path)) return below(base, path);
  const url = URL.parse(path);
  if (url?.origin !== new URL(base).origin) throw new UnsafePath('it leads to another origin');
  return url.href;
}

/** Values by name; those that come out empty are left out. */
function compileMembers<Value>(
  texts: Readonly<Record<string, string>>,
  at: string,
  place: Place,
  kind: LeafKind<Value>,
  reader: Reader,
): (filling: Filling) => (readonly [name: string, value: Value])[] {
  const leaves = Object.entries(texts).map(
    ([name, text]) => [name, reader.leaf(text, pointerTo(at, name), place, kind)] as const,
  );
  return (filling) => valuesOf(leaves, filling);
}

function valuesOf<Value>(
  leaves: readonly (readonly [name: string, leaf: Leaf<Value>])[],
  filling: Filling,
): (readonly [name: string, value: Value])[] {
  return leaves.flatMap(([name, leaf]) => {
    const value = leaf(filling);
    return value === undefined ? [] : [[name, value] as const];
  });
}

function compileBody(
  { json, form }: RequestFile,
  at: string,
  place: Place,
  reader: Reader,
): (filling: Filling) => WireBody {
  if (json !== undefined && form !== undefined) reader.report(pointerTo(at, 'form'), '`json` is the body already');
  if (json !== undefined) {
    const tree = compileTree(json, pointerTo(at, 'json'), place, reader);
    return (filling) => ({ kind: 'json', value: tree(filling) ?? {} });
  }
  if (form === undefined) return () => ({ kind: 'none' });
  const parts = form.map((part, index) => compilePart(part, pointerTo(at, 'form', index), place, reader));
  return (filling) => ({ kind: 'multipart', parts: parts.flatMap((part) => part(filling)) });
}

/** A JSON value of the file. What is empty is left out, and so is what loses everything in it. */
function compileTree(value: unknown, at: string, place: Place, reader: Reader): Leaf<WireJson> {
  if (typeof value === 'string') return reader.leaf(value, at, place, jsonLeaf);
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compileTree(item, pointerTo(at, index), place, reader));
    return (filling) => {
      const there = items.map((item) => item(filling)).filter((item) => item !== undefined);
      return there.length === 0 && items.length > 0 ? undefined : there;
    };
  }
  if (isJsonObject(value)) {
    const members = Object.entries(value).map(
      ([name, member]) => [name, compileTree(member, pointerTo(at, name), place, reader)] as const,
    );
    return (filling) => {
      const there = valuesOf(members, filling);
      return there.length === 0 && members.length > 0 ? undefined : Object.fromEntries(there);
    };
  }
  // It came from YAML: there is nothing but JSON in it.
  return () => value as JsonValue;
}

function compilePart(
  { name, value, file }: NonNullable<RequestFile['form']>[number],
  at: string,
  place: Place,
  reader: Reader,
): (filling: Filling) => readonly WirePart[] {
  if ((value === undefined) === (file === undefined)) reader.report(at, 'a part has either a `value` or a `file`');
  if (file === undefined) {
    const leaf = reader.leaf(value ?? '', pointerTo(at, 'value'), place, textLeaf);
    return (filling) => {
      const found = leaf(filling);
      return found === undefined ? [] : [{ kind: 'field', name, value: found }];
    };
  }
  const leaf = reader.leaf(file, pointerTo(at, 'file'), place, pictureLeaf);
  return (filling) => {
    const pictures = leaf(filling) ?? [];
    return pictures.map(({ image }, index) => filePart(name, pictures.length > 1 ? `${name}-${index}` : name, image));
  };
}

const pictureLeaf: LeafKind<readonly Picture[]> = {
  wrong: (type) =>
    ['Picture', 'list<Picture>'].includes(type) ? undefined : 'a file is a picture, such as `call.images[0]`',
  read: (value) => [value].flat().filter((one) => one instanceof Picture),
};
