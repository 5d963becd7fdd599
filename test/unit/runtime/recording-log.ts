import type { LogFields, Logger } from '../../../src/log.ts';

export interface RecordedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines. */
export interface RecordingLog extends Logger {
  readonly lines: readonly RecordedLine[];
  /** The first line of the level that was not given before, as soon as there is one. */
  next(level: RecordedLine['level']): Promise<RecordedLine>;
}

export function recordingLog(): RecordingLog {
  const lines: RecordedLine[] = [];
  const given = new Set<RecordedLine>();
  let wake = Promise.withResolvers<void>();

  const at =
    (level: RecordedLine['level']) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields });
      wake.resolve();
      wake = Promise.withResolvers<void>();
    };
  const log: RecordingLog = {
    lines,
    async next(level) {
      for (;;) {
        const line = lines.find((candidate) => candidate.level === level && !given.has(candidate));
        if (line !== undefined) {
          given.add(line);
          return line;
        }
        await wake.promise;
      }
    },
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return log;
}
