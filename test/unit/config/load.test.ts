import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readConfig, validateConfig, type LoadedConfig, type LoadResult } from '../../../src/config/load.ts';
import { loadConfig } from '../../fixtures/load-config.ts';
import { schemaDefinitions } from './definitions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const definitions = schemaDefinitions();
const validFolder = fileURLToPath(new URL('../../configs/valid/', import.meta.url));

function accepted(result: LoadResult): LoadedConfig {
  if (result.kind === 'loaded') return result;
  throw new Error(`The file was refused: ${result.problems.map(({ message }) => message).join('; ')}`);
}

function refusals(result: LoadResult): string[] {
  if (result.kind === 'invalid') return result.problems.map(({ message }) => message);
  throw new Error('The file was accepted.');
}

async function loadText(text: string | Uint8Array, env: Record<string, string> = {}): Promise<LoadResult> {
  using folder = temporaryFolder({ 'gateway.yaml': text });
  return await loadConfig({ path: join(folder.path, 'gateway.yaml'), env, definitions });
}

const route = 'routes:\n  - { id: models, path: /v1/models, pipeline: [list-models] }\n';

describe('a valid file', () => {
  it.each(readdirSync(validFolder))('%s is accepted', async (name) => {
    accepted(await loadConfig({ path: join(validFolder, name), env: {}, definitions }));
  });

  it('gets all defaults, and needs only a version', async () => {
    const { config } = accepted(await loadText('version: 1'));
    expect(config.server).toEqual({
      listen: ['127.0.0.1:8080'],
      trusted_proxies: [],
      max_requests: 1000,
      timeouts: { headers: 10_000, body: 30_000, request: 300_000, keep_alive: 75_000, drain: 30_000 },
    });
    expect(config.admin).toEqual({ listen: '127.0.0.1:9090', token: '' });
    expect(config.logging).toEqual({ level: 'info', format: 'json' });
    expect(config.routes).toEqual([]);
  });

  it('has shorthands written out, and durations and sizes as numbers', async () => {
    const { config } = accepted(await loadConfig({ path: join(validFolder, 'everything.yaml'), env: {}, definitions }));
    expect(config.server.timeouts.drain).toBe(3_600_000);
    expect(config.routes[0]?.max_size_upload).toBe(100 * 1024 * 1024);
    expect(config.pipelines['images']?.[0]).toEqual({ plugin: 'authenticate', enabled: true, config: {} });
    expect(config.aliases['prod']?.targets).toEqual([
      { target: 'main/gpt-image-2', weight: 3, priority: 0 },
      { target: 'box/some/model', weight: 1, priority: 0 },
    ]);
  });

  it('has the defaults of stages and providers filled in, nested stages included', async () => {
    const { config } = accepted(await loadConfig({ path: join(validFolder, 'everything.yaml'), env: {}, definitions }));
    expect(config.pipelines['images']?.[11]?.config).toMatchObject({
      stages: [
        { plugin: 'provider-transform', enabled: true, config: {} },
        { plugin: 'dispatch', config: { max_reply_bytes: 1024 * 1024 } },
        { plugin: 'response-normalise' },
      ],
    });
    expect(config.image_models[2]?.config).toMatchObject({
      connection: { timeout: 180_000, latency: 10 },
      options: { edition: { enabled: true } },
    });
  });

  it('has all paths absolute, from its own folder', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': `version: 1\nimages: file:pictures\n${route}` });
    const path = join(folder.path, 'gateway.yaml');
    const { config } = accepted(await loadConfig({ path, env: {}, definitions }));
    expect(config.state).toBe(`sqlite:${join(folder.path, 'data/pinhole.db')}`);
    expect(config.images).toBe(`file:${join(folder.path, 'pictures')}`);
  });

  it('has a bucket as it was written, links signed for an hour with a list of secrets, and expiry in milliseconds', async () => {
    const place = 's3://pictures/hosted?region=eu-central-1';
    const text = [
      'version: 1',
      `images: ${place}`,
      'images_credentials: { access_key_id: AKIDEXAMPLE, secret_access_key: an-s3-secret }',
      'image_links: { secret: the-only-secret-there-is }',
      'routes: [{ id: a, path: /a, pipeline: [list-models], images_expire: 30d }]',
    ].join('\n');
    const { config, secrets } = accepted(await loadText(text));
    expect(config.images).toBe(place);
    expect(config.image_links).toEqual({ secret: ['the-only-secret-there-is'], expires: 3_600_000 });
    expect(config.routes[0]?.images_expire).toBe(30 * 86_400_000);
    expect([...secrets]).toEqual(
      expect.arrayContaining([
        '/images_credentials/access_key_id',
        '/images_credentials/secret_access_key',
        '/image_links/secret/0',
      ]),
    );
  });

  it('has addresses as they are written', async () => {
    const state = 'postgres://pinhole:pw@db.example:5432/pinhole?sslmode=verify-full';
    expect(accepted(await loadText(`version: 1\nstate: ${state}\n${route}`)).config.state).toBe(state);
  });

  it.each([
    ['a byte order mark', `\ufeffversion: 1\n${route}`],
    ['line ends of Windows', `version: 1\n${route}`.replaceAll('\n', '\r\n')],
    ['no last line end', `version: 1\n${route}`.trimEnd()],
    ['a document marker', `---\nversion: 1\n${route}`],
  ])('may have %s', async (_what, text) => {
    expect(accepted(await loadText(text)).config.routes).toHaveLength(1);
  });

  it('tells which values are secret: by the schema, and by coming from a reference', async () => {
    const text = [
      'version: 1',
      'server: { public_url: "${env:URL}" }',
      'admin: { token: plain }',
      'image_models:',
      '  - { id: a, provider: openai, config: { connection: { token: t } } }',
      'consumers: [{ id: c, key: k }]',
      'routes:',
      '  - { id: r, path: /*, pipeline: [forward], upstream: { url: "http://x", headers: { authorization: y } } }',
    ].join('\n');
    const { secrets } = accepted(await loadText(text, { URL: 'http://localhost' }));
    expect([...secrets].toSorted()).toEqual([
      '/admin/token',
      '/consumers/0/key',
      '/image_models/0/config/connection/token',
      '/routes/0/upstream/headers/authorization',
      '/server/public_url',
    ]);
  });

  it('places what is found out about it later', async () => {
    const loaded = accepted(await loadText(`version: 1\n${route}`));
    const [problem] = loaded.problemsFrom([{ pointer: '/routes/0/pipeline/0', message: 'stands too early' }]);
    expect(problem).toMatchObject({ line: 3, column: 48, message: 'stands too early' });
    expect(loaded.locate('/routes/0/path')).toEqual({ line: 3, column: 25 });
  });
});

