import schema from '../../schemas/stages/forward.schema.json' with { type: 'json' };
import { defineStage, ConfigError } from '../pipeline/stage.ts';

/** Hands the live request to the route's `upstream` as it came: other endpoints, WebSockets and event streams included. */
export const forward = defineStage({
  name: 'forward',
  schema,
  reads: [],
  writes: ['response'],
  create(_config, env) {
    const { upstream } = env.route;
    if (upstream === undefined)
      throw new ConfigError('', `the route \`${env.route.id}\` needs an \`upstream\` to forward to`);

    return async function forward(exchange) {
      const { status } = await env.forward.forward(exchange, upstream);
      return { response: { kind: 'taken', status } };
    };
  },
});
