/**
 * The reverse proxy, and the home of http-proxy-3. That library makes the upstream request and joins the sockets of an
 * upgrade; which headers pass, time limits, errors and the relaying of answers are done here, because of what it leaves
 * open: a broken upstream would hang the caller, and the caller's credentials could reach the upstream.
 */
import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { createProxyServer, type ServerOptions } from 'http-proxy-3';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import type { ForwardSettings } from '../pipeline/settings.ts';
import type { Forwarder } from '../pipeline/stage.ts';
import { requestHeaders, settingsHeaders } from './forward-headers.ts';
import { forwardTarget } from './forward-target.ts';
import type { Relay } from './relay.ts';
import { relayRequest } from './relay-request.ts';
import { relayUpgrade } from './relay-upgrade.ts';

/** Milliseconds for making a connection, and for keeping an idle one: less than servers usually keep them. */
const connectTimeout = 10_000;
const idleTimeout = 4_000;

export interface ClosableForwarder extends Forwarder {
  /** Lets go of idle connections. */
  close(): void;
}

/** The reverse proxy with its own keep-alive connections, shared by all routes. */
export function createForwarder(): ClosableForwarder {
  const agents = {
    http: new Agent({ keepAlive: true, timeout: idleTimeout }),
    https: new SecureAgent({ keepAlive: true, timeout: idleTimeout }),
  };
  return {
    async forward(exchange, settings) {
      exchange.signal.throwIfAborted();
      const agent = settings.url.protocol === 'https:' ? agents.https : agents.http;
      const options = proxyOptions(exchange, settings, agent);
      const { live } = exchange;
      const relay =
        live.answer.kind === 'response'
          ? relayRequest(exchange, live.answer.response, settings)
          : relayUpgrade(exchange, live.answer.socket, settings);
      try {
        connect(exchange, options, relay);
      } catch (cause) {
        relay.failed(new GatewayError('internal_error', 'The request could not be forwarded.', { cause }));
      }
      return relay.done;
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** Starts the library on an exchange, and tells the relay what it reports. */
function connect({ live, request, id }: Exchange, options: ServerOptions, relay: Relay): void {
  const { request: incoming, answer } = live;
  const chunked = incoming.headers['transfer-encoding'] !== undefined;
  // The library sends what stands here. The exchange has kept the headers that came.
  incoming.headers = requestHeaders({
    request: incoming,
    id,
    remoteAddress: request.remoteAddress,
    upgrade: answer.kind === 'upgrade',
  });
  // One for each exchange, as everything that it reports concerns this exchange only.
  const proxy = createProxyServer(options);
  proxy.on('error', relay.failed);
  proxy.on('econnreset', relay.failed);
  proxy.on('proxyReq', relay.upstream);
  proxy.on('proxyReqWs', relay.upstream);
  proxy.on('start', ({ headers }) => {
    if (!chunked) return;
    // The library has just declared the body of a DELETE to be empty, but sends it all the same: a second request.
    delete headers['content-length'];
    headers['transfer-encoding'] = 'chunked';
  });
  if (answer.kind === 'upgrade') proxy.ws(incoming, answer.socket, answer.head);
  else proxy.web(incoming, answer.response, relay.body === undefined ? {} : { buffer: relay.body });
}

/** @throws GatewayError bad_request for a path that must not be forwarded */
function proxyOptions(exchange: Exchange, settings: ForwardSettings, agent: Agent): ServerOptions {
  const { url } = settings;
  const headers = settingsHeaders(settings.headers);
  return {
    agent,
    connectTimeout,
    target: forwardTarget(url, exchange.request.path),
    // The target is complete.
    ignorePath: true,
    changeOrigin: headers['host'] === undefined,
    // Headers given here are sent in any case; those that are set in an event are not, when there is an `expect`.
    headers,
    ...(url.username === '' ? {} : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }),
    selfHandleResponse: true,
  };
}
