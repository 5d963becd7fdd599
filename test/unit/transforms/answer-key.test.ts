import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ImageCall } from '../../../src/pipeline/call.ts';
import type { RequestHead, Slots } from '../../../src/pipeline/exchange.ts';
import { anonymous, type Alias, type Catalogue, type Route } from '../../../src/pipeline/settings.ts';
import { compilePattern } from '../../../src/pattern.ts';
import { answerKey, type KeyOptions } from '../../../src/transforms/answer-key.ts';
import { createLinkSigner } from '../../../src/runtime/link-signer.ts';
import { Secret } from '../../../src/secret.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import {
  makeCapabilities,
  makeCall,
  makeEntity,
  makeExchange,
  makeOperation,
  makeRoute,
  makeStageEnv,
  makeTarget,
} from '../../fixtures/exchange.ts';
import { png } from '../../fixtures/pictures.ts';
import { asForm, asJson, prepareParse, type FormEntry, type SentBody } from './request-bodies.ts';

const options: KeyOptions = { scope: 'consumer', version: '1' };

interface Given extends Partial<Pick<Slots, 'caller' | 'candidates'>> {
  readonly options?: Partial<KeyOptions>;
  readonly catalogue?: Partial<Catalogue>;
  readonly route?: Partial<Route>;
  readonly request?: Partial<RequestHead>;
  readonly below?: string;
}

function keyOf(call: Partial<ImageCall> = {}, given: Given = {}): Promise<string> {
  const { caller = anonymous, candidates = [makeTarget()], catalogue = {}, request = {}, below = '' } = given;
  const route = makeRoute(given.route);
  const exchange = makeExchange({ caller, call: makeCall(call), candidates }, { route, request });
  return answerKey(exchange, makeStageEnv({ route, catalogue, below }), { ...options, ...given.options });
}

async function keyOfBody(body: SentBody): Promise<string> {
  const { exchange, run } = prepareParse(body);
  try {
    return await keyOf(await run());
  } finally {
    await exchange.finish();
  }
}

const word = fc.constantFrom('a lighthouse', 'a rock', 'ein Leuchtturm, ü', ' ');
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined, freq: 2 });

/** Members of a request as text, as a form has them. */
const members = fc
  .record({
    prompt: word,
    n: maybe(fc.constantFrom('1', '2', '4')),
    size: maybe(fc.constantFrom('auto', '1024x1024', '1024x1536')),
    quality: maybe(fc.constantFrom('low', 'high')),
    background: maybe(fc.constantFrom('opaque', 'transparent')),
    output_format: maybe(fc.constantFrom('png', 'jpeg')),
    output_compression: maybe(fc.constantFrom('0', '50', '100')),
    response_format: maybe(fc.constantFrom('url', 'b64_json')),
    seed: maybe(fc.constantFrom('1', '7')),
    style: maybe(fc.constantFrom('vivid', 'natural')),
    input_fidelity: maybe(fc.constantFrom('low', 'high')),
    picture: maybe(fc.constantFrom('one', 'other')),
  })
  .map((record) =>
    Object.entries(record).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]])),
  );

type Members = readonly (readonly [name: string, value: string])[];

const pictures: Readonly<Record<string, Buffer>> = { one: png(), other: Buffer.concat([png(), Buffer.from('tail')]) };
const numbers = new Set(['n', 'output_compression', 'seed']);
const pictureOf = (name: string): Buffer => pictures[name] ?? png();

function inJson(given: Members): SentBody {
  const document = given.map(([name, value]): [string, unknown] => {
    if (name === 'picture') return ['image', `data:image/png;base64,${pictureOf(value).toString('base64')}`];
    return [name, numbers.has(name) ? Number(value) : value];
  });
  return asJson(Object.fromEntries(document));
}

function inForm(given: Members): Promise<SentBody> {
  const entries = given.map(([name, value]): FormEntry =>
    name === 'picture' ? ['image[]', pictureOf(value)] : [name, value],
  );
  return asForm(entries);
}

