import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import schema from '../../schemas/stages/authenticate.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { anonymous } from '../pipeline/settings.ts';
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
    const challenge = { 'www-authenticate': 'Bearer realm="pinhole"' };

    return function authenticate(exchange) {
      if (consumersByKeyHash.size === 0) return { caller: anonymous };
      const key = presentedKey(exchange.request.headers);
      if (key === undefined) {
        throw new GatewayError(
          'missing_api_key',
          'No API key was sent. Send it as `Authorization: Bearer KEY`, or in `x-api-key` or `api-key`.',
          { headers: challenge },
        );
      }
      const consumer = consumersByKeyHash.get(hash('sha256', key));
      if (consumer === undefined) {
        throw new GatewayError('invalid_api_key', 'The API key is not valid.', { headers: challenge });
      }
      return { caller: { consumer } };
    };
  },
});

/** OpenAI's clients send a bearer token, Anthropic-style ones `x-api-key`, Azure-style ones `api-key`. */
function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers['x-api-key'] ?? headers['api-key'];
  return typeof key === 'string' && key !== '' ? key : undefined;
}
