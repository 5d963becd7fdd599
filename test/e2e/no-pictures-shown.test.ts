/** X12: no base64, data URI or picture's bytes in any line of the log, nor in any error, whatever goes wrong. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { dataUri, maskPng, png, randomPng } from '../fixtures/pictures.ts';
import { formOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

/** What might be a picture: base64 in either alphabet for so long. */
const run = /[A-Za-z0-9+/=_-]{256,}/;
const secret = randomBytes(3000).toString('base64');
const forUrls = randomBytes(3000).toString('base64url');
const picture = dataUri(randomPng(12_000));

let setting: Setting;
let host: PictureHost;

const strictly = (fake: FakeOpenAi, format: string): object => {
  const [generate, edit, ...others] = openAiRoutes(['openai-main', 'sandbox']);
  return gatewayConfig([openAiEntity(fake), sandboxEntity()], {
    logging: { level: 'debug', format },
    image_urls: { allow: [host.origin] },
    routes: [
      generate,
      edit,
      ...others,
      { ...edit, id: 'strict', path: '/strict/edits', strict: true, unsupported_params: 'reject' },
    ],
  });
};

beforeAll(async () => {
  host = await startPictureHost();
  setting = await startSetting({ config: (fake) => strictly(fake, 'json') });
});
afterAll(async () => {
  await setting.stop();
  await host.close();
});

const edit = { prompt: 'bluer', image: dataUri(png()) };
const failing = (message: string, more: object = {}): object => ({
  error: { message, type: 'invalid_request_error', param: null, code: null, ...more },
});

/** What is sent where, and how the vendor answers it, by what is wrong. */
const mistakes: Readonly<Record<string, (setting: Setting) => Promise<Response>>> = {
  'letters that are not base64': (setting) => send(setting, { ...edit, image: `${picture.slice(0, 9000)}!` }),
  'a data URI that is cut': (setting) => send(setting, { ...edit, image: picture.slice(0, 9001) }),
  'base64 without a scheme': (setting) => send(setting, { ...edit, image: secret }),
  'a data URI of no picture': (setting) => send(setting, { ...edit, image: `data:image/png;base64,${secret}` }),
  'a picture where a number belongs': (setting) => send(setting, { ...edit, n: picture }),
  'a picture where a word belongs': (setting) => send(setting, { ...edit, size: picture }),
  'a picture for a response format': (setting) => send(setting, { ...edit, response_format: secret.slice(0, 900) }),
  'a picture for a model': (setting) => send(setting, { ...edit, model: secret.slice(0, 1000) }),
  'a picture for an entity and a model': (setting) =>
    send(setting, { ...edit, model: `sandbox/${secret.slice(0, 1000)}` }),
  'a picture for a fallback': (setting) =>
    send(setting, { ...edit, model: 'none', fallbacks: [secret.slice(0, 1000)] }),
  'a picture for the name of a member': (setting) =>
    send(setting, { ...edit, [secret.slice(0, 1000)]: 1 }, '/strict/edits'),
  'a picture in an unknown member': (setting) => send(setting, { ...edit, control_image: picture }, '/strict/edits'),
  'a picture in a member that is left out': (setting) => send(setting, { ...edit, style: secret.slice(0, 900) }),
  'a picture for the name of a part': (setting) => form(setting, { prompt: 'bluer', [forUrls]: png() }),
  'a picture for the name of a field, twice': (setting) => {
    const body = formOf({ prompt: 'bluer' });
    body.append(forUrls, '1');
    body.append(forUrls, '2');
    return fetch(urlOf(setting), { method: 'POST', body });
  },
  'a picture as a form’s text, cut': (setting) => form(setting, { prompt: 'bluer', image: picture.slice(0, 9001) }),
  'a link with a picture in it': (setting) => send(setting, { ...edit, image: `https://127.0.0.1/${forUrls}` }),
  'a link with a picture for its host': (setting) => send(setting, { ...edit, image: `https://${forUrls}.invalid/` }),
  'a link with a picture in it that leads nowhere': (setting) =>
    send(setting, { ...edit, image: `${host.origin}/${forUrls}` }),
  'a redirect with a picture in it': (setting) =>
    send(setting, { ...edit, image: host.redirectTo(`https://10.0.0.1/${forUrls}`) }),
  'a path with a picture in it': (setting) => fetch(`${setting.gateway.url}/${forUrls}`),
  'a hosted file with a picture for its name': (setting) => fetch(`${setting.gateway.url}/v1/images/files/${forUrls}`),
  'a model with a picture for its name': (setting) => fetch(`${setting.gateway.url}/v1/models/${forUrls}`),
  'a method where there is none, with a picture in the query': (setting) =>
    fetch(`${urlOf(setting)}?image=${encodeURIComponent(secret)}`),
  'a body that is no JSON, but a picture': (setting) =>
    fetch(urlOf(setting), { method: 'POST', body: secret, headers: { 'content-type': 'application/json' } }),
  'a content type with a picture in it': (setting) =>
    fetch(urlOf(setting), { method: 'POST', body: 'x', headers: { 'content-type': `image/${forUrls}` } }),
  'a boundary with a picture in it': (setting) =>
    fetch(urlOf(setting), {
      method: 'POST',
      body: 'x',
      headers: { 'content-type': `multipart/form-data; boundary=${forUrls}` },
    }),
  'a mask that cannot be read': (setting) => {
    const mask = Buffer.from(maskPng());
    mask.fill(7, 50, 70);
    return send(setting, { ...edit, model: 'sandbox/sandbox-1', mask: dataUri(mask) });
  },
  'a vendor that repeats the picture': (setting) => {
    setting.fake.next({ status: 400, body: failing(`Invalid 'image_url': '${picture}'.`) });
    return send(setting, edit);
  },
  'a vendor that repeats base64 as the parameter and the code': (setting) => {
    const short = secret.slice(0, 2000);
    setting.fake.next({ status: 400, body: failing('No.', { param: short, code: short }) });
    return send(setting, edit);
  },
  'a vendor that fails with the picture in a page': (setting) => {
    setting.fake.next({ status: 500, body: `<html>${picture}</html>`, headers: { 'content-type': 'text/html' } });
    return send(setting, edit);
  },
  'a vendor that answers nonsense with a picture in it': (setting) => {
    setting.fake.next({ body: `{"created":1,"data":[{"picture":"${secret}"}]}` });
    return send(setting, edit);
  },
  'a vendor whose picture is not base64': (setting) => {
    setting.fake.next({ body: { created: 1, data: [{ b64_json: `${secret}!!` }] } });
    return send(setting, edit);
  },
  'a vendor whose answer breaks off in the picture': (setting) => {
    setting.fake.next({ body: `{"created":1,"data":[{"b64_json":"${secret}`, truncate: true });
    return send(setting, edit);
  },
  'a vendor that gives a link with a picture in it': (setting) => {
    setting.fake.next({ body: { created: 1, data: [{ url: `https://10.0.0.1/${forUrls}` }] } });
    return send(setting, { ...edit, response_format: 'b64_json' });
  },
  'a vendor that refuses our credential with a picture': (setting) => {
    setting.fake.next({ status: 401, body: failing(secret) });
    return send(setting, edit);
  },
  'a vendor that is limited by a picture': (setting) => {
    setting.fake.next({ status: 429, body: failing(secret), headers: { 'retry-after': '1' } });
    return send(setting, edit);
  },
};

