import { onTestFinished } from 'vitest';
import { toGatewayError, GatewayError } from '../../../src/errors.ts';
import { createForwarder } from '../../../src/http/forward.ts';
import { errorResponse, hasBegun, sendResponse } from '../../../src/http/reply.ts';
import { requestBody } from '../../../src/http/request-body.ts';
import type { LiveConnection } from '../../../src/pipeline/exchange.ts';
import type { ForwardSettings } from '../../../src/pipeline/settings.ts';
import { makeExchange } from '../../fixtures/exchange.ts';
import { serve, type TestServer } from './harness.ts';

/** A gateway whose only business is to forward. */
export interface TestForwarder extends TestServer {
  /** The status for the access log, or the error, of each exchange that is over. */
  readonly outcomes: unknown[];
  /** Resolves with the outcome of the first exchange. */
  readonly first: Promise<unknown>;
}

export interface ForwarderOptions extends Partial<Omit<ForwardSettings, 'url'>> {
  readonly url: string;
  readonly maxBytes?: number;
  readonly bodyMs?: number;
  /** Aborts every exchange. */
  readonly signal?: AbortSignal;
  readonly remoteAddress?: string;
}

export async function forwardTo(options: ForwarderOptions): Promise<TestForwarder> {
  const { url, maxBytes = 1e9, bodyMs = 30_000, signal, remoteAddress = '127.0.0.1', ...given } = options;
  const settings: ForwardSettings = { headers: {}, timeoutMs: 20_000, ...given, url: new URL(url) };
  const forwarder = createForwarder();
  const outcomes: unknown[] = [];
  const { promise: first, resolve: note } = Promise.withResolvers<unknown>();

  const handle = async (live: LiveConnection): Promise<void> => {
    const controller = new AbortController();
    const { request, answer } = live;
    const connection = answer.kind === 'response' ? answer.response : answer.socket;
    connection.once('close', () => {
      if (answer.kind === 'response' && answer.response.writableFinished) return;
      controller.abort(new GatewayError('client_closed_request', 'gone'));
    });
    const exchange = makeExchange(
      {},
      {
        live,
        body: requestBody(request, { maxBytes, bodyMs }),
        signal: signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]),
        responseHeaders: new Map([['x-request-id', 'request-1']]),
        request: { method: request.method ?? '', path: request.url ?? '', headers: request.headers, remoteAddress },
      },
    );
    let outcome: unknown;
    try {
      outcome = (await forwarder.forward(exchange, settings)).status;
    } catch (thrown) {
      outcome = thrown;
      if (!hasBegun(live) && !connection.destroyed) {
        await sendResponse(
          live,
          errorResponse(toGatewayError(thrown)),
          exchange.responseHeaders,
          AbortSignal.timeout(10_000),
        );
      }
    }
    outcomes.push(outcome);
    note(outcome);
  };

  const server = await serve((live) => void handle(live));
  onTestFinished(() => forwarder.close());
  return { ...server, outcomes, first };
}
