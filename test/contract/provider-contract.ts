/** What every provider owes the gateway. A provider's own test calls this suite with its fixtures. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/body/byte-source.ts';
import { GatewayError, type ErrorCode } from '../../src/errors.ts';
import { isJsonObject } from '../../src/json.ts';
import type { ImageParameters, Operation, TargetCall } from '../../src/pipeline/call.ts';
import type { EffectiveParameters, ImageAnswer, ImageUsage } from '../../src/pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../../src/pipeline/upstream.ts';
import type { Asked, Provider, ProviderDefinition } from '../../src/providers/provider.ts';
import { Secret } from '../../src/secret.ts';
import { deepFreeze } from './deep-freeze.ts';

export interface ProviderContract<Config extends object> {
  readonly definition: ProviderDefinition<Config>;
  /** The entity's `config`, with defaults. */
  readonly settings: Config;
  /** At least one with an answer. */
  readonly fixtures: readonly ProviderFixture[];
  /** Values of parameters for which this provider's request differs from one without them, where the usual ones do not do. */
  readonly samples?: Partial<ImageParameters>;
  /** What every address begins with, where it is not the connection's `base_url`. */
  readonly base?: string;
  /** For a vendor whose answer without any picture is a refusal of the content. */
  readonly emptyIsRefusal?: boolean;
}

/** A call, the exact request that it becomes, and what the provider's answer then means. */
export interface ProviderFixture {
  readonly name: string;
  readonly call: TargetCall;
  readonly request: WireRequest;
  /** Parameters that are left out, in wire spelling. */
  readonly dropped?: readonly string[];
  /** The answers before the last, and what is asked after each of them: for jobs. */
  readonly steps?: readonly JobStep[];
  readonly reply?: RecordedReply;
  /** What a 2xx reply holds. */
  readonly result?: ExpectedAnswer;
  /** What any other reply means, or a refusal that came as a 200. */
  readonly fault?: { readonly code: ErrorCode; readonly status?: number; readonly message?: string };
}

/** An answer that is not the last, and what is asked next. */
export interface JobStep {
  readonly reply: RecordedReply;
  readonly request: WireRequest;
  /** Whether it is the next step rather than a look at how far the job is. */
  readonly now?: boolean;
  /** Whether it only fetches what has been made. */
  readonly isMade?: boolean;
  /** The request that would end the job from here on. */
  readonly cancel?: WireRequest;
}

/** An answer as it was recorded from the vendor. */
export interface RecordedReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A document is sent as JSON. */
  readonly body: object | string | Uint8Array;
}

export interface ExpectedAnswer {
  readonly created?: number | undefined;
  readonly images: readonly { readonly bytes?: Uint8Array; readonly url?: string; readonly revisedPrompt?: string }[];
  readonly usage?: ImageUsage | undefined;
  readonly effective?: EffectiveParameters;
  readonly costNanoUsd?: number;
}

const token = new Secret('sk-contract-6c0f2e');

/** Answers that hold no pictures, each wrong in its own way. */
const garbage: readonly string[] = [
  '',
  'null',
  '[]',
  '{}',
  '"text"',
  '{"data":null}',
  '{"data":[]}',
  '{"data":[null]}',
  '{"data":[{}]}',
  '{"data":[{"b64_json":null,"url":null}]}',
  '{"data":[{"b64_json":7}]}',
  '{"data":{"b64_json":"aGk="}}',
  '{"data":[{"b64_json":"aGk=',
  '<html><body>502 Bad Gateway</body></html>',
  `${'['.repeat(5000)}${']'.repeat(5000)}`,
  '\u0000\ufffd',
];

