import { describe, expect, it } from 'vitest';
import type { ImageCall, InputImage } from '../../../src/pipeline/call.ts';
import type { RequestHead } from '../../../src/pipeline/exchange.ts';
import { callFingerprint } from '../../../src/transforms/call-fingerprint.ts';
import { makeCall, makeExchange } from '../../fixtures/exchange.ts';

function fingerprint(call: Partial<ImageCall> = {}, request: Partial<RequestHead> = {}): Promise<string> {
  return callFingerprint(makeExchange({}, { request }).request, makeCall(call));
}

const bytes = (text: string): InputImage => ({
  kind: 'image',
  payload: { kind: 'bytes', bytes: Buffer.from(text) },
  mediaType: 'image/png',
});
const base64 = (text: string): InputImage => {
  const slice = Buffer.from(Buffer.from(text).toString('base64'));
  const payload = { kind: 'base64', text: { slices: [slice], byteLength: slice.byteLength, escaped: false } } as const;
  return { kind: 'image', payload, mediaType: undefined };
};
const link = (url: string): InputImage => ({
  kind: 'image',
  payload: { kind: 'link', url, trust: 'caller' },
  mediaType: undefined,
});

describe('the fingerprint of a call', () => {
  it('is the same whatever the order of the members, and for members that are absent in one way or another', async () => {
    const one = await fingerprint({
      parameters: { n: 2, size: 'auto', seed: undefined },
      unknown: { a: 1, b: [{ x: 1, y: 2 }] },
    });
    const other = await fingerprint({ unknown: { b: [{ y: 2, x: 1 }], a: 1 }, parameters: { size: 'auto', n: 2 } });
    expect(other).toBe(one);
    expect(one).toMatch(/^[0-9a-f]{64}$/);
  });

  it('is the same for a picture in another form, and for the rules of the gateway', async () => {
    const one = await fingerprint({ images: [bytes('picture')] });
    expect(await fingerprint({ images: [base64('picture')] })).toBe(one);
    const inputRules = { maxPixels: 1, stripMetadata: true };
    expect(await fingerprint({ images: [bytes('picture')], inputRules })).toBe(one);
  });

  it('is another for everything that makes another answer', async () => {
    const all = await Promise.all([
      fingerprint(),
      fingerprint({ prompt: 'a lighthouse ' }),
      fingerprint({ model: 'other' }),
      fingerprint({ parameters: { n: 1 } }),
      fingerprint({ parameters: { seed: 1 } }),
      fingerprint({ stream: true }),
      fingerprint({ responseFormat: 'url' }),
      fingerprint({ responseFormat: 'b64_json' }),
      fingerprint({ fallbacks: ['a', 'b'] }),
      fingerprint({ fallbacks: ['b', 'a'] }),
      fingerprint({ unknown: { a: 1 } }),
      fingerprint({ unknown: { a: '1' } }),
      fingerprint({ unknown: { a: [1] } }),
      fingerprint({ unknown: { a: { members: [] } } }),
      fingerprint({ unknown: { a: {} } }),
      fingerprint({ unknown: JSON.parse('{"__proto__":{"a":1}}') as ImageCall['unknown'] }),
      fingerprint({ images: [bytes('one')] }),
      fingerprint({ images: [bytes('two')] }),
      fingerprint({ images: [bytes('one'), bytes('two')] }),
      fingerprint({ images: [bytes('two'), bytes('one')] }),
      fingerprint({ images: [bytes('one')], mask: bytes('two') }),
      fingerprint({ images: [link('https://a.example/one')] }),
      fingerprint({ images: [link('https://a.example/two')] }),
      fingerprint({ images: [{ kind: 'provider-file', id: 'https://a.example/one' }] }),
      fingerprint({}, { path: '/v1/openai/images/generations' }),
      fingerprint({}, { query: new URLSearchParams('embed_costs=true') }),
      fingerprint({}, { headers: { accept: 'image/*' } }),
    ]);
    expect(new Set(all).size).toBe(all.length);
  });

  it('does not depend on what has no part in the answer', async () => {
    const one = await fingerprint({}, { headers: { accept: 'image/png' }, query: new URLSearchParams('a=1&b=2') });
    const headers = { accept: ' image/*', 'content-type': 'multipart/form-data; boundary=x', 'x-request-id': 'other' };
    const query = new URLSearchParams('b=2&a=1');
    expect(await fingerprint({}, { headers, query, path: '/v1/images/generations?b=2&a=1' })).toBe(one);
  });
});
