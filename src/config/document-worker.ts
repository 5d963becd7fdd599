/** The thread that parses large files. */
import { parentPort } from 'node:worker_threads';
import { parseDocument, type ConfigDocument } from './document.ts';

export interface ParseOrder {
  readonly id: number;
  readonly text: string;
}

export interface ParseReport extends Pick<ConfigDocument, 'value' | 'problems'> {
  readonly id: number;
}

parentPort?.on('message', ({ id, text }: ParseOrder) => {
  const { value, problems } = parseDocument(text);
  const report: ParseReport = { id, value, problems };
  parentPort?.postMessage(report);
});
