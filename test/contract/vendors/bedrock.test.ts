import { describe, expect, it } from 'vitest';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { bedrock } from '../../../src/providers/bedrock.ts';
import { Secret } from '../../../src/secret.ts';
import { bedrockFixtures } from '../../fixtures/providers/bedrock.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { maskPng, png, sha256 } from '../../fixtures/pictures.ts';
import { signatureProblem, type SignedRequest, type SigningKeys } from '../../fixtures/vendors/aws-signature.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(bedrock, {});
providerContract({
  definition: bedrock,
  settings,
  fixtures: bedrockFixtures,
  base: 'https://bedrock-runtime.us-west-2.amazonaws.com',
});

const provider = bedrock.create(settings);
const membersOf = (call: TargetCall): Readonly<Record<string, unknown>> => {
  const { body } = provider.encode(call).request;
  return body.kind === 'json' ? { ...Object(body.value) } : {};
};

describe('the signatures of bedrock', () => {
  const keys: SigningKeys = {
    accessKeyId: 'AKIDEXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  };
  const pair = `${keys.accessKeyId}:${keys.secretAccessKey}`;
  const body = Buffer.from('{"prompt":"a lighthouse"}');
  const scope = { region: 'us-west-2', service: 'bedrock' };

  async function signed(token: string): Promise<SignedRequest> {
    const { request } = provider.encode(makeTargetCall({ model: 'stability.stable-image-core-v1:1' }));
    const headers = await provider.sign?.(
      { ...request, bodySha256: sha256(body), nowMs: Date.UTC(2026, 10, 20, 8, 53, 20, 123) },
      new Secret(token),
    );
    const { pathname, searchParams, host } = new URL(request.url);
    return {
      method: 'POST',
      path: pathname,
      query: searchParams,
      headers: { ...request.headers, 'content-type': 'application/json', ...headers, host },
      body,
    };
  }

  it('are checked by a reader that knows the example of AWS', () => {
    const request = {
      method: 'GET',
      path: '/',
      query: new URLSearchParams(),
      headers: {
        host: 'example.amazonaws.com',
        'x-amz-date': '20150830T123600Z',
        authorization:
          'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
      },
      body: Buffer.alloc(0),
    };
    expect(signatureProblem(request, keys, { region: 'us-east-1', service: 'service' })).toBeUndefined();
  });

  it('are right for an address with a percent sign in it', async () => {
    const request = await signed(pair);
    expect(request.path).toBe('/model/stability.stable-image-core-v1%3A1/invoke');
    expect(request.headers['x-amz-date']).toBe('20261120T085320Z');
    expect(signatureProblem(request, keys, scope)).toBeUndefined();
    expect(provider.authorise(new Secret(pair))).toEqual({});
  });

  it('are right with a session token, which is signed too', async () => {
    const sessionToken = 'IQoJb3JpZ2luX2VjEXAMPLE/token+8f2c==';
    const request = await signed(`${pair}:${sessionToken}`);
    expect(request.headers['x-amz-security-token']).toBe(sessionToken);
    expect(signatureProblem(request, { ...keys, sessionToken }, scope)).toBeUndefined();
    expect(signatureProblem(request, keys, scope)).toBe('UnrecognizedClientException');
  });

  it('fit no other body, path, key or region', async () => {
    const request = await signed(pair);
    const wrong = 'InvalidSignatureException';
    expect(signatureProblem({ ...request, body: Buffer.from('{}') }, keys, scope)).toBe(wrong);
    expect(signatureProblem({ ...request, path: '/model/other/invoke' }, keys, scope)).toBe(wrong);
    expect(signatureProblem(request, { ...keys, secretAccessKey: 'other' }, scope)).toBe(wrong);
    expect(signatureProblem(request, keys, { ...scope, region: 'us-east-1' })).toBe(wrong);
  });

  it('are not made with an API key, which is a bearer token', async () => {
    const { headers } = await signed('ABSKexample');
    expect(headers['authorization']).toBe('Bearer ABSKexample');
    expect(headers).not.toHaveProperty('x-amz-date');
    expect(provider.authorise(new Secret('ABSKexample'))).toEqual({ authorization: 'Bearer ABSKexample' });
  });
});

describe('bedrock', () => {
  it('is found in the region that the file names, or where it says', () => {
    const at = (connection: object): string | undefined =>
      bedrock.create(providerConfig(bedrock, { connection })).origin;
    expect(at({ region: 'eu-central-1' })).toBe('https://bedrock-runtime.eu-central-1.amazonaws.com');
    expect(at({ region: 'eu-central-1', base_url: 'https://vpce-1.example.com/' })).toBe('https://vpce-1.example.com');
    expect(() => at({ region: 'evil.example.com/' })).toThrow(/region of AWS/);
  });

  it.each([
    ['stability.stable-image-ultra-v1:1', 'generation'],
    ['stability.sd3-large-v1:0', 'generation'],
    ['stability.sd9-huge-v1:0', 'generation'],
    ['arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2', 'generation'],
    ['stability.stable-image-search-replace-v1:0', 'edition'],
    ['us.stability.stable-outpaint-v1:0', 'edition'],
    ['stability.stable-creative-upscale-v1:0', 'edition'],
    ['amazon.titan-image-generator-v2:0', 'generation'],
  ] as const)('has something for %s to do in %s', (model, operation) => {
    expect(provider.capabilities(model, operation)).toBeDefined();
  });

  it('knows what each family takes', () => {
    expect(provider.capabilities('stability.stable-image-core-v1:1', 'edition')).toBeUndefined();
    expect(provider.capabilities('stability.stable-image-core-v1:1', 'generation')?.further).toEqual([
      'negative_prompt',
      'aspect_ratio',
    ]);
    expect(provider.capabilities('stability.stable-image-inpaint-v1:0', 'generation')).toBeUndefined();
    expect(provider.capabilities('stability.stable-image-inpaint-v1:0', 'edition')?.mask).toBe('white');
    expect(provider.capabilities('stability.stable-image-erase-object-v1:0', 'edition')?.promptOptional).toBe(true);
    expect(provider.capabilities('amazon.nova-canvas-v1:0', 'edition')).toMatchObject({ mask: 'black', maxImages: 5 });
    expect(provider.capabilities('amazon.titan-image-generator-v1', 'generation')?.parameters).not.toHaveProperty(
      'style',
    );
  });

  it.each([
    ['amazon.nova-canvas-v1:0', '1024x1024', { width: 1024, height: 1024 }],
    ['amazon.nova-canvas-v1:0', '16:9', { width: 1360, height: 768 }],
    ['amazon.nova-canvas-v1:0', '5000x5000', { width: 2048, height: 2048 }],
    ['amazon.nova-canvas-v1:0', 'auto', {}],
    ['amazon.titan-image-generator-v2:0', '1024x1792', { width: 768, height: 1408 }],
    ['amazon.titan-image-generator-v2:0', undefined, {}],
  ])('asks %s for %s', (model, size, expected) => {
    const call = makeTargetCall({ model, parameters: { size } });
    expect(membersOf(call)['imageGenerationConfig']).toEqual(expected);
    expect(provider.encode(call).dropped).toEqual([]);
  });

  it('leaves out a size that is too narrow, and a style that is unknown', () => {
    const parameters = { size: '4096x512', style: 'vivid', quality: 'auto' };
    const call = makeTargetCall({ model: 'amazon.nova-canvas-v1:0', parameters });
    expect(provider.encode(call).dropped).toEqual(['size', 'style']);
    expect(membersOf(call)).toEqual({
      taskType: 'TEXT_IMAGE',
      textToImageParams: { text: 'a lighthouse' },
      imageGenerationConfig: {},
    });
  });

  it('finds the place to change by words where there is no mask', () => {
    const call = makeTargetCall({
      model: 'amazon.nova-canvas-v1:0',
      operation: 'edition',
      images: [uploaded(png(), 'image/png')],
      unknown: { maskPrompt: 'the sky' },
    });
    expect(membersOf(call)).toMatchObject({ taskType: 'INPAINTING', inPaintingParams: { maskPrompt: 'the sky' } });
  });

  it('refuses a mask for several pictures', () => {
    const call = makeTargetCall({
      model: 'amazon.nova-canvas-v1:0',
      operation: 'edition',
      images: [uploaded(png(), 'image/png'), uploaded(png(), 'image/png')],
      mask: uploaded(maskPng(), 'image/png'),
    });
    expect(() => provider.encode(call)).toThrow(/takes one picture/);
  });
});
