import type { Logger } from '../log.ts';
import type { AlertWebhook } from '../pipeline/settings.ts';
import {
  ServiceFailure,
  type AlertOutbox,
  type Clock,
  type Service,
  type ServiceConnector,
} from '../pipeline/stage.ts';
import type { WireJson } from '../pipeline/upstream.ts';

export interface AlertOutboxSources {
  readonly clock: Pick<Clock, 'now' | 'timer' | 'sleep'>;
  readonly services: ServiceConnector;
  readonly log: Logger;
  /** A number from 0 up to but not including 1. */
  random(): number;
}

/** An outbox, and its end. */
export interface RunningAlertOutbox extends AlertOutbox {
  /** Takes nothing more, and resolves when all is delivered, or so many milliseconds later. Never rejects. */
  close(graceMs: number): Promise<void>;
}

/** Tries to deliver an alert, and the pause after the first; each further pause is four times as long. */
const mostTries = 5;
const firstPauseMs = 1_000;

/** Alerts that are being delivered at a time, those between two tries included, and others that may wait for that. */
const atOnce = 4;
const mostWaiting = 1_000;

interface Alert {
  readonly webhook: AlertWebhook;
  readonly id: string;
  readonly document: WireJson;
}

/** Alerts on their way to webhooks. They are in memory alone: what a process has not delivered when it is killed is lost. */
export function createAlertOutbox({ clock, services, log, random }: AlertOutboxSources): RunningAlertOutbox {
  const waiting: Alert[] = [];
  const underWay = new Set<Promise<void>>();
  const connections = new Map<string, Service>();
  const end = new AbortController();
  let closed = false;

  function connectionTo(url: string): Service {
    const { origin } = new URL(url);
    const service = connections.get(origin) ?? services.connect(origin);
    connections.set(origin, service);
    return service;
  }

  async function disconnect(): Promise<void> {
    const idle = [...connections.values()];
    connections.clear();
    await Promise.all(idle.map((service) => service.close()));
  }

  async function send({ webhook, id, document }: Alert): Promise<void> {
    const { url, headers, secret, timeoutMs } = webhook;
    const late = new AbortController();
    const timer = clock.timer(timeoutMs, () => late.abort(new ServiceFailure('the service did not answer in time')));
    try {
      await connectionTo(url).tell(
        {
          url,
          headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.reveal()])),
          body: document,
          signature: secret && { secret, id, timestamp: Math.floor(clock.now() / 1000) },
        },
        AbortSignal.any([late.signal, end.signal]),
      );
    } finally {
      timer.cancel();
    }
  }

  /** Never rejects. */
  async function deliver(alert: Alert): Promise<void> {
    for (let tried = 1; ; tried += 1) {
      try {
        await send(alert);
        return;
      } catch (error) {
        if (tried === mostTries || end.signal.aborted) return giveUp(alert, error);
        log.warn('an alert could not be delivered, trying again', { alert: alert.id, tried, ...reasonOf(error) });
      }
      // Between half and one and a half of it, so that many who were turned away together do not come back together.
      const pauseMs = firstPauseMs * 4 ** (tried - 1) * (0.5 + random());
      try {
        await clock.sleep(pauseMs, end.signal);
      } catch (error) {
        return giveUp(alert, error);
      }
    }
  }

  function giveUp({ id, document }: Alert, error: unknown): void {
    log.error('an alert was not delivered', { alert: id, document, ...reasonOf(error) });
  }

  function next(): void {
    while (underWay.size < atOnce) {
      const alert = waiting.shift();
      if (alert === undefined) break;
      const delivery = deliver(alert).then(() => {
        underWay.delete(delivery);
        next();
      });
      underWay.add(delivery);
    }
    // Alerts are rare; no connection is kept for the next.
    if (underWay.size === 0) void disconnect().catch((error: unknown) => log.debug('a webhook was left', { error }));
  }

  return {
    post(webhook, id, document) {
      const alert = { webhook, id, document };
      if (closed) giveUp(alert, new ServiceFailure('the gateway is stopping'));
      else if (waiting.length >= mostWaiting) giveUp(alert, new ServiceFailure('too many alerts are waiting'));
      else {
        waiting.push(alert);
        next();
      }
    },
    async close(graceMs) {
      closed = true;
      const stopping = new ServiceFailure('the gateway is stopping');
      const timer = clock.timer(graceMs, () => {
        for (const alert of waiting.splice(0)) giveUp(alert, stopping);
        end.abort(stopping);
      });
      while (underWay.size > 0) await Promise.all(underWay);
      timer.cancel();
      await disconnect().catch(() => undefined);
    },
  };
}

/** Why a service could not be told; anything but its failure is a bug, and shows where. */
function reasonOf(error: unknown): object {
  return error instanceof ServiceFailure ? { reason: error.message } : { error };
}