/** What the members mean: one picture is what is made when nothing is said. */
const meaning = (given: Members): string =>
  given
    .filter(([name, value]) => !(name === 'n' && value === '1'))
    .map((entry) => entry.join('='))
    .toSorted()
    .join('&');

describe('the key of an answer', () => {
  it('is the same for equal calls, however they are spelt, and for no others', async () => {
    const spelling = fc.record({ form: fc.boolean(), order: fc.nat(), user: fc.boolean(), one: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(members, spelling), { minLength: 2, maxLength: 6 }), async (calls) => {
        const keys = new Map<string, string>();
        const meanings = new Map<string, string>();
        for (const [given, { form, order, user, one }] of calls) {
          const at = order % given.length;
          const hasN = given.some(([name]) => name === 'n');
          const spelt: Members = [
            ...given.slice(at),
            ...(user ? ([['user', `u${String(order)}`]] as const) : []),
            ...(one && !hasN ? ([['n', '1']] as const) : []),
            ...given.slice(0, at),
          ];
          const key = await keyOfBody(form ? await inForm(spelt) : inJson(spelt));
          const meant = meaning(given);
          expect([meant, keys.get(meant) ?? key]).toEqual([meant, key]);
          expect([key, meanings.get(key) ?? meant]).toEqual([key, meant]);
          keys.set(meant, key);
          meanings.set(key, meant);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is the same where the entity fills in what another caller has said', async () => {
    const generation = makeOperation({
      parameters: { size: '1024x1024', quality: 'high' },
      responseFormat: 'b64_json',
    });
    const entity = makeEntity({ operations: { generation, edition: makeOperation() } });
    const candidates = [makeTarget({ entity })];
    const said = { parameters: { quality: 'high', n: 1, user: 'u' }, responseFormat: 'b64_json' } as const;
    expect(await keyOf(said, { candidates })).toBe(await keyOf({}, { candidates }));
    expect(await keyOf({ parameters: { quality: 'low' } }, { candidates })).not.toBe(await keyOf({}, { candidates }));
    expect(await keyOf()).not.toBe(await keyOf({}, { candidates }));
  });

  it('is another for everything else that makes another answer, or is somebody else’s', async () => {
    const other = makeTarget({ entity: makeEntity({ id: 'other' }) });
    const all = [
      keyOf(),
      keyOf({ operation: 'edition' }),
      keyOf({ unknown: { strength: 1 } }),
      keyOf({ images: [{ kind: 'provider-file', id: 'file-1' }] }),
      keyOf({ images: [{ kind: 'provider-file', id: 'file-1' }], mask: { kind: 'provider-file', id: 'file-1' } }),
      keyOf({}, { candidates: [other] }),
      keyOf({}, { candidates: [makeTarget(), other] }),
      keyOf({}, { candidates: [other, makeTarget()] }),
      keyOf({}, { candidates: [makeTarget({ model: 'gpt-image-1' })] }),
      keyOf({}, { caller: makeCaller({ id: 'a' }) }),
      keyOf({}, { caller: makeCaller({ id: 'b' }) }),
      keyOf({}, { options: { scope: 'everyone' } }),
      keyOf({}, { options: { version: '2' } }),
      keyOf({}, { candidates: [makeTarget({ entity: makeEntity({ identity: 'moved' }) })] }),
      keyOf({}, { below: 'a watermark' }),
      keyOf({}, { route: { id: 'edit' } }),
      keyOf({}, { route: { decode: true } }),
      keyOf({}, { route: { urlMode: 'host' } }),
      keyOf({}, { route: { unsupportedParams: 'pass' } }),
      keyOf({}, { request: { query: new URLSearchParams('a=1') } }),
      keyOf({ inputRules: { maxPixels: 1, stripMetadata: true } }),
    ];
    const keys = await Promise.all(all);
    expect(new Set(keys).size).toBe(keys.length);
    const wanted = { headers: { accept: 'image/webp, */*' } };
    expect(await keyOf({}, { request: wanted })).toBe(await keyOf({}, { route: { decode: true } }));
  });

  it('is that of the callers for whom it is', async () => {
    const options = { scope: 'everyone' } as const;
    const one = await keyOf({}, { caller: makeCaller({ id: 'a' }), options });
    expect(await keyOf({}, { caller: makeCaller({ id: 'b' }), options })).toBe(one);
    // Nobody's consumer is called what stands for everyone.
    expect(await keyOf({}, { caller: makeCaller({ id: 'everyone' }) })).not.toBe(one);
  });

  it('does not mind the order of an alias’s targets where they take turns', async () => {
    const target = (id: string) => makeTarget({ entity: makeEntity({ id }), alias: 'best' });
    const alias = (strategy: Alias['strategy']): Partial<Catalogue> => ({
      aliases: new Map([['best', { name: 'best', strategy, sticky: undefined, targets: [] }]]),
    });
    const [there, back] = [
      [target('a'), target('b')],
      [target('b'), target('a')],
    ];
    const turns = { catalogue: alias('round_robin') };
    expect(await keyOf({}, { ...turns, candidates: there })).toBe(await keyOf({}, { ...turns, candidates: back }));
    const inOrder = { catalogue: alias('failover') };
    const [one, other] = [
      { ...inOrder, candidates: there },
      { ...inOrder, candidates: back },
    ];
    expect(await keyOf({}, one)).not.toBe(await keyOf({}, other));
    const fallbacks = { ...turns, candidates: [...there, makeTarget()] };
    expect(await keyOf({}, fallbacks)).not.toBe(await keyOf({}, { ...turns, candidates: [makeTarget(), ...there] }));
  });

  it('depends on the address at which links are made, where there may be any', async () => {
    const at = (host: string) => ({ request: { headers: { host } } });
    const link = { responseFormat: 'url' } as const;
    expect(await keyOf({}, at('a.test'))).toBe(await keyOf({}, at('b.test')));
    expect(await keyOf(link, at('a.test'))).not.toBe(await keyOf(link, at('b.test')));
    const hosting = { publicUrl: 'https://pictures.test', path: undefined, signer: undefined };
    const fixed = (host: string) => ({ ...at(host), catalogue: { hosting } });
    expect(await keyOf(link, fixed('a.test'))).toBe(await keyOf(link, fixed('b.test')));
    // What was signed with another secret, or not at all, may not open any more; nor what lay under another path.
    const signed = (secret: string) => {
      const signer = createLinkSigner({ secrets: [new Secret(secret)], lifetimeMs: 60_000 });
      return { catalogue: { hosting: { ...hosting, signer } } };
    };
    const moved = { catalogue: { hosting: { ...hosting, path: '/pictures/:name' } } };
    const ways = [fixed('a.test'), signed('one'), signed('other'), moved];
    expect(new Set(await Promise.all(ways.map((way) => keyOf(link, way)))).size).toBe(ways.length);
    expect(new Set(await Promise.all(ways.map((way) => keyOf({}, way)))).size).toBe(1);
    const provider = { ...makeEntity().provider, capabilities: () => makeCapabilities({ nativeForm: 'url' }) };
    const candidates = [makeTarget({ entity: makeEntity({ provider }) })];
    expect(await keyOf({}, { candidates, ...at('a.test') })).not.toBe(await keyOf({}, { candidates, ...at('b.test') }));
  });

  it('leaves out targets that the caller may not use', async () => {
    const spare = makeTarget({ entity: makeEntity({ id: 'spare' }) });
    const caller = makeCaller({ models: [{ include: [], exclude: [compilePattern('spare/.*')] }] });
    const [both, one] = [[makeTarget(), spare], [makeTarget()]];
    expect(await keyOf({}, { caller, candidates: both })).toBe(await keyOf({}, { caller, candidates: one }));
  });
});