const urlOf = ({ gateway }: Setting): string => `${gateway.url}/v1/images/edits`;
const send = (setting: Setting, members: object, path = '/v1/images/edits'): Promise<Response> =>
  postJson(setting.gateway.url + path, members);
const form = (setting: Setting, fields: Readonly<Record<string, string | Buffer>>): Promise<Response> =>
  fetch(urlOf(setting), { method: 'POST', body: formOf(fields) });

/** Makes the mistake, and waits for the access line, which is the last that a request causes. */
async function look(make: (setting: Setting) => Promise<Response>): Promise<void> {
  const answer = await make(setting);
  const text = await answer.text();
  if (answer.status !== 200) {
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(text).not.toMatch(run);
  }
  const id = answer.headers.get('x-request-id') ?? 'none';
  const line = new RegExp(`request_id(?:":"|=)${id}.*duration_ms`);
  await expect.poll(() => setting.gateway.output.stdout()).toMatch(line);
  const printed = setting.gateway.output.stdout() + setting.gateway.output.stderr();
  expect(run.exec(printed)?.[0]).toBeUndefined();
}

describe('a picture is not shown', () => {
  it.each(Object.entries(mistakes))('in the answer to %s, nor in the log', async (_, make) => look(make));

  it('but leaves a note of its kind, size and digest', () => {
    expect(setting.gateway.output.stdout()).toMatch(/\[base64, \d+ characters, sha256 [0-9a-f]{12}\]/);
  });

  it('in the ledger either, whatever callers write where it keeps texts', async () => {
    const short = secret.slice(0, 900);
    const members = { user: picture.slice(0, 900), quality: short, model: `sandbox/${short}` };
    await (await send(setting, { ...edit, ...members })).arrayBuffer();
    const headers = { 'x-pinhole-session-id': forUrls.slice(0, 900), 'x-pinhole-user-id': forUrls.slice(0, 900) };
    await (await postJson(urlOf(setting), edit, headers)).arrayBuffer();
    const rows = JSON.stringify(await ledgerRows(setting.gateway));
    expect(rows).toContain('[data-uri, ');
    expect(run.exec(rows)?.[0]).toBeUndefined();
  });

  it('in a log for people either, at any of these', async () => {
    await setting.gateway.apply(strictly(setting.fake, 'pretty'));
    for (const make of Object.values(mistakes)) await look(make);
  });
});

describe('an error', () => {
  it('leaves the same note in place of what it repeats, and the rest of its words', async () => {
    setting.fake.next({ status: 400, body: failing(`Invalid 'image_url': '${picture}'. Try another.`) });
    const answer = await send(setting, edit);
    expect(await answer.json()).toMatchObject({
      error: {
        message: expect.stringMatching(
          /^Invalid 'image_url': '\[data-uri, \d+ characters, sha256 [0-9a-f]{12}\]'\. Try another\.$/,
        ),
      },
    });
  });
});
