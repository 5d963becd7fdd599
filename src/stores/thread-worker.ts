import { parentPort, type MessagePort } from 'node:worker_threads';
import { endOfOrders, type ThreadReport } from './thread.ts';

/** What a worker does with its orders. */
export interface OrderHandler<Order, Answer> {
  /** @throws Error when it has failed and nothing has happened */
  handle(order: Order): Answer;
  close(): void;
}

/** Runs a worker: opens what it works on, then answers one order after the other, until it is told that there are no more. */
export function serveOrders<Order, Answer>(open: () => OrderHandler<Order, Answer>): void {
  if (parentPort !== null) serve(parentPort, open);
}

function serve<Order, Answer>(port: MessagePort, open: () => OrderHandler<Order, Answer>): void {
  const report = (message: ThreadReport<Answer>): void => port.postMessage(message);
  const failed = (error: unknown): void =>
    report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });

  let handler: OrderHandler<Order, Answer>;
  try {
    handler = open();
  } catch (error) {
    failed(error);
    port.close();
    return;
  }
  port.on('message', (order: Order | typeof endOfOrders) => {
    if (order === endOfOrders) {
      handler.close();
      port.close();
      return;
    }
    try {
      report({ kind: 'answer', answer: handler.handle(order) });
    } catch (error) {
      failed(error);
    }
  });
  report({ kind: 'ready' });
}
