/**
 * What is known about a request's body besides the request itself: whether the client waits for `100 Continue` before
 * it sends it, and what is wrong with it. The server learns these things, the reader of the body needs them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayError } from '../errors.ts';

interface Inbound {
  /** Where `100 Continue` is to be written; undefined when nobody waits for it any more. */
  expectation: ServerResponse | undefined;
  fault: GatewayError | undefined;
  onFault: ((fault: GatewayError) => void) | undefined;
}

const inbounds = new WeakMap<IncomingMessage, Inbound>();

function inboundOf(request: IncomingMessage): Inbound {
  let inbound = inbounds.get(request);
  if (inbound === undefined) {
    inbound = { expectation: undefined, fault: undefined, onFault: undefined };
    inbounds.set(request, inbound);
  }
  return inbound;
}

/** Whether a body follows the head. A body of no bytes counts. */
export function hasBody(request: IncomingMessage): boolean {
  const { headers } = request;
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** Bytes of the body as the client announced them; 0 without a body, undefined when it is chunked. */
export function declaredBytes(request: IncomingMessage): number | undefined {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined) return undefined;
  return length === undefined ? 0 : Number(length);
}

/** The client sends its body only after `100 Continue`. */
export function expectContinue(request: IncomingMessage, response: ServerResponse): void {
  inboundOf(request).expectation = response;
}

export function awaitsContinue(request: IncomingMessage): boolean {
  return inbounds.get(request)?.expectation !== undefined;
}

/** Asks the client for its body, if it waits to be asked. */
export function sendContinue(request: IncomingMessage): void {
  const inbound = inbounds.get(request);
  const response = inbound?.expectation;
  if (inbound === undefined || response === undefined) return;
  inbound.expectation = undefined;
  if (!response.headersSent) response.writeContinue();
}

/** The body is broken: whoever reads it gets `fault`, now or when the reading starts. The first fault counts. */
export function failBody(request: IncomingMessage, fault: GatewayError): void {
  const inbound = inboundOf(request);
  if (inbound.fault !== undefined) return;
  inbound.fault = fault;
  inbound.onFault?.(fault);
}

export function bodyFault(request: IncomingMessage): GatewayError | undefined {
  return inbounds.get(request)?.fault;
}

/** @param listener called once the body turns out to be broken; at once, when it is already */
export function onBodyFault(request: IncomingMessage, listener: (fault: GatewayError) => void): void {
  const inbound = inboundOf(request);
  if (inbound.fault === undefined) inbound.onFault = listener;
  else listener(inbound.fault);
}
