import { describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient } from '../fixtures/openai-client.ts';
import { startSetting } from '../fixtures/setting.ts';

describe('what a reload leaves alone', () => {
  it.each(['memory:', 'sqlite:./data/pinhole.db'])('the count of a budget, with state %s', async (state) => {
    const config = (limit: number) => (fake: Parameters<typeof openAiEntity>[0]) =>
      gatewayConfig([openAiEntity(fake)], {
        state,
        budgets: [{ id: 'all', limit: { images: limit }, window: 'lifetime' }],
        aliases: { [`alias-${String(limit)}`]: { targets: ['openai-main/gpt-image-2'] } },
      });
    const { gateway, fake, client, stop } = await startSetting({ config: config(3) });
    const generate = (n = 1) => client.images.generate({ prompt: 'a lighthouse', n });
    await generate(2);
    await gateway.apply({ ...config(3)(fake), aliases: {} });
    expect(await apiError(generate(2))).toMatchObject({ code: 'budget_exceeded' });
    await generate(1);
    await gateway.apply(config(5)(fake));
    await generate(2);
    expect(await apiError(generate(1))).toMatchObject({ code: 'budget_exceeded' });
    await stop();
  });

  it('a reservation that is open: it is settled once, by the snapshot that took it', async () => {
    const config = (alias: string) => (fake: Parameters<typeof openAiEntity>[0]) =>
      gatewayConfig([openAiEntity(fake)], {
        budgets: [{ id: 'all', limit: { images: 2 }, window: 'lifetime' }],
        aliases: { [alias]: { targets: ['openai-main/gpt-image-2'] } },
      });
    const { gateway, fake, client, stop } = await startSetting({ config: config('before') });
    const generate = () => client.images.generate({ prompt: 'a lighthouse' });
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    fake.next({ hold });
    const held = generate();
    await fake.until(() => fake.requests.length === 1);
    for (let round = 0; round < 5; round += 1) await gateway.apply(config(`after-${String(round)}`)(fake));
    await generate();
    expect(await apiError(generate())).toMatchObject({ code: 'budget_exceeded' });
    release();
    await held;
    expect(await apiError(generate())).toMatchObject({ code: 'budget_exceeded' });
    expect(fake.billed).toBe(2);
    await stop();
  });
});

describe('SIGHUP', () => {
  it('reloads, and does not end the process', async () => {
    await using gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    const { revision } = await gateway.status();
    gateway.signal('SIGHUP');
    await gateway.write(gatewayConfig([sandboxEntity()], { aliases: { free: { targets: ['sandbox/sandbox'] } } }));
    gateway.signal('SIGHUP');
    await gateway.until((status) => status.revision === revision + 1);
    const { data } = await openAiClient(gateway).models.list();
    expect(data.map(({ id }) => id)).toContain('free');
  });
});
