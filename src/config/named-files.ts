/** Files that the configuration names as such: certificates and extensions. References are elsewhere. */
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { GatewayFile } from '../generated/gateway.ts';
import { isJsonObject } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import { objectAt, textAt, textsAt } from './entries.ts';
import { readFileBounded, type FileRead } from './files.ts';
import type { PointedProblem } from './problems.ts';

const mostCertificateBytes = 1024 * 1024;
const mostExtensionBytes = 8 * 1024 * 1024;

/** A module that the file names. */
export interface ExtensionFile {
  /** Absolute. */
  readonly path: string;
  /** JSON pointer of its name in the file. */
  readonly pointer: string;
}

/** Reads the files that a configuration names, before anything is known about whether it is valid. */
export async function filesNamedIn(root: unknown, folder: string) {
  const contents = new Map<string, FileRead>();
  if (!isJsonObject(root)) return { contents, extensions: [] };
  for (const { path } of certificateFiles(root, folder)) {
    contents.set(path, await readFileBounded(path, mostCertificateBytes));
  }
  const extensions: ExtensionFile[] = textsAt(root, 'extensions', '').flatMap(({ text, pointer }) =>
    text === '' ? [] : [{ path: resolve(folder, text), pointer }],
  );
  for (const { path } of extensions) contents.set(path, await readFileBounded(path, mostExtensionBytes));
  return { contents, extensions };
}

function certificateFiles(root: Record<string, unknown>, folder: string) {
  const tls = objectAt(objectAt(root, 'server'), 'tls');
  return (['cert', 'key'] as const).flatMap((name) => {
    const path = textAt(tls, name) ?? '';
    return path === '' ? [] : [{ name, path: resolve(folder, path), pointer: pointerTo('/server/tls', name) }];
  });
}

/** Extensions that cannot be read. */
export function checkExtensions(
  extensions: readonly ExtensionFile[],
  contents: ReadonlyMap<string, FileRead>,
): PointedProblem[] {
  return extensions.flatMap(({ path, pointer }) => checkRead(path, pointer, contents));
}

function checkRead(path: string, pointer: string, contents: ReadonlyMap<string, FileRead>): PointedProblem[] {
  const file = contents.get(path);
  return file?.kind === 'read' ? [] : [{ pointer, message: `the file ${path} ${file?.reason ?? 'does not exist'}` }];
}

/** A certificate or key that cannot be read or used, or that do not belong together. */
export function checkCertificate(
  root: Record<string, unknown>,
  folder: string,
  contents: ReadonlyMap<string, FileRead>,
): PointedProblem[] {
  const files = certificateFiles(root, folder);
  const problems = files.flatMap(({ path, pointer }) => checkRead(path, pointer, contents));
  const [cert, key] = files.map(({ path }) => bytesOf(path, contents));
  if (cert === undefined || key === undefined) return problems;
  try {
    createSecureContext({ cert, key });
    return problems;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      {
        kind: 'key',
        pointer: '/server/tls',
        message: `\`tls\` does not work with this certificate and key: ${reason}`,
      },
    ];
  }
}

function bytesOf(path: string, contents: ReadonlyMap<string, FileRead>): Buffer | undefined {
  const file = contents.get(path);
  return file?.kind === 'read' ? file.bytes : undefined;
}

/** PEM, as read. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A valid configuration with all paths made absolute, and the certificate's bytes. */
export function withAbsolutePaths(
  config: GatewayFile,
  folder: string,
  contents: ReadonlyMap<string, FileRead>,
): { readonly config: GatewayFile; readonly tls: Certificate | undefined } {
  const { tls } = config.server;
  const paths = tls && { cert: resolve(folder, tls.cert), key: resolve(folder, tls.key) };
  const cert = paths && bytesOf(paths.cert, contents);
  const key = paths && bytesOf(paths.key, contents);
  const absolute: GatewayFile = {
    ...config,
    server: { ...config.server, ...(paths === undefined ? {} : { tls: paths }) },
    state: absoluteLocation(config.state, folder),
    images: absoluteLocation(config.images, folder),
    extensions: config.extensions.map((path) => resolve(folder, path)),
  };
  return { config: absolute, tls: cert && key && { cert, key } };
}

/** `sqlite:./data/x.db` with an absolute path; what has no path, or is an address, stays as it is. */
function absoluteLocation(location: string, folder: string): string {
  const [, scheme = '', path = ''] = /^((?:sqlite|file):)(.*)$/s.exec(location) ?? [];
  return path === '' ? location : `${scheme}${resolve(folder, path)}`;
}
