import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collect, type ByteSource } from '../../../src/body/byte-source.ts';
import { payloadBytes } from '../../../src/images/convert-payload.ts';
import type { BodyResponse } from '../../../src/pipeline/response.ts';
import { createAnswerRecording, type AnswerRecording } from '../../../src/transforms/answer-recording.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pinhole-recording-'));
});
afterEach(() => rm(directory, { recursive: true }));

const start = (maxBytes = 10_000): AnswerRecording =>
  createAnswerRecording({ directory, memoryBytes: 100, maxBytes, error: (error) => error });

const headers = new Map([
  ['x-request-id', 'req_1'],
  ['server-timing', 'parse;dur=1'],
  ['x-pinhole-entity', 'main'],
]);

function answerOf(chunks: readonly string[], end?: Error): BodyResponse & { readonly body: ByteSource } {
  const body: ByteSource = {
    length: undefined,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) yield Buffer.from(chunk);
      if (end !== undefined) throw end;
    },
  };
  return { kind: 'body', status: 200, headers: { 'content-type': 'text/plain' }, body };
}

const read = async (body: BodyResponse['body']): Promise<string> =>
  Buffer.from(body instanceof Uint8Array ? body : await collect(body)).toString();

/** What was recorded, as text. */
async function recorded(recording: AnswerRecording): Promise<string> {
  const answer = await recording.finish();
  if (answer.kind !== 'answer') return answer.kind;
  return Buffer.from(await collect(payloadBytes(answer.body))).toString();
}

describe('the recording of an answer', () => {
  it.each([
    ['in memory', ['a', 'b', 'c']],
    ['in a file', Array.from({ length: 50 }, (_, index) => `chunk ${index}; `)],
  ])('has what has gone out, %s, with the headers that are about the answer', async (_where, chunks) => {
    const recording = start();
    const { body } = recording.answer(answerOf(chunks), headers);
    expect(await read(body)).toBe(chunks.join(''));
    expect(await recording.finish()).toMatchObject({
      kind: 'answer',
      status: 200,
      headers: { 'content-type': 'text/plain', 'x-pinhole-entity': 'main' },
    });
    expect(await recorded(recording)).toBe(chunks.join(''));
    await recording.discard();
  });

  it('has none of the headers that are about the request', async () => {
    const recording = start();
    recording.answer({ ...answerOf([]), body: Buffer.from('x') }, headers);
    const answer = await recording.finish();
    expect(answer.kind === 'answer' && Object.keys(answer.headers)).toEqual(['x-pinhole-entity', 'content-type']);
  });

  it('goes on where somebody has stopped reading, who may also give it up', async () => {
    const recording = start();
    const { body } = recording.answer(answerOf(['a', 'b', 'c']), headers);
    if (body instanceof Uint8Array) throw new TypeError('bytes');
    for await (const chunk of body) {
      expect(String(chunk)).toBe('a');
      break;
    }
    body.cancel();
    expect(await recorded(recording)).toBe('unkept');
    expect(await read(body)).toBe('bc');
    expect(await recorded(recording)).toBe('abc');
  });

  it('never takes what broke off for an answer', async () => {
    const recording = start();
    const { body } = recording.answer(answerOf(['a'], new Error('broken')), headers);
    await expect(read(body)).rejects.toThrow('broken');
    await expect(read(body)).rejects.toThrow('broken');
    expect(await recorded(recording)).toBe('unkept');
  });

  it('leaves whole what it writes down, also where a chunk has its memory to itself', async () => {
    const recording = start(1_000_000);
    const chunks = Array.from({ length: 5 }, (_, index) => new Uint8Array(65_536).fill(index));
    async function* each(): AsyncGenerator<Uint8Array, void> {
      yield* chunks;
    }
    const source = { length: undefined, cancel() {}, [Symbol.asyncIterator]: each };
    const { body } = recording.answer({ kind: 'body', status: 200, headers: {}, body: source }, headers);
    if (body instanceof Uint8Array) throw new TypeError('bytes');
    const sent = Buffer.from(await collect(body));
    expect(sent.equals(Buffer.concat(chunks))).toBe(true);
    const answer = await recording.finish();
    if (answer.kind !== 'answer') throw new TypeError(answer.kind);
    expect(Buffer.from(await collect(payloadBytes(answer.body))).equals(sent)).toBe(true);
  });

  it('lets an answer out that is too large for it', async () => {
    const recording = start(10);
    const { body } = recording.answer(answerOf(['12345678', '12345678', '1']), headers);
    expect(await read(body)).toBe('12345678123456781');
    expect(await recording.finish()).toMatchObject({ kind: 'unkept', cause: { message: /larger than 10 bytes/ } });
  });

  it('has the answer that took the place of one that failed on its way', async () => {
    const recording = start();
    const { body } = recording.answer(answerOf(['a'], new Error('broken')), headers);
    await expect(read(body)).rejects.toThrow('broken');
    recording.answer({ kind: 'body', status: 502, headers: {}, body: Buffer.from('an error') }, headers);
    expect(await recording.finish()).toMatchObject({ kind: 'answer', status: 502 });
    expect(await recorded(recording)).toBe('an error');
  });

  it('is nothing when nothing has gone out', async () => {
    expect(await recorded(start())).toBe('nothing');
  });
});
