import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { requestBody } from '../../../src/http/request-body.ts';

/** A request whose body is pushed by hand. */
function incoming(): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers = { 'transfer-encoding': 'chunked' };
  return request;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the pace of a body', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  const bodyMs = 30_000;

  /** Sends so many bytes each second. The outcome is `cut` at some second, or `alive`. */
  async function send(bytesPerSecond: number, seconds: number): Promise<number | 'alive'> {
    const request = incoming();
    const reading = collect(requestBody(request, { maxBytes: 1e9, bodyMs }));
    let cut = false;
    reading.catch(() => (cut = true));
    for (let second = 1; second <= seconds; second += 1) {
      vi.advanceTimersByTime(1000);
      await settled();
      if (cut) return second;
      request.push(Buffer.alloc(bytesPerSecond));
      await settled();
    }
    request.push(null);
    await reading;
    return 'alive';
  }

  it('may be 1 KiB a second for ever', async () => {
    expect(await send(1024, 600)).toBe('alive');
  });

  it('may not be less for long', async () => {
    const cutAt = await send(1, 120);
    expect(cutAt).toBeGreaterThanOrEqual(30);
    expect(cutAt).toBeLessThanOrEqual(31);
  });

  it('may be half of it for twice the time', async () => {
    const cutAt = await send(512, 120);
    expect(cutAt).toBeGreaterThanOrEqual(58);
    expect(cutAt).toBeLessThanOrEqual(62);
  });

  it('gives no credit beyond the time of silence for a fast beginning', async () => {
    const request = incoming();
    const reading = collect(requestBody(request, { maxBytes: 1e9, bodyMs }));
    const outcome = reading.catch((error: unknown) => error);
    request.push(Buffer.alloc(100_000));
    await settled();
    vi.advanceTimersByTime(bodyMs - 1);
    await settled();
    request.push(Buffer.alloc(1));
    await settled();
    vi.advanceTimersByTime(2);
    expect(await outcome).toMatchObject({ code: 'request_timeout' });
  });

  it('costs the client nothing while nobody asks for more', async () => {
    const request = incoming();
    const chunks = requestBody(request, { maxBytes: 1e9, bodyMs })[Symbol.asyncIterator]();
    request.push(Buffer.from('a'));
    expect((await chunks.next()).value).toEqual(Buffer.from('a'));
    vi.advanceTimersByTime(10 * bodyMs);
    const next = chunks.next();
    await settled();
    request.push(Buffer.from('b'));
    expect((await next).value).toEqual(Buffer.from('b'));
  });
});

describe('a request’s body', () => {
  it('is empty without headers that announce one', async () => {
    const request = new IncomingMessage(new Socket());
    request.headers = {};
    const body = requestBody(request, { maxBytes: 1, bodyMs: 1 });
    expect(body.length).toBe(0);
    expect(await collect(body)).toHaveLength(0);
  });

  it('cannot be read twice', async () => {
    const request = incoming();
    request.push(null);
    const body = requestBody(request, { maxBytes: 1, bodyMs: 1000 });
    await collect(body);
    await expect(collect(body)).rejects.toThrow('only once');
  });

  it('makes the sender wait while nobody reads on, and keeps every byte', async () => {
    const request = incoming();
    const chunks = requestBody(request, { maxBytes: 1e9, bodyMs: 1000 })[Symbol.asyncIterator]();
    request.push(Buffer.alloc(1));
    await chunks.next();
    request.push(Buffer.alloc(300_000));
    await settled();
    expect(request.isPaused()).toBe(true);
    const { value } = await chunks.next();
    expect(value?.byteLength).toBe(300_000);
    await settled();
    expect(request.isPaused()).toBe(false);
    await chunks.return?.();
  });
});
