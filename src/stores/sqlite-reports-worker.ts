/** A thread that reads the SQLite file, so that a report over millions of rows holds up neither requests nor the books. */
import { workerData } from 'node:worker_threads';
import { openForReading } from './sqlite-file.ts';
import { makeReport, type Report, type ReportOrder } from './sqlite-reports.ts';
import { serveOrders } from './thread-worker.ts';

serveOrders<ReportOrder, Report>(() => {
  const { file }: { readonly file: string } = workerData;
  const database = openForReading(file);
  return { handle: (order) => makeReport(database, order), close: () => database.close() };
});
