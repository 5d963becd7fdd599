import type { ImageCall, ImageParameters, TargetCall } from './call.ts';
import type { Target } from './settings.ts';

/** A call as one target will get it: the model as resolved, and the entity's own options where the caller is silent. */
export function targetCall(call: ImageCall, target: Target): TargetCall {
  const defaults = target.entity.operations[call.operation];
  return {
    ...call,
    model: target.model,
    parameters: withDefaults(call.parameters, defaults.parameters),
    responseFormat: call.responseFormat ?? defaults.responseFormat,
  };
}

function withDefaults(asked: ImageParameters, defaults: ImageParameters): ImageParameters {
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}
