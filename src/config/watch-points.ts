import { lstat, readlink } from 'node:fs/promises';
import { dirname, join, parse, sep } from 'node:path';

/** A directory in which something decides what a watched path leads to. */
export interface WatchPoint {
  /** The entries that matter. */
  readonly names: Set<string>;
  /** Changes when another directory takes this one's place. */
  readonly identity: string;
}

/** As many links as Linux follows before it says ELOOP. */
const mostLinks = 40;

type Entry =
  | { readonly kind: 'directory'; readonly identity: string }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'leaf' };

/**
 * Finds where to look for changes of some files: for each file its directory, the directory of every symbolic link on
 * the way to it, and, for what is missing, the directory in which it would appear. Links are followed one by one,
 * since swapping one of them (Kubernetes' `..data`, a `current` release) changes nothing near the file itself.
 * @param paths absolute paths
 * @returns the watch points by the real path of their directory
 */
export async function watchPoints(paths: readonly string[]): Promise<Map<string, WatchPoint>> {
  const points = new Map<string, WatchPoint>();
  const seen = new Map<string, Entry>();

  async function look(path: string): Promise<Entry> {
    const known = seen.get(path);
    if (known !== undefined) return known;
    const entry = await examine(path);
    seen.set(path, entry);
    return entry;
  }

  async function add(directory: string, name: string): Promise<void> {
    const point = points.get(directory);
    if (point !== undefined) {
      point.names.add(name);
      return;
    }
    const entry = await look(directory);
    points.set(directory, { names: new Set([name]), identity: entry.kind === 'directory' ? entry.identity : '' });
  }

  async function follow(path: string): Promise<void> {
    let directory = parse(path).root;
    const rest = path.split(sep).toReversed();
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '' || name === '.' || join(directory, name) === directory) continue;
      if (name === '..') {
        directory = dirname(directory);
        continue;
      }
      const entry = await look(join(directory, name));
      if (entry.kind === 'directory' && rest.length > 0) {
        directory = join(directory, name);
        continue;
      }
      await add(directory, name);
      if (entry.kind !== 'link' || ++links > mostLinks) return;
      const { root } = parse(entry.target);
      if (root !== '') directory = root;
      rest.push(...entry.target.split(sep).toReversed());
    }
  }

  for (const path of paths) await follow(path);
  return points;
}

async function examine(path: string): Promise<Entry> {
  try {
    const stats = await lstat(path, { bigint: true });
    if (stats.isSymbolicLink()) return { kind: 'link', target: await readlink(path) };
    if (!stats.isDirectory()) return { kind: 'leaf' };
    // A directory made anew often gets the number of the one that was removed.
    return { kind: 'directory', identity: `${stats.dev}:${stats.ino}:${stats.birthtimeNs}` };
  } catch {
    // Missing, or not for us to see: either way the search ends here and goes on when the entry changes.
    return { kind: 'leaf' };
  }
}
