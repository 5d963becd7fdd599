import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import { createOpenAiDialect } from '../../../src/providers/openai-dialect.ts';
import type { ProviderEvent } from '../../../src/providers/provider.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { sourceOf, stream } from '../body/pieces.ts';

const dialect = createOpenAiDialect({ url: () => 'https://provider.test' });
const picture = png();

const usage = { total_tokens: 12, input_tokens: 5, output_tokens: 7 };
const told = { created_at: 1_763_000_000, size: '8x8', quality: 'low', background: 'opaque', output_format: 'png' };

function event(type: string, members: object, name: string | undefined = type): string {
  return `${name === '' ? '' : `event: ${name}\n`}data: ${JSON.stringify({ type, ...members })}\n\n`;
}
const partial = (index: number, bytes: Buffer = picture): string =>
  event('image_generation.partial_image', {
    b64_json: bytes.toString('base64'),
    ...told,
    partial_image_index: index,
  });
const completed = (bytes: Buffer = picture): string =>
  event('image_generation.completed', { b64_json: bytes.toString('base64'), ...told, usage });

const replyOf = (text: string, type = 'text/event-stream') => ({
  status: 200,
  headers: { 'content-type': type },
  body: sourceOf(stream([Buffer.from(text)])),
});

async function eventsIn(text: string): Promise<readonly ProviderEvent[]> {
  const found: ProviderEvent[] = [];
  for await (const each of dialect.events(replyOf(text), makeTargetCall()) ?? []) found.push(each);
  return found;
}

async function bytesOf(each: ProviderEvent | undefined): Promise<Uint8Array> {
  if (each === undefined || each.kind === 'fault') throw new Error('this is no picture');
  return collectPayload(each.image.payload, 10_000_000);
}

describe('a streamed answer of the OpenAI dialect', () => {
  it('has its pictures one by one, with what is told of them, byte for byte', async () => {
    const large = randomPng(1_000_000);
    const [first, second, last, ...more] = await eventsIn(partial(0, large) + partial(1) + completed(large));
    expect(more).toEqual([]);
    const effective = { size: '8x8', quality: 'low', background: 'opaque', outputFormat: 'png' };
    expect(first).toMatchObject({ kind: 'partial', index: 0, created: 1_763_000_000, effective });
    expect(second).toMatchObject({ kind: 'partial', index: 1 });
    expect(last).toMatchObject({ kind: 'completed', effective, usage: { totalTokens: 12 } });
    expect(Buffer.compare(await bytesOf(first), large)).toBe(0);
    expect(Buffer.compare(await bytesOf(last), large)).toBe(0);
  });

  it('is read where the name stands in the data only, and up to [DONE]', async () => {
    const text = event('image_edit.completed', { b64_json: picture.toString('base64') }, '');
    const events = await eventsIn(`: hello\n\n${text}data: [DONE]\n\ndata: never read\n\n`);
    expect(events.map(({ kind }) => kind)).toEqual(['completed']);
  });

  it('may go out as it came, unless its data has several lines', async () => {
    const [one, two] = await eventsIn(
      completed() + `event: image_generation.completed\ndata: {"b64_json":"aGk=",\ndata: "size":"1x1"}\n\n`,
    );
    expect(one).toMatchObject({ wire: { type: 'image_generation.completed' } });
    expect(two).toMatchObject({ kind: 'completed', wire: undefined });
  });

  it('passes over kinds of events that it does not know', async () => {
    const text = event('image_generation.thinking', { note: 1 }) + event('keepalive', {}) + completed();
    expect(await eventsIn(text)).toHaveLength(1);
  });

  it.each([
    ['in an error event', event('error', { error: { message: 'No.', type: 'server_error', code: null } })],
    ['as the bare error', 'event: error\ndata: {"message":"No.","type":"server_error","code":"server_error"}\n\n'],
    ['in an event without a name', 'data: {"error":{"message":"No.","type":"server_error"}}\n\n'],
  ])('ends with what the vendor says has failed, %s', async (_, text) => {
    const [first, fault, ...more] = await eventsIn(partial(0) + text + completed());
    expect([first?.kind, fault?.kind, more]).toEqual(['partial', 'fault', []]);
    expect(fault).toMatchObject({ error: { code: 'upstream_error', status: 502, cause: { message: 'No.' } } });
  });

  it.each([
    [{ type: 'image_generation_user_error', code: 'moderation_blocked' }, 400, 'content_policy_violation'],
    [{ type: 'invalid_request_error', code: 'invalid_value', param: 'size' }, 400, 'invalid_value'],
    [{ type: 'rate_limit_error', code: 'rate_limit_exceeded' }, 429, 'rate_limit_exceeded'],
    [{ type: 'insufficient_quota', code: 'insufficient_quota' }, 429, 'rate_limit_exceeded'],
    [{ type: 'invalid_request_error', code: 'invalid_api_key' }, 502, 'upstream_auth_failed'],
    [{ code: 503 }, 502, 'upstream_error'],
    [{ status: 413, type: 'x' }, 413, 'payload_too_large'],
  ])('knows what %o means', async (error, status, code) => {
    const [fault] = await eventsIn(event('error', { error: { message: 'No.', ...error } }));
    expect(fault).toMatchObject({ kind: 'fault', error: { status, code } });
  });

  it.each([
    ['no JSON', 'event: image_generation.completed\ndata: nothing\n\n'],
    ['a picture that is cut', completed().slice(0, 120)],
    ['no picture', event('image_generation.completed', told)],
    ['a list', 'event: image_generation.completed\ndata: []\n\n'],
  ])('is refused where an event holds %s', async (_, text) => {
    await expect(eventsIn(text)).rejects.toMatchObject({ code: 'upstream_invalid_response' });
  });

  it('is an ordinary answer to who wants one', async () => {
    const answer = await dialect.decode(replyOf(partial(0) + completed() + completed()), makeTargetCall());
    expect(answer).toMatchObject({
      created: 1_763_000_000,
      usage: { totalTokens: 12 },
      effective: { size: '8x8', quality: 'low' },
    });
    expect(answer.images).toHaveLength(2);
  });

  it.each([
    ['', 'upstream_invalid_response'],
    [partial(0), 'upstream_invalid_response'],
    [event('error', { error: { message: 'No.', code: 'moderation_blocked' } }), 'content_policy_violation'],
  ])('is none without a finished picture', async (text, code) => {
    const failing = dialect.decode(replyOf(text), makeTargetCall());
    await expect(failing).rejects.toBeInstanceOf(GatewayError);
    await expect(failing).rejects.toMatchObject({ code });
  });

  it('is none of another type', () => {
    expect(dialect.events(replyOf('{}', 'application/json'), makeTargetCall())).toBeUndefined();
  });
});
