/** R21, X10: callers' links reach only the public web, and what the file says of it, through a gateway process. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, type ConfigDocument } from '../fixtures/gateway-config.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { bombPng, dataUri, maskPng, png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let host: PictureHost;
/** Nobody may ever come here. */
let inside: PictureHost;

const config = (fake: FakeOpenAi, imageUrls: object = {}, route: object = {}): ConfigDocument =>
  gatewayConfig([openAiEntity(fake)], { image_urls: imageUrls, routes: openAiRoutes(['openai-main'], { ...route }) });

beforeAll(async () => {
  [host, inside] = await Promise.all([startPictureHost(), startPictureHost()]);
  setting = await startSetting({ config: (fake) => config(fake) });
});
afterAll(async () => {
  await setting.stop();
  await Promise.all([host.close(), inside.close()]);
});

const editsUrl = (): string => `${setting.gateway.url}/v1/images/edits`;
const edit = (members: object): Promise<Response> => postJson(editsUrl(), { prompt: 'bluer', ...members });
const refusal = {
  error: {
    code: 'image_url_not_allowed',
    type: 'invalid_request_error',
    param: 'image',
    message: expect.stringMatching(/^This image URL may not be fetched: /),
  },
};

/** Each leads to this machine or into a private network, or nowhere; PORT is where something listens on 127.0.0.1 and ::1. */
const hostile: Readonly<Record<string, readonly string[]>> = {
  'loopback, spelt out': [
    'https://127.0.0.1/',
    'https://127.0.0.1:PORT/',
    'https://127.255.255.254/',
    'https://0.0.0.0/',
  ],
  'decimal, octal and hexadecimal': [
    'https://2130706433/',
    'https://2130706433:PORT/',
    'https://017700000001/',
    'https://0x7f000001/',
    'https://0x7F.0.0x0.1/',
    'https://0177.0.0.01/',
    'https://3232235777/',
    'https://0xa9fea9fe/',
    'https://0251.0376.0251.0376/',
  ],
  'short and dotless forms': ['https://127.1/', 'https://127.0.1/', 'https://0/', 'https://0x7f.1/', 'https://10.1/'],
  'private networks': [
    'https://10.0.0.1/',
    'https://172.16.0.1/',
    'https://172.31.255.254/',
    'https://192.168.0.1/',
    'https://100.64.0.1/',
    'https://198.18.0.1/',
    'https://224.0.0.1/',
    'https://255.255.255.255/',
  ],
  'link-local, and metadata services': [
    'https://169.254.169.254/latest/meta-data/',
    'https://169.254.170.2/v2/credentials',
    'https://100.100.100.200/latest/meta-data',
    'https://192.0.0.192/opc/v2/',
    'https://168.63.129.16/machine',
    'https://metadata.google.internal/computeMetadata/v1/',
    'https://metadata/',
    'https://[fd00:ec2::254]/latest/meta-data/',
  ],
  IPv6: [
    'https://[::1]/',
    'https://[::1]:PORT/',
    'https://[::]/',
    'https://[0:0:0:0:0:0:0:1]/',
    'https://[fe80::1]/',
    'https://[fc00::1]/',
    'https://[fd12:3456:789a::1]/',
    'https://[fec0::1]/',
    'https://[ff02::1]/',
    'https://[2001:db8::1]/',
  ],
  'IPv4 in IPv6: mapped, compatible, NAT64, 6to4, Teredo': [
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:127.0.0.1]:PORT/',
    'https://[::ffff:7f00:1]/',
    'https://[0:0:0:0:0:ffff:a9fe:a9fe]/',
    'https://[::127.0.0.1]/',
    'https://[::7f00:1]/',
    'https://[64:ff9b::127.0.0.1]/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[64:ff9b:1::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://[2002:a9fe:a9fe::1]/',
    'https://[2001:0:7f00:1::]/',
  ],
  zones: ['https://[fe80::1%25lo]/', 'https://[fe80::1%lo]/', 'https://[::1%25lo]/', 'https://[fe80::1%2525eth0]/'],
  'names of this machine': [
    'https://localhost/',
    'https://localhost:PORT/',
    'https://LOCALHOST/',
    'https://localhost./',
    'https://foo.localhost/',
    'https://localhost.localdomain/',
    'https://ip6-localhost/',
    'https://127.0.0.1.nip.io.invalid/',
    'https://router/',
    'https://printer.local/',
    'https://db.internal/',
  ],
  'trailing dots': [
    'https://127.0.0.1./',
    'https://2130706433./',
    'https://10.0.0.1.:PORT/',
    'https://./',
    'https://../',
  ],
  'credentials in the URL': [
    'https://user@127.0.0.1/',
    'https://user:password@pictures.invalid/',
    'https://pictures.invalid@127.0.0.1:PORT/',
    'https://127.0.0.1:PORT@pictures.invalid/',
    'https://pictures.invalid%2f@127.0.0.1:PORT/',
    'https://@pictures.invalid/',
  ],
  'other schemes': [
    'http://127.0.0.1:PORT/',
    'http://localhost:PORT/',
    'http://pictures.invalid/a.png',
    'ftp://127.0.0.1:PORT/',
    'ws://127.0.0.1:PORT/',
    'file:///etc/passwd',
    'file://localhost/etc/passwd',
    'gopher://127.0.0.1:PORT/_GET',
    'dict://127.0.0.1:PORT/info',
    'ldap://127.0.0.1:PORT/',
    'unix:/var/run/docker.sock',
    'jar:https://pictures.invalid/a.jar!/',
    'javascript:alert(1)',
    'blob:https://pictures.invalid/1',
    'view-source:https://127.0.0.1/',
    'netdoc:///etc/passwd',
    '//127.0.0.1:PORT/',
    '\\\\127.0.0.1\\share',
  ],
  'other ports': [
    'https://pictures.invalid:22/',
    'https://pictures.invalid:PORT/',
    'https://pictures.invalid:0/',
    'https://pictures.invalid:99999/',
  ],
  'letters and dots of other scripts': [
    'https://127。0。0。1/',
    'https://127．0．0．1:PORT/',
    'https://127｡0｡0｡1/',
    'https://１２７.０.０.１/',
    'https://①②⑦.⓪.⓪.①/',
    'https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/',
    'https://loc\u00adalhost/',
    'https://xn--/',
  ],
  'encoded hosts': [
    'https://%31%32%37.0.0.1/',
    'https://127%2e0%2e0%2e1:PORT/',
    'https://%6c%6f%63%61%6c%68%6f%73%74/',
    'https://127.0.0.1%00.pictures.invalid/',
    'https://127.0.0.1%09.pictures.invalid/',
    'https://[::%31]/',
  ],
  'blanks and control characters': [
    ' https://127.0.0.1/',
    'https://127.0.0.1/ ',
    '\thttps://127.0.0.1/',
    'ht\ntps://127.0.0.1:PORT/',
    'https://127.0.\n0.1/',
    'https://exam\tple.com/',
    'https://pictures.invalid/\r\nhost: 127.0.0.1',
    '\u0000https://127.0.0.1/',
    '\u001fhttps://127.0.0.1/',
    'https://pictures.invalid/a b.png',
  ],
  'what parsers read in two ways': [
    'https:127.0.0.1/',
    'https:/127.0.0.1/',
    'https:///127.0.0.1/',
    'https:\\\\127.0.0.1:PORT\\',
    'https://pictures.invalid\\@127.0.0.1:PORT/',
    'https://127.0.0.1:PORT\\.pictures.invalid/',
    'https://127.0.0.1#@pictures.invalid/',
    'https://127.0.0.1?@pictures.invalid/',
    'https://[127.0.0.1]/',
    'https://127.0.0.1:443:PORT/',
    'https://',
    'https:',
  ],
  'very long': [`https://pictures.invalid/${'a'.repeat(9000)}`, `https://${'a.'.repeat(5000)}pictures.invalid/`],
};
const listed = Object.entries(hostile).flatMap(([what, urls]) => urls.map((url) => [what, url] as const));
const atPort = (url: string): string => url.replaceAll('PORT', inside.port);

