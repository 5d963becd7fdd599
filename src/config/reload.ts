import { OperatorError } from '../errors.ts';
import type { LogFields, Logger } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';
import { createHistory } from '../runtime/history.ts';
import { coalesce } from './coalesce.ts';
import type { Description } from './describe.ts';
import { diffDescriptions } from './diff.ts';

/** What asked for a reload. */
export type ReloadTrigger = 'start' | 'watch' | 'signal' | 'api';

/** Something wrong with the configuration; the position is that in the file, as far as there is one. */
export interface ReloadProblem {
  readonly file?: string | undefined;
  /** From 1. */
  readonly line?: number | undefined;
  /** From 1. */
  readonly column?: number | undefined;
  readonly pointer?: string | undefined;
  /** Without secrets: it is shown and logged. */
  readonly message: string;
}

/** What reading the configuration came to. `files` is all that was read or looked for, as absolute paths. */
export type LoadOutcome =
  | { readonly kind: 'unchanged'; readonly digest: string; readonly files: readonly string[] }
  | {
      readonly kind: 'invalid';
      readonly digest: string;
      readonly files: readonly string[];
      readonly problems: readonly ReloadProblem[];
    }
  | LoadedConfig;

/** A configuration that is built and checked. Exactly one of these happens to it: `activate` succeeds, or `discard`. */
export interface LoadedConfig {
  readonly kind: 'loaded';
  /** Equal for equal bytes of all files. */
  readonly digest: string;
  readonly files: readonly string[];
  /** For the diff. */
  readonly description: Description;
  /** Puts it in force. If it throws, what was in force before must still be. */
  activate(revision: number): void | Promise<void>;
  /** Disposes what was built for it. */
  discard(): void | Promise<void>;
}

/** What a request for a reload came to. */
export type ReloadResult =
  | { readonly kind: 'unchanged'; readonly revision: number }
  | { readonly kind: 'applied'; readonly revision: number; readonly diff: readonly string[] }
  | { readonly kind: 'refused'; readonly problems: readonly ReloadProblem[] };

/** As the status route shows it. */
export interface ReloadStatus {
  /** Whether what is in force is what the files say. */
  readonly ok: boolean;
  /** Counts the configurations that came into force; 0 before the first. */
  readonly revision: number;
  readonly digest: string | null;
  /** When the one in force came into force, ISO 8601. */
  readonly loaded_at: string | null;
  readonly last_error: { readonly at: string; readonly problems: readonly ReloadProblem[] } | null;
}

/** One reload that changed something or failed, as the status route shows it. */
export interface ReloadRecord {
  /** ISO 8601. */
  readonly at: string;
  readonly ok: boolean;
  readonly trigger: ReloadTrigger;
  readonly duration_ms: number;
  /** Null when the configuration could not even be read. */
  readonly digest: string | null;
  /** What came into force. */
  readonly revision?: number;
  readonly diff?: readonly string[];
  readonly problems?: readonly ReloadProblem[];
}

export interface ReloaderOptions {
  /**
   * Reads and builds the configuration. Problems are an outcome; what it throws is reported as a problem too.
   * @param inForce digest of what is in force: when the files still have it there is nothing to build
   */
  readonly load: (inForce: string | undefined) => Promise<LoadOutcome>;
  /** Told the files of each load, those of a failed one included, for mending one of them must be seen. */
  readonly watch?: (files: readonly string[]) => void;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
}

export interface Reloader {
  /**
   * Asks for a reload. Never rejects; resolves with the result of a load that started after this call. Loads run one at
   * a time, and requests that come during one share the next.
   */
  request(trigger: ReloadTrigger): Promise<ReloadResult>;
  status(): ReloadStatus;
  /** The last 50, newest first. Reloads that found nothing new are not among them. */
  history(): readonly ReloadRecord[];
  /** Calls the listener after each reload that changed the status. Returns how to stop that. */
  onChange(listener: (status: ReloadStatus) => void): () => void;
  /** Refuses further requests, and resolves when the load under way has ended. What it built is discarded. */
  close(): Promise<void>;
}

const historyLength = 50;

const closing: ReloadResult = { kind: 'refused', problems: [{ message: 'The gateway is stopping.' }] };

