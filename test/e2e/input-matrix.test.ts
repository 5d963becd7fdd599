/**
 * One contract for input pictures: every path, every form of body, every form of picture, every form of answer. The same
 * prompt and the same bytes must reach the vendor in each of them. I01-I04, I11-I13, I15-I19, O07, O15.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { dataUri, jpeg, maskPng, png, randomPng, sha256, webp } from '../fixtures/pictures.ts';
import { jsonOf, startSetting, type Setting } from '../fixtures/setting.ts';

const prompt = 'paint it bluer – “größer”, \\"and\\" 青い 🗼 & \u{1f3f4}\u{e0067}%20';
/** What the vendor draws. */
const drawn = png({ width: 16, height: 16, colour: [3, 1, 4, 255] });

const paths = [
  '/v1/images/generations',
  '/v1/images/edits',
  '/v1/openai/images/generations',
  '/v1/openai/images/edits',
] as const;
/** A file in JSON does not exist: there, bytes are a data URI. */
const forms = [
  'JSON with URLs',
  'JSON with data URIs',
  'a form with files',
  'a form with URLs',
  'a form with data URIs',
];
const counts = ['one', 'several', 'with a mask'] as const;
const outputs = ['url', 'b64_json', 'b64_ephemeral', 'decode'] as const;

let setting: Setting;
let host: PictureHost;
/** By how many: small ones that stay strings, and one that is too long for that. */
let pictures: Readonly<Record<(typeof counts)[number], readonly Buffer[]>>;

beforeAll(async () => {
  host = await startPictureHost();
  pictures = {
    one: [png()],
    several: [png({ colour: [1, 2, 3, 255] }), await jpeg(), randomPng(30_000), await webp()],
    'with a mask': [png({ colour: [7, 7, 7, 255] })],
  };
  setting = await startSetting({
    config: (fake) => {
      const [generate, edit, ...others] = openAiRoutes(['openai-main']);
      if (generate === undefined || edit === undefined) throw new Error('never');
      const aliases = [generate, edit].map((route) => ({
        ...route,
        id: `imagerouter-${route.id}`,
        path: route.path.replace('/v1/', '/v1/openai/'),
      }));
      const routes = [generate, edit, ...aliases, ...others];
      return gatewayConfig([openAiEntity(fake)], { image_urls: { allow: [host.origin] }, routes });
    },
  });
  setting.fake.draw(drawn);
});
afterAll(async () => {
  await setting.stop();
  await host.close();
});

const urlOf = (path: string): string => setting.gateway.url + path;
const mask = maskPng();

/** A picture in the form that is asked for. */
function given(picture: Buffer, form: string): string | File {
  if (form.endsWith('URLs')) return host.offer(picture);
  if (form.endsWith('data URIs')) return dataUri(picture);
  return new File([Uint8Array.from(picture)], 'blob', { type: 'application/octet-stream' });
}

type Entry = readonly [name: string, value: string | File];

function formBody(entries: readonly Entry[]): { readonly body: FormData; readonly headers: Record<string, string> } {
  const body = new FormData();
  for (const [name, value] of entries) body.append(name, value);
  return { body, headers: {} };
}

function jsonBody(members: object): { readonly body: string; readonly headers: Record<string, string> } {
  return { body: JSON.stringify(members), headers: { 'content-type': 'application/json' } };
}

/** The request with these pictures; parts of a form come in an order that helps nobody. */
function requestOf(form: string, count: (typeof counts)[number], format: Readonly<Record<string, string>>) {
  const sent = pictures[count].map((picture) => given(picture, form));
  const masks = count === 'with a mask' ? [given(mask, form)] : [];
  if (form.startsWith('JSON')) {
    const image = sent.length === 1 ? sent[0] : sent;
    return jsonBody({
      ...format,
      prompt,
      image,
      ...(masks.length === 0 ? {} : { mask: masks[0] }),
      n: 1,
      stream: false,
    });
  }
  const imageName = sent.length === 1 ? 'image' : 'image[]';
  return formBody([
    ...masks.map((picture): Entry => ['mask', picture]),
    ...sent.map((picture): Entry => [imageName, picture]),
    ['n', '1'],
    ...Object.entries(format),
    ['stream', 'false'],
    ['prompt', prompt],
  ]);
}

const expectedDigests = (count: (typeof counts)[number]): readonly string[] =>
  [...pictures[count], ...(count === 'with a mask' ? [mask] : [])].map(sha256);

/** The picture in an answer of this form. */
async function pictureIn(answer: Response, output: (typeof outputs)[number]): Promise<Buffer> {
  if (output === 'decode') {
    expect(answer.headers.get('content-type')).toBe('image/png');
    return Buffer.from(await answer.arrayBuffer());
  }
  const { data } = await jsonOf(answer);
  expect(data).toHaveLength(1);
  const [picture]: readonly { readonly url?: string; readonly b64_json?: string }[] = Array.isArray(data) ? data : [];
  if (output !== 'url') {
    expect(picture?.url).toBeUndefined();
    return Buffer.from(picture?.b64_json ?? '', 'base64');
  }
  expect(picture?.b64_json).toBeUndefined();
  const opened = await fetch(picture?.url ?? '');
  expect(opened.headers.get('content-type')).toBe('image/png');
  return Buffer.from(await opened.arrayBuffer());
}

const cases = paths.flatMap((path) => forms.flatMap((form) => counts.map((count) => [path, form, count] as const)));

