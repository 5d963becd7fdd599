import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { GuardConfig, GuardRuleFile } from '../../../src/generated/stages/guard.ts';
import type { ImageCall } from '../../../src/pipeline/call.ts';
import type { StageEnv } from '../../../src/pipeline/stage.ts';
import { guard } from '../../../src/transforms/guard.ts';
import { filledBy, makeCall, makeExchange, makeStageEnv } from '../../fixtures/exchange.ts';
import { png, sha256 } from '../../fixtures/pictures.ts';

const picture = png();

function config(...rules: readonly Partial<GuardRuleFile>[]): GuardConfig {
  const defaults = { action: 'block', on_failure: 'block', whole_words: true } as const;
  return {
    rules: rules.map((rule, index) => ({ id: `rule-${index}`, ...defaults, ...rule })),
    status: 400,
    timeout: 5000,
    skip_parameters: ['negative_prompt'],
  };
}

const webhook = (include_images: boolean) => ({ url: 'https://judge.test/ask', headers: {}, include_images });

/** Surroundings with a service that allows everything, and writes down what it was asked. */
function surroundings(): { readonly env: StageEnv; readonly asked: unknown[]; readonly fetched: string[] } {
  const asked: unknown[] = [];
  const fetched: string[] = [];
  const env = makeStageEnv({
    services: {
      connect: () => ({
        ask: async ({ body }) => (asked.push(body), { allow: true }),
        tell: () => Promise.reject(new Error('This test did not expect to tell a service.')),
        close: () => Promise.resolve(),
      }),
    },
    pictures: {
      async fetchAll(links) {
        return links.map(({ url, see }) => {
          fetched.push(url);
          see?.(picture);
          return { payload: { kind: 'bytes', bytes: picture }, mediaType: 'image/png' };
        });
      },
    },
  });
  return { env, asked, fetched };
}

const linked: Partial<ImageCall> = {
  operation: 'edition',
  images: [
    {
      kind: 'image',
      payload: { kind: 'link', url: 'https://pictures.test/1.png', trust: 'caller' },
      mediaType: undefined,
    },
    { kind: 'provider-file', id: 'file-1' },
  ],
};

describe('a picture behind a link', () => {
  it('stays there as long as nobody wants to see it', async () => {
    const { env, asked, fetched } = surroundings();
    const call = makeCall(linked);
    const filled = await filledBy(guard.create(config({ webhook: webhook(false) }), env)(makeExchange({ call })));
    expect(filled.call).toBe(call);
    expect(fetched).toEqual([]);
    expect(asked).toMatchObject([{ images: [{ url: 'https://pictures.test/1.png' }, { file_id: 'file-1' }] }]);
  });

  it('is fetched for a service that wants to see it, and the provider gets what was seen', async () => {
    const { env, asked, fetched } = surroundings();
    const handle = guard.create(config({ webhook: webhook(true) }), env);
    const { call } = await filledBy(handle(makeExchange({ call: makeCall(linked) })));
    expect(call.images[0]).toEqual({
      kind: 'image',
      payload: { kind: 'bytes', bytes: picture },
      mediaType: 'image/png',
    });
    expect(fetched).toEqual(['https://pictures.test/1.png']);
    const shown = {
      media_type: 'image/png',
      bytes: picture.byteLength,
      sha256: sha256(picture),
      data: expect.anything(),
    };
    expect(asked).toMatchObject([{ images: [shown, { file_id: 'file-1' }] }]);
  });

  it('is not fetched for a prompt that is refused here', async () => {
    const { env, fetched } = surroundings();
    const handle = guard.create(config({ webhook: webhook(true) }, { keywords: ['lighthouse'] }), env);
    await expect(async () => handle(makeExchange({ call: makeCall(linked) }))).rejects.toBeInstanceOf(GatewayError);
    expect(fetched).toEqual([]);
  });
});

describe('a guard within a fallback', () => {
  it('judges a call once, for all of its candidates', async () => {
    const { env, asked } = surroundings();
    const handle = guard.create(config({ webhook: webhook(true) }), env);
    const exchange = makeExchange({ call: makeCall(linked) });
    const first = await filledBy(handle(exchange));
    const second = await filledBy(handle(exchange));
    expect(second.call).toBe(first.call);
    expect(asked).toHaveLength(1);
  });
});

it('a guard without rules lets everything through', async () => {
  const call = makeCall();
  expect(await guard.create(config(), makeStageEnv())(makeExchange({ call }))).toEqual({ call });
});
