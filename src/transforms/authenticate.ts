import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import schema from '../../schemas/stages/authenticate.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { callerLabels } from '../pipeline/caller-labels.ts';
import { anonymous, type Consumer, type ConsumerKey } from '../pipeline/settings.ts';
import { defineStage } from '../pipeline/stage.ts';

/**
 * Caller key → consumer. The key is hashed first and looked up by its hash, so the time that a refusal takes says
 * nothing about the keys that there are. Without consumers in the file the gateway is open.
 */
export const authenticate = defineStage({
  name: 'authenticate',
  schema,
  reads: [],
  writes: ['caller'],
  create(_config, env) {
    const { consumersByKeyHash } = env.catalogue;

    return function authenticate({ request }) {
      const labels = callerLabels(request.headers);
      if (consumersByKeyHash.size === 0) return { caller: { ...anonymous, ...labels } };
      const key = presentedKey(request.headers);
      if (key === undefined) {
        throw new GatewayError(
          'missing_api_key',
          'No API key was sent. Send it as `Authorization: Bearer KEY`, or in `x-api-key` or `api-key`.',
          { headers: challenge },
        );
      }
      const known = consumersByKeyHash.get(hash('sha256', key));
      if (known === undefined) throw refusal('The API key is not valid.');
      return { caller: { consumer: validConsumer(known, request.remoteAddress, env.clock.now()), ...labels } };
    };
  },
});

const challenge = { 'www-authenticate': 'Bearer realm="pinhole"' };

/** OpenAI's clients send a bearer token, Anthropic-style ones `x-api-key`, Azure-style ones `api-key`. */
function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers['x-api-key'] ?? headers['api-key'];
  return typeof key === 'string' && key !== '' ? key : undefined;
}

/** @throws GatewayError invalid_api_key, ip_not_allowed; the log is told whose key it was */
function validConsumer(
  { consumer, enabled, expiresAtMs, addresses }: ConsumerKey,
  remoteAddress: string,
  nowMs: number,
): Consumer {
  const cause = (): Error => new Error(`the key is that of ${consumer.id}`);
  if (!enabled) throw refusal('The API key has been disabled.', cause());
  if (expiresAtMs <= nowMs) throw refusal('The API key has expired.', cause());
  if (addresses?.contains(remoteAddress) === false) {
    throw new GatewayError('ip_not_allowed', 'The API key may not be used from this address.', { cause: cause() });
  }
  return consumer;
}

function refusal(message: string, cause?: Error): GatewayError {
  return new GatewayError('invalid_api_key', message, { headers: challenge, cause });
}