describe('references', () => {
  it('become numbers and booleans where the schema wants them', async () => {
    const text = [
      'version: 1',
      'server: { timeouts: { headers: "${env:MS}", body: "${env:UNIT}" } }',
      'routes:',
      '  - { id: a, path: /a, pipeline: [{ plugin: parse, config: { max_images: "${env:COUNT}" } }], decode: "${env:YES}" }',
    ].join('\n');
    const { config } = accepted(await loadText(text, { MS: '250', UNIT: '3s', COUNT: '7', YES: 'true' }));
    expect(config.server.timeouts).toMatchObject({ headers: 250, body: 3000 });
    expect(config.routes[0]?.decode).toBe(true);
    expect(config.routes[0]?.pipeline).toMatchObject([{ plugin: 'parse', enabled: true, config: { max_images: 7 } }]);
  });

  it('stay text where the schema wants text, and plain text is never converted', async () => {
    const { config } = accepted(await loadText('version: 1\nadmin: { token: "${env:T}" }', { T: '1234' }));
    expect(config.admin.token).toBe('1234');
    expect(
      refusals(await loadText('version: 1\nroutes: [{ id: a, path: /, pipeline: [parse], decode: "true" }]')),
    ).toEqual(['`decode` must be true or false']);
  });

  it('to variables that are not set count as empty, and are told', async () => {
    const text =
      'version: 1\nimage_models: [{ id: a, provider: openai, config: { connection: { token: "${env:NONE}" } } }]';
    const pointer = '/image_models/0/config/connection/token';
    expect(accepted(await loadText(text)).unset).toEqual([{ pointer, name: 'NONE' }]);
  });
});

