import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeConfig } from '../../../src/config/describe.ts';
import { diffDescriptions } from '../../../src/config/diff.ts';
import { Secret } from '../../../src/secret.ts';

const diff = (before: unknown, after: unknown, pointers: readonly string[] = []): readonly string[] =>
  diffDescriptions(describeConfig(before, pointers), describeConfig(after, pointers));

describe('the diff of two configurations', () => {
  it('is empty when nothing changed', () => {
    const config = {
      server: { listen: [':80'] },
      routes: [{ id: 'a', path: '/' }],
      consumers: [{ id: 'b', key: 'k' }],
    };
    expect(diff(config, structuredClone(config))).toEqual([]);
  });

  it('names what came and went in each section', () => {
    const before = {
      image_models: [{ id: 'openai-main' }],
      consumers: [{ id: 'web-app' }],
      aliases: { old: {} },
      routes: [],
    };
    const after = {
      image_models: [{ id: 'gemini-main' }],
      users: [{ id: 'alice' }],
      budgets: [{ id: 'month' }],
      aliases: { 'image-prod': {} },
      pipelines: { images: ['parse'] },
      routes: [{ id: 'edit' }],
    };
    expect(diff(before, after)).toEqual([
      '- entity openai-main',
      '+ entity gemini-main',
      '- consumer web-app',
      '- alias old',
      '+ alias image-prod',
      '+ route edit',
      '+ user alice',
      '+ budget month',
      '+ pipeline images',
    ]);
  });

  it('tells old and new values of what stayed', () => {
    const entity = (base: string) => ({ id: 'openai-main', config: { connection: { base_url: base } } });
    expect(
      diff(
        {
          server: { timeouts: { drain: '30s' }, cors: { origins: ['*'] } },
          image_models: [entity('https://a.example')],
          routes: [{ id: 'generate', max_size_upload: 1048576, defaults: { n: 1 } }],
        },
        {
          server: { timeouts: { drain: '10s' }, tls: { cert: './a.crt' } },
          image_models: [entity('https://b.example')],
          routes: [{ id: 'generate', max_size_upload: 2097152, methods: ['POST'], decode: true }],
        },
      ),
    ).toEqual([
      '~ server.timeouts.drain: 30s → 10s',
      '~ server.cors: removed',
      '~ server.tls: added',
      '~ openai-main: connection.base_url https://a.example → https://b.example',
      '~ route generate: max_size_upload 1048576 → 2097152',
      '~ route generate: defaults removed',
      '~ route generate: methods added',
      '~ route generate: decode unset → true',
    ]);
  });

  it('follows stages by name, into composite ones too', () => {
    const pipeline = (requests: number, ...more: string[]) => [
      { plugin: 'rate-limit', config: { requests } },
      'parse',
      { plugin: 'fallback', config: { stages: ['dispatch', ...more] } },
    ];
    expect(diff({ pipelines: { images: pipeline(1) } }, { pipelines: { images: pipeline(2, 'decode') } })).toEqual([
      '~ pipeline images: rate-limit.config.requests 1 → 2',
      '~ pipeline images: fallback.config.stages + decode',
    ]);
  });

  it('tells a new order, and lists without names by position', () => {
    expect(
      diff(
        { pipelines: { images: ['guard', 'budget', 'guard'] }, prices: [{ per_image: 40 }] },
        { pipelines: { images: ['budget', 'guard', 'guard'] }, prices: [{ per_image: 50 }] },
      ),
    ).toEqual(['~ pipeline images: order: budget, guard, guard#2', '~ prices[0].per_image: 40 → 50']);
    expect(diff({ prices: [{ n: 1 }] }, { prices: [{ n: 1 }, { n: 2 }] })).toEqual(['~ prices: 1 → 2 entries']);
  });

  it('stays short', () => {
    const routes = Array.from({ length: 150 }, (_, index) => ({ id: `r${index}`, path: 'x'.repeat(1000) }));
    const lines = diff({ routes: [] }, { routes });
    expect([lines.length, lines.at(-1)]).toEqual([101, '… and 50 more']);
    const [line] = diff({ routes: [{ id: 'a', path: '/' }] }, { routes: [{ id: 'a', path: 'x'.repeat(1000) }] });
    expect(line?.length).toBeLessThan(200);
  });

  it('keeps a line a line', () => {
    expect(diff({ server: { name: 'a' } }, { server: { name: 'b\n+ route evil' } })).toEqual([
      String.raw`~ server.name: a → "b\n+ route evil"`,
    ]);
  });
});

describe('secrets in the diff', () => {
  it('are only said to be set, rotated or removed', () => {
    const entity = (token: string | undefined) => ({
      image_models: [{ id: 'openai-main', config: { connection: { token } } }],
    });
    expect(diff(entity('sk-1'), entity('sk-2'))).toEqual(['~ openai-main: connection.token rotated']);
    expect(diff(entity(''), entity('sk-2'))).toEqual(['~ openai-main: connection.token set']);
    expect(diff(entity('sk-1'), entity(undefined))).toEqual(['~ openai-main: connection.token removed']);
    expect(diff(entity('sk-1'), entity('sk-1'))).toEqual([]);
  });

  it('are found by pointer, by name, in addresses and as values of their own kind', () => {
    const config = (secret: string) => ({
      state: `postgres://pinhole:${secret}@db/pinhole`,
      images: `s3://bucket/?secret_access_key=${secret}&region=eu`,
      admin: { token: secret },
      server: { public_url: secret, tls: new Secret(secret) },
      routes: [{ id: 'rest', upstream: { headers: { Authorization: `Bearer ${secret}`, 'x-api-key': [secret] } } }],
    });
    const lines = diff(config('hunter1'), config('hunter2'), ['/server/public_url']);
    expect(lines).toEqual([
      '~ state: rotated',
      '~ images: rotated',
      '~ admin.token: rotated',
      '~ server.public_url: rotated',
      '~ server.tls: rotated',
      '~ route rest: upstream.headers.Authorization rotated',
      '~ route rest: upstream.headers.x-api-key[0] rotated',
    ]);
  });

  it('are cut out of an address that changes elsewhere', () => {
    expect(diff({ state: 'postgres://p:hunter1@old/db' }, { state: 'postgres://p:hunter2@new/db' })).toEqual([
      '~ state: postgres://p:[redacted]@old/db → postgres://p:[redacted]@new/db',
    ]);
  });

  it('do not hide prices per token', () => {
    expect(diff({ prices: [{ per_token: 1 }] }, { prices: [{ per_token: 2 }] })).toEqual([
      '~ prices[0].per_token: 1 → 2',
    ]);
  });
});

describe('a description', () => {
  it('holds no secret, whatever it looks like', () => {
    const secret = fc.string({ minLength: 8 }).filter((text) => !/[@&#\s]/.test(text) && text !== '[redacted]');
    const name = fc.constantFrom('token', 'key', 'key_sha256', 'Authorization', 'password', 'secret', 'api_key');
    fc.assert(
      fc.property(secret, name, (text, member) => {
        const config = { [member]: text, nested: [{ [member]: { deeper: [text] } }], url: `https://u:${text}@host/` };
        const shown = JSON.stringify(describeConfig(config, []));
        expect(shown).not.toContain(JSON.stringify(text).slice(1, -1));
      }),
    );
  });

  it('takes no part in prototypes', () => {
    const config: unknown = JSON.parse('{"__proto__": {"polluted": 1}}');
    const described = describeConfig(config, []);
    expect(Object.keys(Object(described))).toEqual(['__proto__']);
    expect(diff({}, config)).toEqual(['~ __proto__: added']);
  });
});