/** The reload loop: what is in force stays in force until something better stands. */
export function createReloader({ load, watch, log, clock }: ReloaderOptions): Reloader {
  const history = createHistory<ReloadRecord>(historyLength);
  const listeners = new Set<(status: ReloadStatus) => void>();
  let status: ReloadStatus = { ok: false, revision: 0, digest: null, loaded_at: null, last_error: null };
  let description: Description;
  /** Tells whether a refusal is the one that was reported last. */
  let refusal: string | undefined;
  let closed = false;

  function publish(next: ReloadStatus, record: ReloadRecord): void {
    status = next;
    history.add(record);
    for (const listener of listeners) {
      try {
        listener(status);
      } catch (error) {
        log.error('a listener for reloads failed', { error });
      }
    }
  }

  /** The beginning of a record; the time is that of the end of the reload. */
  function begin(trigger: ReloadTrigger) {
    const startMs = clock.monotonic();
    return (digest: string | null) => ({
      at: new Date(clock.now()).toISOString(),
      trigger,
      duration_ms: Math.round(clock.monotonic() - startMs),
      digest,
    });
  }

  type Finish = ReturnType<typeof begin>;

  function refuse(
    finish: Finish,
    digest: string | null,
    problems: readonly ReloadProblem[],
    fields: LogFields = {},
  ): ReloadResult {
    const identity = JSON.stringify([digest, problems]);
    if (identity !== refusal) {
      refusal = identity;
      const record: ReloadRecord = { ...finish(digest), ok: false, problems };
      // At the start there is no last good one, and whoever starts the gateway is given the problems.
      if (record.trigger !== 'start') {
        log.error('configuration refused, the last good one stays in force', {
          trigger: record.trigger,
          revision: status.revision,
          problems: problems.map(problemLine),
          ...fields,
        });
      }
      publish({ ...status, ok: false, last_error: { at: record.at, problems } }, record);
    }
    return { kind: 'refused', problems };
  }

  /** Nothing to build. If the files had been bad in between, that is over now. */
  function keep(finish: Finish, digest: string): ReloadResult {
    const { revision } = status;
    if (!status.ok) {
      refusal = undefined;
      const record: ReloadRecord = { ...finish(digest), ok: true, revision, diff: [] };
      log.info('configuration is again the one in force', { trigger: record.trigger, revision });
      publish({ ...status, ok: true, last_error: null }, record);
    }
    return { kind: 'unchanged', revision };
  }

  async function apply(finish: Finish, loaded: LoadedConfig): Promise<ReloadResult> {
    const { digest } = loaded;
    const revision = status.revision + 1;
    if (closed) {
      await discard(loaded);
      return closing;
    }
    try {
      await loaded.activate(revision);
    } catch (error) {
      await discard(loaded);
      return refuse(finish, digest, [{ message: messageOf(error) }], detailsOf(error));
    }
    const diff = revision === 1 ? [] : diffDescriptions(description, loaded.description);
    description = loaded.description;
    refusal = undefined;
    const record: ReloadRecord = { ...finish(digest), ok: true, revision, diff };
    log.info('configuration in force', { trigger: record.trigger, revision, duration_ms: record.duration_ms, diff });
    publish({ ok: true, revision, digest, loaded_at: record.at, last_error: null }, record);
    return { kind: 'applied', revision, diff };
  }

  async function discard(loaded: LoadedConfig): Promise<void> {
    try {
      await loaded.discard();
    } catch (error) {
      log.error('a configuration that did not come into force could not be disposed', { error });
    }
  }

  async function run(trigger: ReloadTrigger): Promise<ReloadResult> {
    if (closed) return closing;
    const finish = begin(trigger);
    let outcome: LoadOutcome;
    try {
      outcome = await load(status.digest ?? undefined);
    } catch (error) {
      return refuse(finish, null, [{ message: messageOf(error) }], detailsOf(error));
    }
    if (!closed) watch?.(outcome.files);
    if (outcome.kind === 'loaded') return apply(finish, outcome);
    if (outcome.kind === 'invalid') return refuse(finish, outcome.digest, outcome.problems);
    return keep(finish, outcome.digest);
  }

  const request = coalesce(run);

  return {
    request,
    status: () => status,
    history: () => history.entries(),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      closed = true;
      // Served when the load under way has ended, and by then refused.
      await request('signal');
      listeners.clear();
    },
  };
}

/** A problem in one line: `gateway.yaml:3:5 message`. */
export function problemLine({ file, line, column, message }: ReloadProblem): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  return place === '' ? message : `${place} ${message}`;
}

/** A bug of ours is logged with its stack; what the operator can mend has said everything in its message. */
function detailsOf(error: unknown): LogFields {
  return error instanceof OperatorError ? {} : { error };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