describe('the set of files', () => {
  const text = [
    'version: 1',
    'admin: { token: "${file:secrets/token}" }',
    'extensions: [extension.ts]',
    'server: { tls: { cert: tls.crt, key: tls.key } }',
  ].join('\n');

  it('holds all that the file names, whether it is there or not', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': text });
    const read = await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} });
    const names = ['gateway.yaml', 'secrets/token', 'tls.crt', 'tls.key', 'extension.ts'];
    expect(read.files).toEqual(names.map((name) => join(folder.path, name)));
    expect(read.extensions).toEqual([{ path: join(folder.path, 'extension.ts'), pointer: '/extensions/0' }]);
  });

  it('has a digest that changes with each of them, and only with them', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': text });
    const digest = async () => (await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} })).digest;
    const seen = new Set([await digest()]);
    for (const name of ['tls.crt', 'tls.key', 'extension.ts']) {
      folder.write(name, 'x');
      seen.add(await digest());
      folder.write('unrelated', name);
    }
    expect(seen.size).toBe(4);
    expect(seen).toContain(await digest());
  });

  it('is known for a broken file too, so that mending it is seen', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': 'version: [' });
    const result = await loadConfig({ path: join(folder.path, 'gateway.yaml'), env: {}, definitions });
    expect(result.files).toEqual([join(folder.path, 'gateway.yaml')]);
  });
});

describe('a file that is no text', () => {
  it.each([
    ['missing', undefined, 'this file does not exist'],
    ['binary', Uint8Array.of(0x76, 0xff, 0xfe), 'this file is not text in UTF-8'],
    ['too large', new Uint8Array(9 * 1024 * 1024).fill(0x23), 'this file is larger than 8MiB'],
    ['empty', '', 'the file is empty'],
  ])('%s: refused', async (_what, content, message) => {
    using folder = temporaryFolder(content === undefined ? {} : { 'gateway.yaml': content });
    const result = await loadConfig({ path: join(folder.path, 'gateway.yaml'), env: {}, definitions });
    expect(refusals(result)).toEqual([message]);
  });

  it('a folder: refused', async () => {
    using folder = temporaryFolder();
    expect(refusals(await loadConfig({ path: folder.path, env: {}, definitions }))).toEqual([
      'this file is not a regular file',
    ]);
  });

  it('padded with zeros, as after a crash: refused', async () => {
    expect(refusals(await loadText(`version: 1\n${'\0'.repeat(8)}`))).toContain('this character is not allowed here');
  });
});

describe('validation', () => {
  it('knows the stages and providers of extensions', async () => {
    using folder = temporaryFolder({
      'gateway.yaml': 'version: 1\npipelines: { p: [{ plugin: mine, config: { b: 1 } }] }',
    });
    const read = await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} });
    expect(refusals(validateConfig(read, definitions))).toEqual(['there is no stage `mine`']);
    const schema = { type: 'object', additionalProperties: false, properties: { a: { default: 5 }, b: {} } };
    const parse = definitions.stages.get('parse');
    if (parse === undefined) throw new Error('The stage is missing.');
    const extended = { ...definitions, stages: new Map([...definitions.stages, ['mine', { ...parse, schema }]]) };
    const { config } = accepted(validateConfig(read, extended));
    expect(config.pipelines['p']?.[0]?.config).toEqual({ a: 5, b: 1 });
  });

  it('reports an extension whose schema is not valid, as a problem of the file', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': 'version: 1\npipelines: { p: [parse] }' });
    const parse = definitions.stages.get('parse');
    if (parse === undefined) throw new Error('The stage is missing.');
    const schema = { type: 'nonsense' };
    const broken = { ...definitions, stages: new Map([['parse', { ...parse, schema }]]) };
    const read = await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} });
    expect(refusals(validateConfig(read, broken))[0]).toMatch(/^the stage `parse` has a schema that is not valid: /);
  });

  it('adds what the caller has met in between', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': 'version: 1\nextensions: [a.ts]', 'a.ts': 'nonsense' });
    const read = await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} });
    const further = [{ pointer: '/extensions/0', message: 'cannot be imported' }];
    expect(validateConfig(read, definitions, further)).toMatchObject({
      kind: 'invalid',
      problems: [{ line: 2, column: 14, message: 'cannot be imported' }],
    });
  });

  it('can be repeated on what was read once', async () => {
    using folder = temporaryFolder({ 'gateway.yaml': `version: 1\n${route}` });
    const read = await readConfig({ path: join(folder.path, 'gateway.yaml'), env: {} });
    expect(validateConfig(read, definitions)).toMatchObject({ kind: 'loaded' });
    expect(validateConfig(read, definitions)).toMatchObject({ kind: 'loaded' });
  });

  it('stops counting problems where nobody reads on', async () => {
    const keys = Array.from({ length: 500 }, (_, index) => `unknown${index}: 1`);
    const messages = refusals(await loadText(['version: 1', ...keys].join('\n')));
    expect(messages).toHaveLength(101);
    expect(messages.at(-1)).toBe('and 400 more problems from here on');
  });
});