/** Registers the suite. */
export function providerContract<Config extends object>(contract: ProviderContract<Config>): void {
  const { definition, settings, fixtures } = contract;
  const provider = definition.create(deepFreeze(settings));
  const [first] = fixtures;
  if (first === undefined) throw new Error('a provider needs at least one fixture');
  const { base = baseUrlOf(settings) } = contract;

  describe(`the provider ${definition.name}`, () => {
    describe.each(fixtures.map((fixture) => [fixture.name, fixture] as const))('with %s', (_, fixture) => {
      const call = deepFreeze(fixture.call);

      it('promises the operation', () => {
        expect(provider.capabilities(call.model, call.operation)).toBeDefined();
      });

      it('encodes exactly the recorded request', () => {
        expect(provider.encode(call).request).toEqual(fixture.request);
        expect(provider.encode(call).dropped).toEqual(fixture.dropped ?? []);
      });

      it('encodes the same call to the same request each time', () => {
        expect(provider.encode(call)).toEqual(provider.encode(call));
      });

      it('stays under the connection’s base', () => {
        if (provider.origin === undefined) return;
        const { url } = provider.encode(call).request;
        expect(new URL(url).origin).toBe(new URL(provider.origin).origin);
        if (base !== undefined) expect(url.startsWith(`${base.replace(/\/+$/, '')}/`)).toBe(true);
      });

      it('keeps credentials out of the request', () => {
        const credentialHeaders = Object.keys(provider.authorise(token));
        const { request } = provider.encode(call);
        for (const name of credentialHeaders) expect(request.headers).not.toHaveProperty([name]);
        for (const name of Object.keys(request.headers)) expect(name).toBe(name.toLowerCase());
      });

      const { reply, steps = [], result, fault } = fixture;
      if (steps.length > 0)
        it('asks on until the job is ready', async () => {
          let asked: Asked = { call, request: provider.encode(call).request, state: undefined };
          for (const step of steps) {
            const outcome = await provider.poll?.(replyOf(step.reply), asked);
            if (outcome?.kind !== 'again') throw new Error('the provider asks nothing more');
            expect(outcome.request).toEqual(step.request);
            expect(outcome.now ?? false).toBe(step.now ?? false);
            expect(outcome.isMade ?? false).toBe(step.isMade ?? false);
            if (step.cancel !== undefined) expect(outcome.cancel).toEqual(step.cancel);
            for (const name of Object.keys(provider.authorise(token))) {
              expect(outcome.request.headers).not.toHaveProperty([name]);
            }
            asked = { call, request: outcome.request, state: outcome.state };
          }
        });
      if (reply !== undefined && result !== undefined) {
        it('decodes the recorded answer', async () => {
          const answer = await finished(provider, fixture, reply);
          expect(answer.images.map(shown)).toEqual(result.images.map((image) => ({ ...image })));
          expect(answer.usage).toEqual(result.usage);
          expect(defined(answer.effective)).toEqual(defined(result.effective ?? {}));
          if (result.created !== undefined) expect(answer.created).toBe(result.created);
          expect(answer.costNanoUsd).toBe(result.costNanoUsd);
        });

        it('takes null and absent members for the same', async () => {
          if (typeof reply.body === 'string' || reply.body instanceof Uint8Array) return;
          for (const [withNull, without] of nullAndAbsent(reply.body)) {
            const outcomes = await Promise.all(
              [withNull, without].map((body) => outcomeOf(finished(provider, fixture, { ...reply, body }))),
            );
            expect(outcomes[0]).toEqual(outcomes[1]);
          }
        });
      }
      if (reply !== undefined && fault !== undefined) {
        it('gives the recorded failure its meaning', async () => {
          const ok = reply.status >= 200 && reply.status < 300;
          const error = ok ? await outcomeOf(finished(provider, fixture, reply)) : await provider.fault(replyOf(reply));
          expect(error).toBeInstanceOf(GatewayError);
          expect(error).toMatchObject(fault);
        });
      }
    });

    it.each(garbage.map((body) => [body.slice(0, 60), body]))('finds no pictures in %j', async (_, body) => {
      const errors = [
        await outcomeOf(provider.decode(replyOf({ status: 200, body }), first.call)),
        await outcomeOf(finished(provider, first, { status: 200, body })),
      ];
      for (const error of errors) {
        expect(error).toBeInstanceOf(GatewayError);
        const isEmpty = contract.emptyIsRefusal === true && body.includes(':[]');
        expect(error).toMatchObject({ code: isEmpty ? 'content_policy_violation' : 'upstream_invalid_response' });
      }
    });

    describe.each(operationsOf(fixtures))('in %s', (operation, call) => {
      const capabilities = provider.capabilities(call.model, operation);

      it('does something with each parameter that it promises', () => {
        const plain: TargetCall = { ...call, parameters: {} };
        const samples = { ...usualSamples, ...contract.samples };
        const idle = Object.keys(capabilities?.parameters ?? {}).filter((name) => {
          if (name === 'n' && capabilities?.maxImages === 1) return false;
          const parameters = { [name]: samples[name as keyof ImageParameters] };
          return isDeepStrictEqual(provider.encode({ ...plain, parameters }), provider.encode(plain));
        });
        expect(idle).toEqual([]);
      });

      const { further = [] } = capabilities ?? {};
      const [promised] = further === 'any' ? ['some_member'] : further;
      if (promised !== undefined)
        it('sends the further members that it promises', () => {
          const { request } = provider.encode({ ...call, unknown: { [promised]: 'a-telling-value' } });
          expect(JSON.stringify(request)).toContain('a-telling-value');
        });
    });

    it.each(['.', '..', '../x', '../../x', 'a/../../x', 'a/..', '..\\x', '%2e%2e/x', 'x?y=z', 'x#y', '\ud800', 'a b'])(
      'is not led elsewhere by a model of the name %j',
      (model) => {
        if (provider.origin === undefined || base === undefined) return;
        const home = new URL(`${base.replace(/\/+$/, '')}/`);
        for (const [operation, call] of operationsOf(fixtures)) {
          if (provider.capabilities(model, operation) === undefined) continue;
          try {
            const url = new URL(provider.encode({ ...call, model }).request.url);
            expect([url.origin, url.hash]).toEqual([home.origin, '']);
            expect(url.pathname.startsWith(home.pathname) && url.pathname !== home.pathname).toBe(true);
            expect(url.searchParams.has('y')).toBe(false);
          } catch (error) {
            expect(error).toBeInstanceOf(GatewayError);
            expect(error).toMatchObject({ code: expect.not.stringMatching('internal_error') });
          }
        }
      },
    );

    it.each([302, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])(
      'gives every answer of status %i a meaning, whatever its body',
      async (status) => {
        for (const body of garbage) {
          const error = await provider.fault(replyOf({ status, body }));
          expect(error).toBeInstanceOf(GatewayError);
          expect(error.status).toBeGreaterThanOrEqual(400);
          expect(error.code).not.toBe('internal_error');
        }
      },
    );

    it('passes an answer’s own failure on', async () => {
      const broken = new GatewayError('upstream_error', 'The connection broke.');
      const body = {
        length: undefined,
        cancel() {},
        [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(broken) }),
      };
      const reply = { status: 200, headers: {}, body };
      expect(await outcomeOf(provider.decode(reply, first.call))).toBe(broken);
    });

    it('takes a missing token, and shows one only in headers', () => {
      expect(Object.values(provider.authorise(undefined)).join()).not.toContain('undefined');
      for (const name of Object.keys(provider.authorise(token))) expect(name).toBe(name.toLowerCase());
    });
  });
}

