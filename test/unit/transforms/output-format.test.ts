import { describe, expect, it } from 'vitest';
import { createRecoder, type Recoder } from '../../../src/images/recoder.ts';
import type { ImageParameters } from '../../../src/pipeline/call.ts';
import type { SupportedParameters } from '../../../src/providers/provider.ts';
import { inOwedFormat, owedFormat, type OwedFormat } from '../../../src/transforms/output-format.ts';
import { makeCapabilities } from '../../fixtures/exchange.ts';
import { formatOf, jpeg, png } from '../../fixtures/pictures.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';

const native: SupportedParameters = { outputFormat: 'native', outputCompression: 'native' };

describe('the format that the gateway owes', () => {
  it.each<[ImageParameters, SupportedParameters, OwedFormat | undefined]>([
    [{}, {}, undefined],
    [{ outputFormat: 'webp' }, {}, { format: 'webp', quality: undefined }],
    [{ outputFormat: 'jpg' }, {}, { format: 'jpeg', quality: undefined }],
    [{ outputFormat: 'png', outputCompression: 50 }, {}, { format: 'png', quality: 50 }],
    [{ outputFormat: 'webp' }, { outputFormat: 'mapped' }, { format: 'webp', quality: undefined }],
    [{ outputFormat: 'webp', outputCompression: 50 }, native, undefined],
    [{ outputFormat: 'webp', outputCompression: 50 }, { outputFormat: 'native' }, { format: undefined, quality: 50 }],
    [{ outputCompression: 50 }, {}, { format: undefined, quality: 50 }],
    [{ outputFormat: 'svg' }, {}, undefined],
    [{ outputFormat: 'constructor' }, {}, undefined],
  ])('of %j, where the provider has %j, is %j', async (parameters, supported, owed) => {
    const call = makeTargetCall({ parameters });
    expect(await owedFormat(call, makeCapabilities({ parameters: supported }))).toEqual(owed);
  });
});

describe('a picture', () => {
  const { signal } = new AbortController();
  const recoder = createRecoder({ atOnce: 1, maxWaiting: 1 });
  const unused: Recoder = { recode: () => Promise.reject(new Error('there was nothing to do')) };
  const image = (bytes: Uint8Array) => ({ payload: { kind: 'bytes', bytes }, revisedPrompt: 'words' }) as const;

  it('that is in its format already stays as it is, to the last bit', async () => {
    const file = image(png());
    expect(await inOwedFormat(file, { format: 'png', quality: undefined }, unused, signal)).toBe(file);
    expect(await inOwedFormat(file, { format: 'png', quality: 50 }, unused, signal)).toBe(file);
    expect(await inOwedFormat(file, { format: undefined, quality: 50 }, unused, signal)).toBe(file);
  });

  it('that is in another one is written anew, whatever it was called', async () => {
    const made = await inOwedFormat(image(await jpeg()), { format: 'webp', quality: undefined }, recoder, signal);
    if (made.payload.kind !== 'bytes') throw new Error('there are no bytes');
    expect(formatOf(Buffer.from(made.payload.bytes))).toBe('webp');
    expect(made.revisedPrompt).toBe('words');
  });

  it('gets the quality that the provider could not be told', async () => {
    const file = image(await jpeg());
    expect(await inOwedFormat(file, { format: undefined, quality: 20 }, recoder, signal)).not.toBe(file);
  });

  it('that is none that we know is left alone', async () => {
    const file = image(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'));
    expect(await inOwedFormat(file, { format: undefined, quality: 20 }, unused, signal)).toBe(file);
    const strange = image(Buffer.from('something else entirely'));
    expect(await inOwedFormat(strange, { format: 'png', quality: 20 }, unused, signal)).toBe(strange);
  });
});