describe('a link that leads anywhere but to the public web', () => {
  it('is in the table in more than sixty ways', () => {
    expect(new Set(listed.map(([, url]) => url)).size).toBe(listed.length);
    expect(listed.length).toBeGreaterThan(120);
  });

  it.each(listed)('is refused, and nobody is called: %s, %j', async (_, url) => {
    const startedAtMs = performance.now();
    const answer = await edit({ image: atPort(url) });
    expect([answer.status, await jsonOf(answer)]).toEqual([400, refusal]);
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(performance.now() - startedAtMs).toBeLessThan(5000);
    expect([inside.connections, setting.fake.requests.length]).toEqual([0, 0]);
  });

  it('is refused with the very same words whatever its fault', async () => {
    const texts = new Set<string>();
    for (const urls of Object.values(hostile)) {
      const answer = await edit({ image: atPort(urls[0] ?? '') });
      texts.add(await answer.text());
    }
    expect(texts.size).toBe(1);
    expect([...texts].join()).not.toMatch(/127|localhost|10\.0/);
  });

  it.each([
    ['image[]', { 'image[]': ['https://10.0.0.1/'] }, 'image'],
    ['images', { images: [{ image_url: 'https://10.0.0.1/' }] }, 'image'],
    ['images, as in the chat API', { images: [{ image_url: { url: 'https://10.0.0.1/' } }] }, 'image'],
    ['mask', { image: dataUri(png()), mask: 'https://10.0.0.1/' }, 'mask'],
    ['mask[]', { image: dataUri(png()), 'mask[]': ['https://10.0.0.1/'] }, 'mask'],
    ['mask, as an object', { image: dataUri(png()), mask: { image_url: 'https://10.0.0.1/' } }, 'mask'],
  ])('is refused wherever it stands: %s', async (_, members, param) => {
    const answer = await edit(members);
    expect(await jsonOf(answer)).toEqual({ error: { ...refusal.error, param } });
  });

  it.each(['image', 'image[]', 'images', 'images[]', 'image[0]'])('is refused in a form under %s', async (name) => {
    for (const url of ['https://127.0.0.1/', `http://127.0.0.1:${inside.port}/`, 'https://localhost/']) {
      const answer = await fetch(editsUrl(), { method: 'POST', body: formOf({ prompt: 'bluer', [name]: url }) });
      expect([answer.status, await jsonOf(answer)]).toEqual([400, refusal]);
    }
  });

  it('leaves nothing behind, and nobody was ever called', async () => {
    expect(inside.connections).toBe(0);
    expect(setting.fake.requests).toEqual([]);
  });
});