describe('an edit', () => {
  it('has as many cases as there are ways', () => {
    expect(cases.length * outputs.length).toBe(4 * 5 * 3 * 4);
  });

  it.each(cases)('at %s, as %s, of pictures: %s, is the same, whatever is given back', async (path, form, count) => {
    for (const output of outputs) {
      const { body, headers } = requestOf(form, count, output === 'decode' ? {} : { response_format: output });
      const before = setting.fake.requests.length;
      const accept = output === 'decode' ? 'image/*' : 'application/json';
      const answer = await fetch(urlOf(path), { method: 'POST', body, headers: { ...headers, accept } });
      expect([output, answer.status]).toEqual([output, 200]);
      expect(sha256(await pictureIn(answer, output))).toBe(sha256(drawn));

      const received = setting.fake.last();
      expect(setting.fake.requests.length).toBe(before + 1);
      expect(received.path).toBe('/v1/images/edits');
      expect(received.members).toEqual({ model: 'gpt-image-2', prompt, n: '1' });
      expect(received.pictures.map((picture) => picture.sha256)).toEqual(expectedDigests(count));
      expect(received.pictures.map(({ name }) => name)).toEqual([
        ...pictures[count].map(() => (pictures[count].length === 1 ? 'image' : 'image[]')),
        ...(count === 'with a mask' ? ['mask'] : []),
      ]);
    }
  });

  const [first, second] = [png({ colour: [11, 0, 0, 255] }), png({ colour: [22, 0, 0, 255] })];
  const both = [first, second].map(sha256);

  it.each<[string, object, readonly string[]]>([
    ['image: a string', { image: dataUri(first) }, [sha256(first)]],
    ['image: a list', { image: [dataUri(first), dataUri(second)] }, both],
    ['image[]: a list', { 'image[]': [dataUri(first), dataUri(second)] }, both],
    ['images: a list of strings', { images: [dataUri(first), dataUri(second)] }, both],
    ['images[]: a string', { 'images[]': dataUri(first) }, [sha256(first)]],
    ['images: OpenAI’s list', { images: [{ image_url: dataUri(first) }, { image_url: dataUri(second) }] }, both],
    ['image: OpenAI’s object', { image: { image_url: dataUri(first) } }, [sha256(first)]],
    ['image and images', { images: [{ image_url: dataUri(second) }], image: dataUri(first) }, both],
    ['mask: OpenAI’s object', { image: dataUri(first), mask: { image_url: dataUri(mask) } }, [first, mask].map(sha256)],
    ['mask[]: a list of one', { image: dataUri(first), 'mask[]': [dataUri(mask)] }, [first, mask].map(sha256)],
    ['mask: a list of one', { image: dataUri(first), mask: [dataUri(mask)] }, [first, mask].map(sha256)],
  ])('takes in JSON, at every path, %s', async (_, members, digests) => {
    for (const path of paths) {
      const { body, headers } = jsonBody({ ...members, prompt });
      const answer = await fetch(urlOf(path), { method: 'POST', body, headers });
      await answer.arrayBuffer();
      expect([path, answer.status]).toEqual([path, 200]);
      expect(setting.fake.last().pictures.map((picture) => picture.sha256)).toEqual(digests);
    }
  });

  it.each<[string, readonly string[]]>([
    ['image twice', ['image', 'image']],
    ['image[] twice', ['image[]', 'image[]']],
    ['images twice', ['images', 'images']],
    ['images[] twice', ['images[]', 'images[]']],
    ['image[0] and image[1]', ['image[0]', 'image[1]']],
  ])('takes in a form, at every path, %s, one a file and one a text', async (_, names) => {
    for (const path of paths) {
      for (const [one, other] of [
        ['a form with files', 'a form with URLs'],
        ['a form with URLs', 'a form with data URIs'],
        ['a form with data URIs', 'a form with files'],
      ] as const) {
        const values = [given(first, one), given(second, other), given(mask, one)];
        const entries = [...names, 'mask[]'].map((name, index): Entry => [name, values[index] ?? '']);
        const { body } = formBody([...entries, ['prompt', prompt]]);
        const answer = await fetch(urlOf(path), { method: 'POST', body });
        await answer.arrayBuffer();
        expect([path, one, answer.status]).toEqual([path, one, 200]);
        expect(setting.fake.last().pictures.map((picture) => picture.sha256)).toEqual([...both, sha256(mask)]);
      }
    }
  });

  it.each(paths)('at %s takes sixteen pictures in three forms, in their order, and not one more', async (path) => {
    const many = Array.from({ length: 17 }, (_, index) => png({ colour: [index, 50, 50, 255] }));
    const mixed = ['a form with files', 'a form with URLs', 'a form with data URIs'];
    const entries = many.map((picture, index): Entry => ['image[]', given(picture, mixed[index % 3] ?? '')]);
    for (const number of [16, 17]) {
      const { body } = formBody([['prompt', prompt], ...entries.slice(0, number)]);
      const answer = await fetch(urlOf(path), { method: 'POST', body });
      if (number === 16) {
        expect(answer.status).toBe(200);
        const digests = setting.fake.last().pictures.map((picture) => picture.sha256);
        expect(digests).toEqual(many.slice(0, 16).map(sha256));
      } else {
        expect(await jsonOf(answer)).toMatchObject({ error: { code: 'too_many_images', param: 'image' } });
      }
    }
  });
});

describe('a request without a picture', () => {
  it.each(paths)('at %s is a generation, or says that `image` is missing, in JSON and in a form', async (path) => {
    for (const { body, headers } of [jsonBody({ prompt }), formBody([['prompt', prompt]])]) {
      const answer = await fetch(urlOf(path), { method: 'POST', body, headers });
      if (path.endsWith('generations')) {
        expect(answer.status).toBe(200);
        expect(setting.fake.last()).toMatchObject({ path: '/v1/images/generations', members: { prompt } });
      } else {
        expect(answer.status).toBe(400);
        expect(await jsonOf(answer)).toMatchObject({
          error: { code: 'missing_required_parameter', param: 'image', type: 'invalid_request_error' },
        });
      }
    }
  });
});
