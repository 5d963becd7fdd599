import { basename } from 'node:path';
import { watch as watchDirectory } from 'chokidar';
import { isJsonObject } from '../json.ts';
import type { Logger } from '../log.ts';
import { coalesce } from './coalesce.ts';
import { fingerprint } from './fingerprint.ts';
import { watchPoints } from './watch-points.ts';
import type { WatchPoint } from './watch-points.ts';

/** Quiet that ends a burst of events: a save is rarely one event. */
const quietMs = 20;

/** How long a burst may put off the news: a file that is touched all the time still counts. */
const mostWaitMs = 200;

/** The digest poll rests so many times as long as it took, so thousands of files on a slow disk cost little. */
const restFactor = 20;

export interface WatcherOptions {
  /** Something may have changed. Called after the change, at most once for a burst, and now and then for nothing. */
  readonly onChange: () => void;
  readonly log: Logger;
  /** How often all files are read for changes of which no event tells, in milliseconds. */
  readonly pollMs?: number;
}

export interface Watcher {
  /**
   * Watches these files and no others; absolute paths. A file may be missing, it is seen when it appears. The first
   * time that a file is watched `onChange` is called too, since it may have changed before the watch stood.
   */
  watch(paths: readonly string[]): void;
  /** Resolves when nothing is watched any more; `onChange` is not called again. */
  close(): Promise<void>;
}

/**
 * Watches files through the directories that decide what their paths lead to, so every way of saving is seen: writing
 * in place, renaming over, swapping a link. Where no event arrives (bind mounts, network file systems, a second hard
 * link) a slow poll of the files' bytes steps in.
 */
export function createWatcher({ onChange, log, pollMs = 1000 }: WatcherOptions): Watcher {
  let wanted: readonly string[] = [];
  let closed = false;
  let pollTimer: NodeJS.Timeout | undefined;
  const directories = new Map<string, DirectoryWatch>();
  const fingerprints = new Map<string, string>();

  const burst = debounce(() => {
    onChange();
    // The change may have been that of a link, with other directories behind it.
    void refresh();
  });

  const refresh = coalesce<void, void>(async () => {
    const points = await watchPoints(wanted);
    if (closed) return;
    for (const [directory, watched] of directories) {
      if (points.get(directory)?.identity === watched.identity) continue;
      directories.delete(directory);
      await watched.close();
    }
    for (const [directory, point] of points) {
      const watched = directories.get(directory);
      if (watched !== undefined) watched.names = point.names;
      else if (!closed) directories.set(directory, openDirectory(directory, point, events));
    }
  });

  const compare = coalesce<void, void>(async () => {
    let changed = false;
    const paths = new Set(wanted);
    for (const path of paths) {
      const found = await fingerprint(path);
      if (closed) return;
      if (fingerprints.get(path) !== found) changed = true;
      fingerprints.set(path, found);
    }
    for (const path of fingerprints.keys()) if (!paths.has(path)) fingerprints.delete(path);
    if (changed) burst.add();
  });

  const events: DirectoryEvents = {
    changed: burst.add,
    // What happened between the last read of the files and now has no event.
    ready: () => void compare(),
    failed: (directory, error) => {
      log.warn('a directory cannot be watched, its files are polled', { directory, error });
    },
  };

  async function poll(): Promise<void> {
    const startMs = performance.now();
    await compare();
    if (closed) return;
    pollTimer = setTimeout(() => void poll(), Math.max(pollMs, restFactor * (performance.now() - startMs)));
  }

  return {
    watch(paths) {
      if (closed) return;
      wanted = [...paths];
      pollTimer ??= setTimeout(() => void poll(), pollMs);
      void refresh();
    },
    async close() {
      closed = true;
      wanted = [];
      burst.stop();
      clearTimeout(pollTimer);
      // Whatever still runs ends at its next look at `closed`.
      await Promise.all([refresh(), compare()]);
      await Promise.all(Array.from(directories.values(), (watched) => watched.close()));
      directories.clear();
    },
  };
}

interface DirectoryWatch extends WatchPoint {
  names: Set<string>;
  close(): Promise<void>;
}

interface DirectoryEvents {
  readonly changed: () => void;
  readonly ready: () => void;
  readonly failed: (directory: string, error: unknown) => void;
}

function openDirectory(directory: string, point: WatchPoint, events: DirectoryEvents): DirectoryWatch {
  const self = basename(directory);
  const fail = (error: unknown): void => events.failed(directory, error);
  const watched: DirectoryWatch = {
    names: point.names,
    identity: point.identity,
    close: () => watcher.close().catch(fail),
  };
  const watcher = watchDirectory(directory, {
    depth: 0,
    followSymlinks: false,
    ignoreInitial: true,
    // Would hold back a removal and ignore what looks like an editor's backup; bursts are gathered here anyway.
    atomic: false,
    ignored: (path) => path !== directory && !watched.names.has(basename(path)),
  });
  watcher.on('all', events.changed);
  // The events before chokidar compares size and time, which some saves leave as they were.
  watcher.on('raw', (_event, path, details) => {
    const name = path === null ? self : basename(path);
    // Its own name is that of the directory when it is moved or removed, as told by itself or by its parent.
    const inside = isJsonObject(details) && details['watchedPath'] === directory && watched.names.has(name);
    if (inside || name === self) events.changed();
  });
  watcher.on('ready', events.ready);
  watcher.on('error', fail);
  return watched;
}

/** Calls `run` once a burst of `add` calls has ended, or has lasted too long. */
function debounce(run: () => void): { readonly add: () => void; readonly stop: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let latestMs = 0;
  let stopped = false;

  function fire(): void {
    timer = undefined;
    run();
  }

  return {
    add() {
      if (stopped) return;
      const nowMs = performance.now();
      if (timer === undefined) latestMs = nowMs + mostWaitMs;
      clearTimeout(timer);
      timer = setTimeout(fire, Math.max(0, Math.min(quietMs, latestMs - nowMs)));
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
