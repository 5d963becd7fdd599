/**
 * What every vendor must do when OpenAI's client calls it through a gateway: the real SDK, a real gateway process, and a
 * fake of the vendor that refuses what the vendor refuses.
 */
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Script } from '../fixtures/fake-server.ts';
import { gatewayConfig } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { dataUri, formatOf, png, sha256 } from '../fixtures/pictures.ts';
import { postJson } from '../fixtures/setting.ts';
import type { FakeVendor, VendorRequest } from '../fixtures/vendors/fake-vendor.ts';

export interface VendorSuite {
  /** The name of the provider in the file. */
  readonly provider: string;
  /**
   * A strict fake. It refuses unknown members, wrong credentials, wrong paths and bad sizes in the vendor's words, accepts
   * the credential `upstreamKey`, and refuses the content of every prompt with the word `forbidden` in it, in whichever way
   * the vendor does it (also inside a 200, or as a job that fails).
   */
  start(): Promise<FakeVendor>;
  /** The entity's `connection` for this fake; `token` is `upstreamKey` unless the vendor's has another form. */
  connection(fake: FakeVendor): Readonly<Record<string, unknown>>;
  /** Members of the entity's `config` besides `connection` and `options`. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly generation: { readonly model: string };
  readonly edition?: { readonly model: string };
  /** The path of the requests that ask for pictures: not those that look how far a job is. */
  readonly pictures: RegExp;
  promptOf(request: VendorRequest): unknown;
  /** The input pictures, as they reached the fake. */
  inputsOf?(request: VendorRequest): readonly Buffer[];
  /** The links to input pictures, for a vendor that takes no bytes. */
  linksOf?(request: VendorRequest): readonly string[];
  /** How the vendor says that there were too many requests, with a delay of 7 seconds if it can say one. */
  readonly limit: Script;
  readonly saysDelay: boolean;
  /** How the vendor says that a parameter of the request has a bad value. */
  readonly invalid: Script;
  /** For servers of one's own, which refuse no content: what an extension refuses there is a fault of the request. */
  readonly moderates?: false;
  /** Values in wire spelling for parameters whose usual sample does not suit this vendor. */
  readonly samples?: Readonly<Record<string, unknown>>;
}