const usualSamples: Required<ImageParameters> = {
  n: 2,
  size: '1536x1024',
  quality: 'high',
  style: 'vivid',
  background: 'transparent',
  moderation: 'low',
  outputFormat: 'jpeg',
  outputCompression: 80,
  inputFidelity: 'high',
  user: 'u-1',
  seed: 7,
};

/** The operations that the fixtures show, each with a call for it. */
function operationsOf(fixtures: readonly ProviderFixture[]): (readonly [Operation, TargetCall])[] {
  const calls = new Map<Operation, TargetCall>();
  for (const { call } of fixtures) if (!calls.has(call.operation)) calls.set(call.operation, call);
  return [...calls];
}

/** The answer to a fixture's call, its job followed to the end, of which this is the last reply. */
async function finished(provider: Provider, fixture: ProviderFixture, last: RecordedReply): Promise<ImageAnswer> {
  const { call, steps = [] } = fixture;
  if (provider.poll === undefined) return provider.decode(replyOf(last), call);
  let asked: Asked = { call, request: provider.encode(call).request, state: undefined };
  for (const { reply } of [...steps, { reply: last }]) {
    const outcome = await provider.poll(replyOf(reply), asked);
    if (outcome.kind === 'done') return provider.decode(outcome.reply, call);
    asked = { call, request: outcome.request, state: outcome.state };
  }
  throw new GatewayError('upstream_timeout', 'The job is not ready yet.');
}

function baseUrlOf(settings: object): string | undefined {
  const connection: unknown = 'connection' in settings ? settings.connection : undefined;
  const base = isJsonObject(connection) ? connection['base_url'] : undefined;
  return typeof base === 'string' ? base : undefined;
}

function replyOf({ status, headers = {}, body }: RecordedReply): UpstreamReply {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: bytesSource(bytes) };
}

/** A picture in a form that can be compared. */
function shown({ payload, revisedPrompt }: ImageAnswer['images'][number]): ExpectedAnswer['images'][number] {
  const words = revisedPrompt === undefined ? {} : { revisedPrompt };
  if (payload.kind === 'link') return { url: payload.url, ...words };
  if (payload.kind === 'bytes') return { bytes: Buffer.from(payload.bytes), ...words };
  if (payload.kind === 'base64') {
    return { bytes: Buffer.from(Buffer.concat(payload.text.slices).toString('ascii'), 'base64'), ...words };
  }
  throw new Error(`a provider makes no payload of the kind ${payload.kind}`);
}

function defined(parameters: object): object {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));
}

/** The document with one member null, and without it, for each member of it and of its items. */
function* nullAndAbsent(document: object): Generator<readonly [object, object]> {
  for (const [name, value] of Object.entries(document)) {
    const others = Object.entries(document).filter(([other]) => other !== name);
    yield [{ ...document, [name]: null }, Object.fromEntries(others)];
    if (!Array.isArray(value)) continue;
    for (const [index, item] of value.entries()) {
      if (typeof item !== 'object' || item === null) continue;
      for (const [withNull, absent] of nullAndAbsent(item)) {
        yield [
          { ...document, [name]: value.with(index, withNull) },
          { ...document, [name]: value.with(index, absent) },
        ];
      }
    }
  }
}

/** What a promise came to: its value, or what it was rejected with. */
async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}
