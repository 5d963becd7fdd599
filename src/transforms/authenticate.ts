import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import schema from '../../schemas/stages/authenticate.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { callerLabels } from '../pipeline/caller-labels.ts';
import type { RunningJob } from '../pipeline/job.ts';
import { anonymous, type Catalogue, type Consumer, type ConsumerKey } from '../pipeline/settings.ts';
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

    return function authenticate({ request, job }) {
      const labels = callerLabels(request.headers);
      if (job !== undefined) {
        return { caller: { ...anonymous, consumer: ownerOfJob(job, env.catalogue, env.clock.now()), ...labels } };
      }
      if (consumersByKeyHash.size === 0) return { caller: { ...anonymous, ...labels } };
      const key = presentedKey(request.headers);
      if (key === undefined) {
        throw noKey();
      }
      const known = consumersByKeyHash.get(hash('sha256', key));
      if (known === undefined) throw refusal('The API key is not valid.');
      const consumer = validConsumer(known, env.clock.now());
      checkAddress(known, request.remoteAddress);
      return { caller: { consumer, ...labels } };
    };
  },
  explain(_config, env) {
    const { consumersByKeyHash } = env.catalogue;

    return function explainAuthenticate({ request }, { account, notes }) {
      const labels = callerLabels(request.headers);
      if (consumersByKeyHash.size === 0) {
        notes.push('the gateway is open: everybody may call');
        return { caller: { ...anonymous, ...labels } };
      }
      if (account.consumer === undefined) throw noKey();
      const keys = [...consumersByKeyHash.values()].filter(({ consumer }) => consumer.id === account.consumer);
      const nowMs = env.clock.now();
      const known = keys.find(({ enabled, expiresAtMs }) => enabled && expiresAtMs > nowMs) ?? keys[0];
      if (known === undefined) throw refusal('The API key is not valid.');
      notes.push(
        `the consumer ${known.consumer.id}${known.addresses === undefined ? '' : ', if it calls from where it may'}`,
      );
      return { caller: { consumer: validConsumer(known, nowMs), ...labels } };
    };
  },
});

/**
 * A job has shown its key when it came, which is not kept. Its consumer must still be there, with some key that is good.
 * @throws GatewayError invalid_api_key
 */
function ownerOfJob(
  { consumer: id }: RunningJob,
  { consumersByKeyHash }: Catalogue,
  nowMs: number,
): Consumer | undefined {
  if (id === null && consumersByKeyHash.size === 0) return undefined;
  const keys = [...consumersByKeyHash.values()].filter(({ consumer }) => consumer.id === id);
  const good = keys.find(({ enabled, expiresAtMs }) => enabled && expiresAtMs > nowMs) ?? keys[0];
  if (good === undefined) throw refusal('The consumer whose job this is may not call any more.');
  return validConsumer(good, nowMs);
}

const challenge = { 'www-authenticate': 'Bearer realm="pinhole"' };

function noKey(): GatewayError {
  return new GatewayError(
    'missing_api_key',
    'No API key was sent. Send it as `Authorization: Bearer KEY`, or in `x-api-key` or `api-key`.',
    { headers: challenge },
  );
}

/** OpenAI's clients send a bearer token, Anthropic-style ones `x-api-key`, Azure-style ones `api-key`. */
function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers['x-api-key'] ?? headers['api-key'];
  return typeof key === 'string' && key !== '' ? key : undefined;
}

/** @throws GatewayError invalid_api_key; the log is told whose key it was */
function validConsumer({ consumer, enabled, expiresAtMs }: ConsumerKey, nowMs: number): Consumer {
  if (!enabled) throw refusal('The API key has been disabled.', ownerOf(consumer));
  if (expiresAtMs <= nowMs) throw refusal('The API key has expired.', ownerOf(consumer));
  return consumer;
}

/** @throws GatewayError ip_not_allowed */
function checkAddress({ consumer, addresses }: ConsumerKey, remoteAddress: string): void {
  if (addresses?.contains(remoteAddress) !== false) return;
  throw new GatewayError('ip_not_allowed', 'The API key may not be used from this address.', {
    cause: ownerOf(consumer),
  });
}

function ownerOf({ id }: Consumer): Error {
  return new Error(`the key is that of ${id}`);
}

function refusal(message: string, cause?: Error): GatewayError {
  return new GatewayError('invalid_api_key', message, { headers: challenge, cause });
}