describe('the file’s `image_urls`', () => {
  const picture = png({ colour: [9, 8, 7, 255] });
  const sentDigests = (): readonly string[] => setting.fake.last().pictures.map((sent) => sent.sha256);
  let inForce = '';
  /** A file that says what the one in force says is no reload. */
  const apply = async (imageUrls: object, route: object = {}): Promise<void> => {
    const wanted = config(setting.fake, imageUrls, route);
    if (JSON.stringify(wanted) !== inForce) await setting.gateway.apply(wanted);
    inForce = JSON.stringify(wanted);
  };

  it('trusts an origin, whose pictures then reach the provider as bytes', async () => {
    await apply({ allow: [host.origin] });
    const mask = host.offer(maskPng());
    const answer = await edit({ image: [host.offer(picture), dataUri(png())], mask });
    expect(answer.status).toBe(200);
    expect(sentDigests()).toEqual([picture, png(), maskPng()].map(sha256));
    expect(setting.fake.last().headers['content-type']).toMatch(/^multipart\/form-data/);
  });

  it('refuses everything else while the list names only that origin', async () => {
    await apply({ allow: [host.origin], deny: [] });
    for (const url of ['https://pictures.invalid/a.png', inside.origin, host.origin.replace('http:', 'https:')]) {
      expect(await jsonOf(await edit({ image: url }))).toEqual(refusal);
    }
    expect(inside.connections).toBe(0);
  });

  it('follows a redirect of a trusted host to another picture of its own, and to nothing that is not public', async () => {
    await apply({ allow: ['*', host.origin] });
    const answer = await edit({ image: host.redirectTo(host.offer(picture)) });
    expect([answer.status, sentDigests()]).toEqual([200, [sha256(picture)]]);
    // Absolute ones that a server can send at all.
    const targets = listed.map(([, url]) => atPort(url)).filter((url) => /^[a-z]+:\/\/[^/][\x21-\x7e]*$/.test(url));
    expect(targets.length).toBeGreaterThan(80);
    const before = setting.fake.requests.length;
    const errors = await Promise.all(
      targets.map(async (target) => {
        const { error } = await jsonOf(await edit({ image: host.redirectTo(target) }));
        return [target, error];
      }),
    );
    expect(errors).toEqual(targets.map((target) => [target, refusal.error]));
    expect([inside.connections, setting.fake.requests.length]).toEqual([0, before]);
  });

  it('denies what it would allow', async () => {
    await apply({ allow: [host.origin], deny: [host.origin] });
    const before = host.connections;
    expect(await jsonOf(await edit({ image: host.offer(picture) }))).toEqual(refusal);
    expect(host.connections).toBe(before);
  });

  it('switches links off, for all or for one route, before anything is fetched', async () => {
    const before = host.connections;
    for (const [imageUrls, route] of [
      [{ enabled: false, allow: [host.origin] }, {}],
      [{ allow: [host.origin] }, { image_urls: false }],
    ] as const) {
      await apply(imageUrls, route);
      for (const url of [host.offer(picture), 'https://pictures.invalid/a.png', 'https://127.0.0.1/']) {
        const answer = await edit({ image: dataUri(png()), mask: url });
        expect(await jsonOf(answer)).toMatchObject({
          error: {
            code: 'image_url_not_allowed',
            param: 'mask',
            message: expect.stringContaining('send the picture itself'),
          },
        });
      }
      expect((await edit({ image: dataUri(png()) })).status).toBe(200);
    }
    expect(host.connections).toBe(before);
  });

  it('bounds the size of a picture, and the redirects', async () => {
    const small = host.offer(png());
    await apply({ allow: [host.origin], max_size: '10KiB', redirects: 1 });
    expect((await edit({ image: host.redirectTo(small) })).status).toBe(200);
    for (const url of [host.offer(randomPng(20_000)), host.redirectTo(host.redirectTo(small))]) {
      const { error } = await jsonOf(await edit({ image: url }));
      expect(error).toMatchObject({ code: 'invalid_image', param: 'image' });
    }
  });

  it('bounds the time for all the links of a call together', async () => {
    await apply({ allow: [host.origin], timeout: '300ms' });
    const answer = await edit({ image: [host.offer(png()), host.hold()] });
    expect([answer.status, await jsonOf(answer)]).toMatchObject([
      400,
      { error: { code: 'invalid_image', param: 'image' } },
    ]);
  });

  it('lets links have no more bytes than an upload', async () => {
    await apply({ allow: [host.origin] }, { max_size_upload: 50_000 });
    const half = host.offer(randomPng(24_000));
    expect((await edit({ image: [half, half] })).status).toBe(200);
    const answer = await edit({ image: [half, half, half] });
    expect([answer.status, await jsonOf(answer)]).toMatchObject([
      413,
      { error: { code: 'payload_too_large', param: 'image' } },
    ]);
  });

  it('says of a link only that there is no picture, whatever there is', async () => {
    await apply({ allow: [host.origin] });
    const texts = new Set<string>();
    for (const url of [
      `${host.origin}/nothing`,
      host.offer(Buffer.from('<html>'.repeat(50))),
      host.offer(Buffer.alloc(0)),
    ]) {
      const answer = await edit({ image: url });
      texts.add(`${String(answer.status)} ${await answer.text()}`);
    }
    expect([...texts]).toEqual([expect.stringMatching(/^400 .*"param":"image","code":"invalid_image"/)]);
  });

  it('does not let a link bring what an upload may not: a bomb, half a picture', async () => {
    await apply({ allow: [host.origin] });
    for (const [bytes, words] of [
      [bombPng(30_000), '30000x30000'],
      [randomPng(30_000).subarray(0, 20_000), 'cut'],
    ] as const) {
      const answer = await edit({ image: dataUri(png()), mask: host.offer(bytes) });
      expect(await jsonOf(answer)).toMatchObject({
        error: { code: 'invalid_image', param: 'mask', message: expect.stringContaining(words) },
      });
    }
  });

  it('is hot: a list is in force with the next request', async () => {
    await apply({});
    expect(await jsonOf(await edit({ image: host.offer(picture) }))).toEqual(refusal);
  });
});
