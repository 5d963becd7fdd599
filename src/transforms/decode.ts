import schema from '../../schemas/stages/decode.schema.json' with { type: 'json' };
import { payloadByteLength, payloadBytes, payloadHead } from '../images/convert-payload.ts';
import { magicBytes, sniffMediaType } from '../images/probe.ts';
import type { ImagePayload } from '../images/payload.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { defineStage } from '../pipeline/stage.ts';
import { withBytes } from './result-picture.ts';

/**
 * One picture → its raw bytes, where the route says `decode: true` or the request `accept: image/…`. Any other number of
 * pictures stays JSON. The media type is that of the bytes, whatever was asked for.
 */
export const decode = defineStage({
  name: 'decode',
  schema,
  reads: ['target', 'result', 'response'],
  writes: ['response'],
  create(_config, env) {
    return async function decode(exchange) {
      const { request, route, result, response } = exchange;
      const wanted = route.decode || /^\s*image\//i.test(request.headers.accept ?? '');
      if (!wanted || response.kind !== 'images' || response.framing !== 'json') return { response };
      const { images } = await result.read();
      const [image, ...others] = images;
      if (image === undefined || others.length > 0) return { response };
      const { payload } = await withBytes(image, exchange.target, exchange, env);
      return { response: await rawResponse(payload) };
    };
  },
});

async function rawResponse(payload: ImagePayload): Promise<BodyResponse> {
  const mediaType = sniffMediaType(await payloadHead(payload, magicBytes)) ?? 'application/octet-stream';
  const bytes = payloadBytes(payload);
  return {
    kind: 'body',
    status: 200,
    headers: { 'content-type': mediaType, 'x-content-type-options': 'nosniff' },
    body: {
      length: payloadByteLength(payload),
      cancel() {},
      [Symbol.asyncIterator]: () => bytes[Symbol.asyncIterator](),
    },
  };
}
