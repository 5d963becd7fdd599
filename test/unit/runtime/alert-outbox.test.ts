import { beforeEach, describe, expect, it } from 'vitest';
import type { AlertWebhook } from '../../../src/pipeline/settings.ts';
import { ServiceFailure, type Clock, type ServiceQuestion } from '../../../src/pipeline/stage.ts';
import { createAlertOutbox, type RunningAlertOutbox } from '../../../src/runtime/alert-outbox.ts';
import { Secret } from '../../../src/secret.ts';
import { recordingLog, type RecordingLog } from './recording-log.ts';

const webhook: AlertWebhook = {
  url: 'https://hooks.test/alerts',
  headers: { authorization: new Secret('Bearer abc') },
  secret: new Secret('a-secret-of-16-letters'),
  timeoutMs: 10_000,
};

/** A try that waits for its outcome. */
interface Try {
  readonly message: ServiceQuestion;
  readonly succeed: () => void;
  readonly fail: () => void;
}

let log: RecordingLog;
let tries: Try[];
let connections: { readonly origin: string; closed: boolean }[];
/** Pauses and deadlines, with the way to their end. */
let pauses: { readonly milliseconds: number; readonly end: () => void }[];
let deadlines: { readonly milliseconds: number; readonly end: () => void; cancelled: boolean }[];
let outbox: RunningAlertOutbox;

const clock: Pick<Clock, 'now' | 'timer' | 'sleep'> = {
  now: () => 1_800_000_000_123,
  timer(milliseconds, end) {
    const deadline = { milliseconds, end, cancelled: false };
    deadlines.push(deadline);
    return { cancel: () => void (deadline.cancelled = true) };
  },
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      pauses.push({ milliseconds, end: resolve });
    }),
};

beforeEach(() => {
  log = recordingLog();
  [tries, connections, pauses, deadlines] = [[], [], [], []];
  outbox = createAlertOutbox({
    clock,
    log,
    random: () => 0.5,
    services: {
      connect(origin) {
        const connection = { origin, closed: false };
        connections.push(connection);
        return {
          ask: () => Promise.reject(new Error('This test did not expect a question.')),
          tell: (message, signal) =>
            new Promise((resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason));
              tries.push({
                message,
                succeed: resolve,
                fail: () => reject(new ServiceFailure('the service answered with status 500')),
              });
            }),
          close: () => Promise.resolve(void (connection.closed = true)),
        };
      },
    },
  });
});

const post = (id: string): void => outbox.post(webhook, id, { id });
/** The next thing of a list that nobody has taken yet. */
async function next<Item>(list: Item[]): Promise<Item> {
  await expect.poll(() => list.length).toBeGreaterThan(0);
  const item = list.shift();
  if (item === undefined) throw new Error('nothing came');
  return item;
}

describe('the outbox', () => {
  it('delivers an alert, signed, and keeps no connection afterwards', async () => {
    post('alert_1');
    const { message, succeed } = await next(tries);
    expect(message).toEqual({
      url: 'https://hooks.test/alerts',
      headers: { authorization: 'Bearer abc' },
      body: { id: 'alert_1' },
      signature: { secret: webhook.secret, id: 'alert_1', timestamp: 1_800_000_000 },
    });
    succeed();
    await expect.poll(() => connections).toEqual([{ origin: 'https://hooks.test', closed: true }]);
    expect(deadlines).toMatchObject([{ milliseconds: 10_000, cancelled: true }]);
    expect(log.lines).toEqual([]);
  });

  it('tries five times, after longer and longer pauses and with the same id, and then says so', async () => {
    post('alert_1');
    const waited: number[] = [];
    for (let tried = 1; tried <= 5; tried += 1) {
      const { message, fail } = await next(tries);
      expect(message.signature?.id).toBe('alert_1');
      fail();
      if (tried === 5) break;
      const { milliseconds, end } = await next(pauses);
      waited.push(milliseconds);
      end();
    }
    expect(waited).toEqual([1_000, 4_000, 16_000, 64_000]);
    const { message, fields } = await log.next('error');
    expect([message, fields]).toMatchObject([
      'an alert was not delivered',
      { alert: 'alert_1', document: { id: 'alert_1' }, reason: 'the service answered with status 500' },
    ]);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(4);
  });

  it('delivers it when a later try works', async () => {
    post('alert_1');
    (await next(tries)).fail();
    (await next(pauses)).end();
    (await next(tries)).succeed();
    await outbox.close(1_000);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn']);
  });

  it('gives up a try that takes too long', async () => {
    post('alert_1');
    await next(tries);
    (await next(deadlines)).end();
    await next(pauses);
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { reason: 'the service did not answer in time' } }]);
  });

  it('delivers a few at a time, lets a thousand wait, and drops what comes on top', async () => {
    for (let index = 0; index < 1_006; index += 1) post(`alert_${index}`);
    expect(tries).toHaveLength(4);
    expect(log.lines.map(({ fields }) => fields['alert'])).toEqual(['alert_1004', 'alert_1005']);
    (await next(tries)).succeed();
    await expect.poll(() => tries.at(-1)?.message.signature?.id).toBe('alert_4');
  });

  it('waits at its end for what is under way', async () => {
    for (let index = 0; index < 5; index += 1) post(`alert_${index}`);
    const closed = outbox.close(1_000);
    for (let index = 0; index < 5; index += 1) (await next(tries)).succeed();
    await closed;
    expect(log.lines).toEqual([]);
    expect(connections.every((connection) => connection.closed)).toBe(true);
  });

  it('drops at its end, and says so, what cannot be delivered in time, and what comes later', async () => {
    for (let index = 0; index < 6; index += 1) post(`alert_${index}`);
    (await next(tries)).fail();
    await next(pauses);
    const closed = outbox.close(1_000);
    const grace = deadlines.find(({ milliseconds }) => milliseconds === 1_000);
    grace?.end();
    await closed;
    post('alert_late');
    const dropped = log.lines.filter(({ level }) => level === 'error').map(({ fields }) => String(fields['alert']));
    expect(dropped.toSorted()).toEqual([
      'alert_0',
      'alert_1',
      'alert_2',
      'alert_3',
      'alert_4',
      'alert_5',
      'alert_late',
    ]);
    expect(log.lines.at(-1)?.fields).toMatchObject({ reason: 'the gateway is stopping' });
  });
});