/** Registers the suite. */
export function vendorSuite(suite: VendorSuite): void {
  const { provider, generation, edition, pictures } = suite;

  describe(`${provider}, called through the gateway`, () => {
    let fake: FakeVendor;
    let gateway: Gateway;
    let client: OpenAI;

    beforeAll(async () => {
      fake = await suite.start();
      gateway = await startGateway({ config: configFor(suite, fake) });
      client = openAiClient(gateway);
    });
    afterAll(async () => {
      try {
        await gateway[Symbol.asyncDispose]();
      } finally {
        await fake.close();
      }
    });

    const generate = (more: Partial<OpenAI.ImageGenerateParamsNonStreaming> = {}): Promise<OpenAI.ImagesResponse> =>
      client.images.generate({ model: `vendor/${generation.model}`, prompt: 'a lighthouse', ...more });

    it('makes a picture, and gives it as base64', async () => {
      const response = await generate({ response_format: 'b64_json' });
      const [picture] = picturesOf(response);
      expect(formatOf(picture ?? Buffer.alloc(0))).toBeDefined();
      expect(Number.isInteger(response.created)).toBe(true);
      expect(String(suite.promptOf(fake.last(pictures)))).toContain('a lighthouse');
    });

    it('gives it as a link that opens', async () => {
      const response = await generate({ response_format: 'url' });
      const { url, b64_json: base64 } = response.data?.[0] ?? {};
      expect(base64).toBeUndefined();
      const opened = await fetch(throughGateway(url, gateway));
      expect(opened.status).toBe(200);
      expect(opened.headers.get('content-type')).toMatch(/^image\//);
      expect(formatOf(Buffer.from(await opened.arrayBuffer()))).toBeDefined();
    });

    it('gives as many as are asked for', async () => {
      const response = await generate({ n: 3, response_format: 'b64_json' });
      expect(picturesOf(response)).toHaveLength(3);
    });

    it('takes what common clients always send', async () => {
      const response = await generate({
        size: '1024x1024',
        quality: 'standard',
        style: 'vivid',
        response_format: 'b64_json',
        user: 'u-1',
      });
      expect(picturesOf(response)).toHaveLength(1);
    });

    it.each(['vendor###', `${provider}/`])('is meant by the prefix %s', async (prefix) => {
      const response = await generate({ model: `${prefix}${generation.model}`, response_format: 'b64_json' });
      expect(picturesOf(response)).toHaveLength(1);
    });

    const input = png({ colour: [12, 200, 99, 255] });
    const edit = async (): Promise<OpenAI.ImagesResponse> =>
      client.images.edit({
        model: `vendor/${edition?.model ?? ''}`,
        prompt: 'add a boat',
        image: await toFile(input, 'input.png', { type: 'image/png' }),
        response_format: 'b64_json',
      });

    const { inputsOf, linksOf } = suite;
    if (inputsOf !== undefined)
      it('edits a picture, whose bytes reach the vendor as they are', async () => {
        expect(picturesOf(await edit())).toHaveLength(1);
        const received = inputsOf?.(fake.last(pictures)) ?? [];
        expect(received.map(sha256)).toEqual([sha256(input)]);
      });

    if (linksOf !== undefined)
      it('edits a picture, which the vendor finds under a link while the call lasts', async () => {
        const held = Promise.withResolvers<void>();
        const before = fake.to(pictures).length;
        fake.next({ hold: held.promise });
        const editing = edit();
        await fake.until(() => fake.to(pictures).length > before && fake.last(pictures).complete);
        const [link] = linksOf?.(fake.last(pictures)) ?? [];
        expect(link).toMatch(/^https:\/\/pictures\.test\/v1\/images\/files\//);
        const found = await fetch(throughGateway(link, gateway));
        expect(sha256(Buffer.from(await found.arrayBuffer()))).toBe(sha256(input));
        held.resolve();
        expect(picturesOf(await editing)).toHaveLength(1);
        await vi.waitFor(async () => expect((await fetch(throughGateway(link, gateway))).status).toBe(404));
      });

    if (edition === undefined)
      it('refuses an edit before anything is sent', async () => {
        const before = fake.requests.length;
        const image = await toFile(png(), 'input.png', { type: 'image/png' });
        const refused = client.images.edit({ model: `vendor/${generation.model}`, prompt: 'add a boat', image });
        const error = await apiError(refused);
        expect([400, 501]).toContain(error.status);
        expect(['operation_not_enabled', 'operation_not_supported']).toContain(error.code);
        expect(fake.requests).toHaveLength(before);
      });

    it('tells a refusal of the content as 400', async () => {
      const error = await apiError(generate({ prompt: 'something forbidden' }));
      expect(error.status).toBe(400);
      expect(error.type).toBe('invalid_request_error');
      if (suite.moderates !== false) expect(error.code).toBe('content_policy_violation');
      expect(error.headers?.get('x-should-retry')).toBe('false');
      expect(error.headers?.get('x-pinhole-attempts')).toBe('1');
    });

    it('tells too many requests as 429, with the delay', async () => {
      fake.next(suite.limit);
      const error = await apiError(generate());
      expect(error.status).toBe(429);
      expect(error.type).toBe('rate_limit_error');
      if (suite.saysDelay) expect(error.headers?.get('retry-after')).toBe('7');
    });

    it('tells a bad value as a fault of the request, in the vendor’s words', async () => {
      fake.next(suite.invalid);
      const error = await apiError(generate());
      expect(error.status).toBeGreaterThanOrEqual(400);
      expect(error.status).toBeLessThan(500);
      expect(error.type).toBe('invalid_request_error');
      expect(error.headers?.get('x-should-retry')).toBe('false');
    });

    it('tells a failure of the vendor as 502, and nothing of a proxy’s page', async () => {
      fake.next({ status: 503, html: true });
      const error = await apiError(generate());
      expect(error.status).toBe(502);
      expect(error.message).not.toContain('html');
    });

    it('treats each parameter as its table of capabilities says', async () => {
      const document = await capabilitiesOf(gateway);
      for (const [operation, model] of [
        ['generation', generation.model],
        ['edition', edition?.model],
      ] as const) {
        if (model === undefined) continue;
        const table = document.entities[0]?.models.find((each) => each.model === model)?.operations[operation];
        if (table === undefined) throw new Error(`there is no table for ${model} in ${operation}`);
        for (const [name, value] of Object.entries({ ...usualSamples, ...suite.samples })) {
          const body = {
            model: `vendor/${model}`,
            prompt: 'a lighthouse',
            [name]: value,
            ...(operation === 'edition' ? { image: dataUri(png()) } : {}),
          };
          const answer = await postJson(`${gateway.url}/v1/images/generations`, body);
          const text = await answer.text();
          expect([name, answer.status, answer.status === 200 ? '' : text]).toEqual([name, 200, '']);
          const dropped = answer.headers.get('x-pinhole-dropped-params')?.split(', ') ?? [];
          expect([operation, name, dropped.includes(name)]).toEqual([
            operation,
            name,
            table.parameters[name] === 'dropped',
          ]);
        }
      }
    });
  });

  it(`${provider} with a wrong credential is the gateway’s problem, and not told`, async () => {
    const fake = await suite.start();
    const config = configFor(suite, fake, { token: wrongToken(suite.connection(fake)['token']) });
    const gateway = await startGateway({ config });
    try {
      const error = await apiError(
        openAiClient(gateway).images.generate({ model: `vendor/${generation.model}`, prompt: 'a lighthouse' }),
      );
      expect([error.status, error.code]).toEqual([502, 'upstream_auth_failed']);
    } finally {
      await gateway[Symbol.asyncDispose]();
      await fake.close();
    }
  });
}

/** A value for each parameter that has one. */
const usualSamples: Readonly<Record<string, unknown>> = {
  size: '1536x1024',
  quality: 'high',
  background: 'opaque',
  moderation: 'low',
  output_format: 'jpeg',
  output_compression: 80,
  user: 'u-1',
  seed: 7,
};

interface Capabilities {
  readonly entities: readonly {
    readonly models: readonly {
      readonly model: string;
      readonly operations: Readonly<
        Record<string, { readonly parameters: Readonly<Record<string, string>> } | undefined>
      >;
    }[];
  }[];
}

async function capabilitiesOf(gateway: Gateway): Promise<Capabilities> {
  const answer = await fetch(`${gateway.adminUrl}/api/capabilities`);
  return (await answer.json()) as Capabilities;
}

function configFor(suite: VendorSuite, fake: FakeVendor, more: Readonly<Record<string, unknown>> = {}) {
  const { provider, generation, edition } = suite;
  const entity = {
    id: 'vendor',
    provider,
    config: {
      ...suite.config,
      connection: { ...suite.connection(fake), ...more },
      options: {
        generation: { model: generation.model },
        ...(edition === undefined ? {} : { edition: { enabled: true, model: edition.model } }),
      },
    },
  };
  const stages = [
    'provider-transform',
    { plugin: 'dispatch', config: { poll_interval: '5ms', poll_interval_max: '20ms' } },
    'response-normalise',
  ];
  const images = ['authenticate', 'parse', 'route-resolve', { plugin: 'fallback', config: { stages } }, 'decode'];
  // The address is nobody's; a vendor that takes links only insists on https.
  const server = { listen: '127.0.0.1:0', public_url: 'https://pictures.test' };
  return gatewayConfig([entity], { server, pipelines: { images } });
}

/** A hosted picture's link at the address where the gateway really listens. */
function throughGateway(link: string | undefined, gateway: Gateway): string {
  return gateway.url + new URL(link ?? '').pathname;
}

/** Another credential of the same form. */
function wrongToken(token: unknown): string {
  return String(token).replaceAll('8f2c41d7', '00000000');
}
