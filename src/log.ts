import { createLogger as createWinston, format as winstonFormat } from 'winston';
import TransportStream from 'winston-transport';
import { jsonLine, prettyLine } from './log-format.ts';
import { createLogBatch, descriptorOutput } from './log-output.ts';
import type { LogOutput } from './log-output.ts';

/** The part of a logger that the gateway uses. Fields are structured data; secrets print as `[redacted]`. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

export type LogFields = Readonly<Record<string, unknown>>;

export type LogLevel = keyof typeof levels;

/** `json`: one object a line. `pretty`: text for people. */
export type LogFormat = keyof typeof lineFormats;

/** What can be changed while the process runs. */
export interface LogSettings {
  /** The least severe level that is logged. */
  readonly level: LogLevel;
  readonly format: LogFormat;
}

export interface LoggerOptions extends LogSettings {
  /** Milliseconds since 1970, for the time of each line. */
  readonly clock: { now(): number };
  /** Takes whole lines instead of standard output. A promise says when they are written, or lost. */
  readonly write?: (lines: string) => void | Promise<void>;
}

/** The process's logger. Lines are written a moment later, in batches. */
export interface RootLogger extends Logger {
  configure(settings: LogSettings): void;
  /** Resolves when every line so far is written or lost. Waits for the reader, so give it a deadline. */
  flush(): Promise<void>;
  /** Writes every line so far before it returns: for a process that is about to end. */
  flushSync(): void;
}

/** Severity, the way winston counts it: the smaller, the worse. */
const levels = { error: 0, warn: 1, info: 2, debug: 3 };

const lineFormats = { json: jsonLine, pretty: prettyLine };

export function createLogger({ level, format, clock, write }: LoggerOptions): RootLogger {
  let threshold = levels[level];
  let formatLine = lineFormats[format];

  const line = (level: LogLevel, message: string, fields: LogFields): string =>
    formatLine({ time: new Date(clock.now()), level, message, fields });

  const batch = createLogBatch({
    output: write === undefined ? descriptorOutput(1) : callbackOutput(write),
    lossLine: (lines) => line('warn', 'log lines were lost', { lines }),
  });
  const winston = createWinston({
    level: 'debug',
    levels,
    // Winston's own format would turn fields into JSON before they are safe to print.
    format: winstonFormat((info) => info)(),
    transports: new TransportStream({
      log(info: { readonly line: string }, next: () => void) {
        batch.add(info.line);
        next();
      },
    }),
  });

  function log(level: LogLevel, message: string, bound: LogFields | undefined, fields: LogFields | undefined): void {
    // Before anything is made of the line: most debug lines end here.
    if (levels[level] > threshold) return;
    winston.log({ level, message, line: line(level, message, { ...bound, ...fields }) });
  }

  // Own wrappers, since winston's child copies the logger and every line once more.
  function loggerWith(bound: LogFields | undefined): Logger {
    return {
      debug: (message, fields) => log('debug', message, bound, fields),
      info: (message, fields) => log('info', message, bound, fields),
      warn: (message, fields) => log('warn', message, bound, fields),
      error: (message, fields) => log('error', message, bound, fields),
      child: (fields) => loggerWith({ ...bound, ...fields }),
    };
  }

  return {
    ...loggerWith(undefined),
    configure(settings) {
      threshold = levels[settings.level];
      formatLine = lineFormats[settings.format];
    },
    flush: () => batch.flush(),
    flushSync: () => batch.flushSync(),
  };
}

function callbackOutput(write: NonNullable<LoggerOptions['write']>): LogOutput {
  return {
    async write(text) {
      await write(text);
    },
    writeSync(text) {
      // Nobody is left to be told of a failure.
      void (async () => write(text))().catch(() => undefined);
    },
  };
}

/** Logs nothing, for a gateway that is only checked. */
export const silentLog: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
