import type { BooksReader } from './ledger.ts';
import type { Report, ReportOrder } from './sqlite-reports.ts';
import { cannotRead, storeClosed } from './queue.ts';
import { startThread, type OrderThread } from './thread.ts';

export interface SqliteReader extends BooksReader {
  /** @throws OperatorError when the file is not one that can be read */
  open(): Promise<void>;
}

/** Reads an SQLite file in a thread of its own, which is started when it is first needed. */
export function createSqliteReader(file: string): SqliteReader {
  let thread: Promise<OrderThread<ReportOrder, Report>> | undefined;
  let closed = false;

  async function ask(order: ReportOrder): Promise<Report> {
    if (closed) throw storeClosed();
    const report = await liveThread()
      .then((reader) => reader.call(order))
      .catch((error: unknown) => {
        throw cannotRead(error);
      });
    if (report.kind === 'out-of-range') throw new RangeError(report.message);
    return report;
  }

  async function liveThread(): Promise<OrderThread<ReportOrder, Report>> {
    const current = await thread?.catch(() => undefined);
    if (current?.alive === true) return current;
    thread = startThread('sqlite-reports-worker', { file });
    return thread;
  }

  return {
    async open() {
      await liveThread();
    },
    async usage(query) {
      const report = await ask({ kind: 'usage', query });
      if (report.kind === 'usage') return report.groups;
      throw mixedUp(report);
    },
    async rows(query) {
      const report = await ask({ kind: 'rows', query });
      if (report.kind === 'rows') return report.page;
      throw mixedUp(report);
    },
    async counters(query) {
      const report = await ask({ kind: 'counters', query });
      if (report.kind === 'counters') return report.counters;
      throw mixedUp(report);
    },
    async close() {
      closed = true;
      const [current] = await Promise.allSettled([thread]);
      if (current.status === 'fulfilled') await current.value?.close();
    },
  };
}

function mixedUp(report: Report): Error {
  return new Error(`The state file gave the answer ${report.kind} to another question.`);
}
