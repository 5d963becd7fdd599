import schema from '../../schemas/stages/provider-transform.schema.json' with { type: 'json' };
import type { TargetCall } from '../pipeline/call.ts';
import { defineStage } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';

/** `ImageCall` → the provider's wire requests: one, or as many as it takes to make `n` pictures. */
export const providerTransform = defineStage({
  name: 'provider-transform',
  schema,
  reads: ['call', 'target'],
  writes: ['upstream'],
  create() {
    return function providerTransform({ call, target, responseHeaders }) {
      const { provider } = target.entity;
      const { maxImages } = provider.capabilities(target.model);
      const encoded = portions(targetCall(call, target), maxImages).map((portion) => provider.encode(portion));
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
