import schema from '../../schemas/stages/provider-transform.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { TargetCall } from '../pipeline/call.ts';
import { defineStage } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';

/** `ImageCall` → the provider's wire requests: one, or as many as it takes to make `n` pictures. */
export const providerTransform = defineStage({
  name: 'provider-transform',
  schema,
  reads: ['call', 'target'],
  writes: ['upstream'],
  create(_config, env) {
    const canHost = env.catalogue.hosting.path !== undefined;

    return function providerTransform({ call, target, responseHeaders }) {
      const { provider } = target.entity;
      const { maxImages, nativeForm } = provider.capabilities(target.model);
      const wanted = targetCall(call, target);
      if (wanted.responseFormat === 'url' && nativeForm === 'b64_json' && !canHost) throw noLinks();
      const encoded = portions(wanted, maxImages).map((portion) => provider.encode(portion));
      const dropped = new Set(encoded.flatMap((one) => one.dropped));
      if (dropped.size > 0) responseHeaders.set('x-pinhole-dropped-params', [...dropped].join(', '));
      else responseHeaders.delete('x-pinhole-dropped-params');
      return { upstream: encoded.map((one) => one.request) };
    };
  },
});

/** The call cut so that no part asks for more pictures than one request may. */
function portions(call: TargetCall, maxImages: number): readonly TargetCall[] {
  const wanted = call.parameters.n ?? 1;
  if (wanted <= maxImages) return [call];
  const counts = Array.from({ length: Math.ceil(wanted / maxImages) }, (_, index) =>
    Math.min(maxImages, wanted - index * maxImages),
  );
  return counts.map((n) => ({ ...call, parameters: { ...call.parameters, n } }));
}

/** Said before anything is sent: afterwards it would have been paid for. */
function noLinks(): GatewayError {
  const message = 'The provider gives no links, and this gateway has no route that serves hosted images.';
  return new GatewayError('unsupported_parameter', message, { param: 'response_format' });
}
