import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isEventStream, readEventStream } from '../../../src/body/event-stream.ts';
import { bytewise, cut, cuts, stream } from './pieces.ts';

type Shown = readonly [name: string, data: string];

async function eventsIn(pieces: readonly Uint8Array[]): Promise<readonly Shown[]> {
  const found: Shown[] = [];
  for await (const { name, data, byteLength } of readEventStream(stream(pieces))) {
    const whole = Buffer.concat(data);
    expect(whole.byteLength).toBe(byteLength);
    found.push([name, whole.toString('utf8')]);
  }
  return found;
}

const cases: readonly (readonly [about: string, text: string, events: readonly Shown[]])[] = [
  ['an event with a name', 'event: a\ndata: {"x":1}\n\n', [['a', '{"x":1}']]],
  ['an event without one', 'data: x\n\n', [['message', 'x']]],
  ['several', 'event: a\ndata: 1\n\nevent: b\ndata: 2\n\n', [['a', '1'], ['b', '2']]], // prettier-ignore
  ['a name that holds for one event only', 'event: a\ndata: 1\n\ndata: 2\n\n', [['a', '1'], ['message', '2']]], // prettier-ignore
  ['the last of two names', 'event: a\nevent: b\ndata: 1\n\n', [['b', '1']]],
  ['several lines of data', 'data: 1\ndata: 2\ndata:\ndata\n\n', [['message', '1\n2\n\n']]],
  ['one space and no more taken off', 'data:1\n\ndata: 2\n\ndata:  3\n\n', [['message', '1'], ['message', '2'], ['message', ' 3']]], // prettier-ignore
  ['line feeds and carriage returns of every kind', 'data: 1\r\n\r\ndata: 2\r\rdata: 3\n\ndata: 4\r\n\n', [['message', '1'], ['message', '2'], ['message', '3'], ['message', '4']]], // prettier-ignore
  ['comments and other fields passed over', ': ping\n\n:\n\nid: 7\nretry: 10\ndatab: no\nevents: no\nda: no\ndata: 1\n\n', [['message', '1']]], // prettier-ignore
  ['no event without data', 'event: a\n\nevent: b\ndata:\n\ndata: 1\n\n', [['message', '1']]],
  ['colons in the data', 'data: a: b:c\n\n', [['message', 'a: b:c']]],
  ['a byte order mark before everything', '\u{feff}data: 1\n\n', [['message', '1']]],
  ['a last event without its blank line', 'data: 1\n\nevent: b\ndata: 2', [['message', '1'], ['b', '2']]], // prettier-ignore
  ['a last line without its end', 'event: b\ndata: 2\n', [['b', '2']]],
  ['a long line that is no field', `${'x'.repeat(9000)}\ndata: 1\n\n`, [['message', '1']]],
  ['a name that is cut', `event: ${'n'.repeat(300)}\ndata: 1\n\n`, [['n'.repeat(256), '1']]],
  ['letters beyond ASCII', 'event: ä\ndata: 🦊\n\n', [['ä', '🦊']]],
  ['nothing', '', []],
];

describe('server-sent events', () => {
  it.each(cases)('have %s', async (_, text, events) => {
    expect(await eventsIn([Buffer.from(text)])).toEqual(events);
    expect(await eventsIn(bytewise(Buffer.from(text)))).toEqual(events);
  });

  it('are the same however they are cut', async () => {
    const all = cases.map(([, text]) => `${text}\n\n`).join('');
    const whole = await eventsIn([Buffer.from(all)]);
    await fc.assert(
      fc.asyncProperty(cuts, async (positions) => {
        expect(await eventsIn(cut(Buffer.from(all), positions))).toEqual(whole);
      }),
    );
  });

  it('come one by one: no chunk is asked for before its events are taken', async () => {
    let asked = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 3; index += 1) {
        asked += 1;
        yield Buffer.from(`data: ${String(index)}\n\n`);
      }
    }
    const events = readEventStream(source());
    await events.next();
    expect(asked).toBe(1);
    await events.next();
    expect(asked).toBe(2);
  });

  it.each([
    ['many short lines of one kind', '\r'.repeat(2_000_000)],
    ['many empty events', 'data:\n\n'.repeat(300_000)],
    ['a line that does not end', `data: ${'x'.repeat(4_000_000)}`],
    ['many lines of data', 'data: x\n'.repeat(300_000)],
  ])('take time in proportion to their bytes: %s', async (_, text) => {
    const bytes = Buffer.from(text);
    const startedAtMs = performance.now();
    const events = readEventStream(stream([bytes]));
    while ((await events.next()).done !== true);
    // A search that begins anew for each line would take minutes.
    expect(performance.now() - startedAtMs).toBeLessThan(5000);
  });

  it.each([
    ['text/event-stream', true],
    ['text/event-stream; charset=utf-8', true],
    ['Text/Event-Stream;charset=utf-8', true],
    ['application/json', false],
    ['text/event-streams', false],
    [undefined, false],
  ])('are told by the media type %s', (type, is) => {
    expect(isEventStream(type === undefined ? {} : { 'content-type': type })).toBe(is);
  });
});
