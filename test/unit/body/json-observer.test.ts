import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createJsonObserver } from '../../../src/body/json-observer.ts';
import { bytewise, cut, cuts } from './pieces.ts';

const answer = Buffer.from(
  JSON.stringify({
    created: 1,
    data: [
      { b64_json: 'QUJD'.repeat(2000), revised_prompt: 'a fox' },
      { url: 'https://example.com/a.png', b64_json: null },
    ],
    size: '1024x1024',
    usage: { total_tokens: 5, input_tokens_details: { text_tokens: 2 } },
  }),
);

function observe(pieces: readonly Uint8Array[]) {
  const values: (readonly [path: string, value: unknown])[] = [];
  const texts: (readonly [path: string, head: string])[] = [];
  const ends: (readonly [path: string, byteLength: number])[] = [];
  const observer = createJsonObserver({
    longTextBytes: 100,
    onValue: (path, value) => values.push([path.join('.'), value]),
    onLongText: (path, head) => texts.push([path.join('.'), Buffer.from(head).toString()]),
    onLongTextEnd: (path, byteLength) => ends.push([path.join('.'), byteLength]),
  });
  for (const piece of pieces) observer.feed(piece);
  return { values, texts, ends, observation: observer.end() };
}

describe('createJsonObserver', () => {
  it('notes small values with their paths and counts long texts, however the document is cut', () => {
    const expected = {
      values: [
        ['created', 1],
        ['data.0.revised_prompt', 'a fox'],
        ['data.1.url', 'https://example.com/a.png'],
        ['data.1.b64_json', null],
        ['size', '1024x1024'],
        ['usage.total_tokens', 5],
        ['usage.input_tokens_details.text_tokens', 2],
      ],
      texts: [['data.0.b64_json', 'QUJD'.repeat(25)]],
      ends: [['data.0.b64_json', 8000]],
      observation: { complete: true, failure: undefined, longTexts: 1 },
    };
    fc.assert(
      fc.property(cuts, (positions) => {
        expect(observe(cut(answer, positions))).toEqual(expected);
      }),
    );
    expect(observe(bytewise(answer))).toEqual(expected);
  });

  it('says of every cut document that it is not complete', () => {
    for (let length = 0; length < answer.length; length += length < 60 || length > 8000 ? 1 : 499) {
      expect(observe([answer.subarray(0, length)]).observation.complete).toBe(false);
    }
  });

  it('gives up quietly on what is not JSON, and keeps what it saw', () => {
    const { values, observation } = observe([Buffer.from('{"a":1,"b"'), Buffer.from('?2}'), Buffer.from('{"c":3}')]);
    expect(values).toEqual([['a', 1]]);
    expect(observation).toMatchObject({ complete: false, failure: { reason: 'syntax' } });
  });

  it('gives up on names and numbers that are too long to be of interest', () => {
    expect(observe([Buffer.from('{"'), Buffer.alloc(100_000, 'k')]).observation.failure?.reason).toBe('too_large');
    expect(observe([Buffer.alloc(100_000, '1')]).observation.failure?.reason).toBe('too_large');
  });

  it('tells which long text the last chunk ended in', () => {
    const observer = createJsonObserver({ longTextBytes: 4 });
    observer.feed(Buffer.from('{"data":[{"b64_json":"012345'));
    expect(observer.inside).toEqual(['data', 0, 'b64_json']);
    observer.feed(Buffer.from('"'));
    expect(observer.inside).toBeUndefined();
  });

  it('lets an error of its listener through', () => {
    const failure = new Error('listener');
    const observer = createJsonObserver({
      onValue() {
        throw failure;
      },
    });
    expect(() => observer.feed(Buffer.from('[1]'))).toThrow(failure);
  });
});
