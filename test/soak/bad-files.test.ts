/** R4, R5: a bad file changes nothing while the gateway runs, and is refused when it starts. */
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startFakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { runGateway, startGateway } from '../fixtures/gateway.ts';
import { callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { startVersionedFake, versionedConfig, versionWatch } from '../fixtures/versions.ts';
import { report } from './figures.ts';
import { spoiltFiles } from './spoilt-files.ts';

const goodFile = (baseUrl: string, alias = 'image-prod') =>
  gatewayConfig([openAiEntity({ baseUrl }, { models: { include: [], exclude: [] } })], {
    consumers: [{ id: 'web-app', key: callerKey, user: 'alice', models: { include: ['.*'], exclude: [] } }],
    users: [{ id: 'alice' }],
    budgets: [{ id: 'all', limit: { images: 1_000_000 }, window: 'month', scope: { consumers: ['web-app'] } }],
    aliases: { [alias]: { strategy: 'failover', targets: ['openai-main/gpt-image-2'] } },
  });

describe('R4: a bad file changes nothing', () => {
  it('not one of the spoilt files goes live', async () => {
    const fake = await startFakeOpenAi();
    const gateway = await startGateway({ config: goodFile(fake.baseUrl) });
    const good = await gateway.status();
    const files = spoiltFiles(goodFile(fake.baseUrl));
    const live: string[] = [];
    const shown: string[] = [];
    for (const { what, text } of files) {
      const before = await gateway.status();
      await gateway.write(text);
      const after = await gateway.until(
        ({ last_error: error, digest }) =>
          digest !== good.digest || (error !== null && error.at !== before.last_error?.at),
      );
      if (after.digest !== good.digest) live.push(what);
      if (/sk-[a-z]/.test(JSON.stringify(after))) shown.push(what);
      await openAiClient(gateway).images.generate({ prompt: 'a lighthouse' });
    }
    const startedAtMs = performance.now();
    await gateway.apply(goodFile(fake.baseUrl, 'another'));
    const recoveredMs = Math.round(performance.now() - startedAtMs);
    report('R4', 'a bad file changes nothing', {
      files: files.length,
      'went live': live.length,
      'showed secrets': shown.length,
      'next good file live after ms': recoveredMs,
    });
    await gateway[Symbol.asyncDispose]();
    await fake.close();
    expect(files.length).toBeGreaterThanOrEqual(137);
    expect(live).toEqual([]);
    expect(shown).toEqual([]);
    expect(recoveredMs).toBeLessThanOrEqual(500);
  });

  it('good and broken in turn, ten a second, cost no request', async () => {
    const fake = await startVersionedFake();
    const gateway = await startGateway({ config: versionedConfig(fake, 100) });
    const traffic = startTraffic(32, versionWatch(gateway));
    for (let version = 101; version <= 200; version += 1) {
      await gateway.write(version % 2 === 0 ? versionedConfig(fake, version) : '{"version": 1,');
      await pause(100);
    }
    const { answered, failures } = await traffic.stop();
    report('R4', 'good and broken in turn', { requests: answered, failed: failures.length });
    await gateway[Symbol.asyncDispose]();
    await fake.close();
    expect(failures).toEqual([]);
  });
});

describe('R5: a bad file at the start is refused', () => {
  it('each of the spoilt files, in time, with a message and without a stack trace', async () => {
    // Each costs a process, so one in three has to do.
    const files = spoiltFiles(goodFile('http://127.0.0.1:9/v1')).filter((_, index) => index % 3 === 0);
    const bad: string[] = [];
    let slowestMs = 0;
    for (const { what, text } of files) {
      const startedAtMs = performance.now();
      const { code, stderr } = await runGateway({ config: text });
      slowestMs = Math.max(slowestMs, performance.now() - startedAtMs);
      if (code === 0 || !stderr.includes('gateway.yaml')) bad.push(`${what}: ${String(code)} ${stderr.slice(0, 300)}`);
    }
    report('R5', 'a bad file at the start is refused', {
      files: files.length,
      'not refused well': bad.length,
      'slowest ms': Math.round(slowestMs),
    });
    expect(files.length).toBeGreaterThanOrEqual(113);
    expect(bad).toEqual([]);
    expect(slowestMs).toBeLessThan(10_000);
  });
});

describe('R22: a pattern cannot hang the gateway', () => {
  const letters = `${'a'.repeat(40)}!`;
  it.each(['(a+)+$', '(a|a)*$', '(a|aa)+$', '(.*a){20}$', '([a-zA-Z]+)*$', '(a*)*b$'])('%s', async (pattern) => {
    const fake = await startFakeOpenAi({ alsoKnown: [letters] });
    const gateway = await startGateway({
      config: gatewayConfig([openAiEntity(fake, { models: { include: [], exclude: [pattern] } })]),
    });
    const startedAtMs = performance.now();
    await openAiClient(gateway).images.generate({ model: letters, prompt: 'a lighthouse' });
    const elapsedMs = Math.round(performance.now() - startedAtMs);
    report('R22', `the pattern ${pattern}`, { ms: elapsedMs });
    await gateway[Symbol.asyncDispose]();
    await fake.close();
    expect(elapsedMs).toBeLessThanOrEqual(500);
  });
});
