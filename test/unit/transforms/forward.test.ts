import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { Exchange } from '../../../src/pipeline/exchange.ts';
import type { ForwardSettings } from '../../../src/pipeline/settings.ts';
import { ConfigError } from '../../../src/pipeline/stage.ts';
import { forward } from '../../../src/transforms/forward.ts';
import { filledBy, makeExchange, makeRoute, makeStageEnv } from '../../fixtures/exchange.ts';

const upstream: ForwardSettings = { url: new URL('https://api.example.com'), headers: {}, timeoutMs: 1000 };
const route = makeRoute({ upstream });

describe('forward', () => {
  it('hands the exchange over and tells the status that went out', async () => {
    const handed: (readonly [Exchange, ForwardSettings])[] = [];
    const forwarder = {
      forward(exchange: Exchange, settings: ForwardSettings) {
        handed.push([exchange, settings]);
        return Promise.resolve({ status: 418 });
      },
    };
    const exchange = makeExchange({}, { route });
    const outcome = forward.create({}, makeStageEnv({ route, forward: forwarder }))(exchange);
    expect(await filledBy(outcome)).toEqual({ response: { kind: 'taken', status: 418 } });
    expect(handed).toEqual([[exchange, upstream]]);
    expect(handed[0]?.[0]).toBe(exchange);
  });

  it('fails as the forwarding does', async () => {
    const error = new GatewayError('upstream_unreachable', 'Nobody is there.');
    const env = makeStageEnv({ route, forward: { forward: () => Promise.reject(error) } });
    await expect(forward.create({}, env)(makeExchange({}, { route }))).rejects.toBe(error);
  });

  it('cannot stand in a route that says nowhere to forward to', () => {
    const create = (): unknown => forward.create({}, makeStageEnv({ route: makeRoute({ id: 'rest' }) }));
    expect(create).toThrow(ConfigError);
    expect(create).toThrow('the route `rest` needs an `upstream`');
  });
});
