/** Credentials that are valid for a while, traded for the configured ones, and kept until shortly before their end. */
import { GatewayError } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';
import type { Entity } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';

export interface Credentials {
  /** The credential to send: the token itself, unless its provider trades it. @throws GatewayError upstream_auth_failed, … */
  valid(entity: Entity, token: Secret | undefined, signal: AbortSignal): Promise<Secret | undefined>;
  /** Trades anew next time: what was traded has been refused. */
  forget(entity: Entity, token: Secret | undefined): void;
}

interface Traded {
  readonly token: Secret;
  readonly validUntilMs: number;
}

/** So long before its end a credential is not used any more: the request has to arrive with it. */
const reserveMs = 60_000;
/** Milliseconds for a trade. It is not broken off with the call that began it, as others wait for it too. */
const tradeMs = 20_000;
const maxAnswerBytes = 64 * 1024;

export function createCredentials(env: StageEnv): Credentials {
  // By provider, so that a changed connection trades anew, and nothing is kept for longer than its snapshot.
  const shared = env.share('credentials', () => new WeakMap<Provider, Map<string, Promise<Traded>>>());

  function tradedBy({ provider }: Entity): Map<string, Promise<Traded>> {
    const known = shared.get(provider) ?? new Map<string, Promise<Traded>>();
    shared.set(provider, known);
    return known;
  }

  async function trade({ provider, client }: Entity, token: Secret): Promise<Traded> {
    const { exchange } = provider;
    const startedAtMs = env.clock.now();
    const request = await exchange?.request(token, Math.floor(startedAtMs / 1000));
    if (exchange === undefined || request === undefined) return { token, validUntilMs: Infinity };
    const signal = AbortSignal.timeout(tradeMs);
    const reply = await client.send(request, { signal, maxReplyBytes: maxAnswerBytes, onSent() {} });
    if (reply.status < 200 || reply.status > 299) {
      const cause = await provider.fault(reply);
      reply.body.cancel();
      throw new GatewayError('upstream_auth_failed', 'The provider refused the credential of the gateway.', { cause });
    }
    const { token: traded, lifetimeMs } = await exchange.read(reply);
    return { token: traded, validUntilMs: startedAtMs + lifetimeMs };
  }

  /** Keeps a trade for others until it fails. */
  function begin(traded: Map<string, Promise<Traded>>, key: string, pending: Promise<Traded>): Promise<Traded> {
    traded.set(key, pending);
    pending.catch(() => {
      if (traded.get(key) === pending) traded.delete(key);
    });
    return pending;
  }

  return {
    async valid(entity, token, signal) {
      if (token === undefined || entity.provider.exchange === undefined) return token;
      const traded = tradedBy(entity);
      const key = token.reveal();
      const held = traded.get(key);
      const known =
        held &&
        (await unlessAborted(
          held.catch(() => undefined),
          signal,
        ));
      if (known !== undefined && known.validUntilMs - reserveMs > env.clock.now()) return known.token;
      if (traded.get(key) === held) traded.delete(key);
      // One trade at a time: who comes meanwhile waits for the same.
      const pending = traded.get(key) ?? begin(traded, key, trade(entity, token));
      return (await unlessAborted(pending, signal)).token;
    },
    forget(entity, token) {
      if (token !== undefined) shared.get(entity.provider)?.delete(token.reveal());
    },
  };
}
