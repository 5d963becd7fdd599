import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../../../src/cli/run.ts';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { configFolder } from './folder.ts';
import { fakeTerminal, run } from './fake-terminal.ts';

/** The log goes to the real standard output. */
const quiet = { logging: { level: 'error' } };

describe('start', () => {
  it('says where it listens and how to make a first picture, and ends at a signal', async () => {
    const asleep = { ...openAiEntity({ baseUrl: 'https://api.openai.com/v1' }), id: 'asleep', config: {} };
    const entities = [sandboxEntity(), asleep];
    await using folder = await configFolder(gatewayConfig(entities, quiet));
    const terminal = fakeTerminal();
    const ended = runCommand(['start', '--config', folder.config], terminal);
    await terminal.whenPrinted;
    const { err } = terminal.printed;
    const origin = /listens on (http:\/\/127\.0\.0\.1:\d+); admin on http:\/\/127\.0\.0\.1:\d+\n/.exec(err)?.[1] ?? '';
    expect(err).toContain('  active:   sandbox (sandbox)\n  inactive: asleep (no token)\n  OPEN: ');
    expect(err).toContain(`curl -s ${origin}/v1/images/generations -H 'content-type: application/json'`);
    expect(err).not.toContain('YOUR_KEY');
    expect((await fetch(`${origin}/nowhere`)).status).toBe(404);
    terminal.signal('SIGTERM');
    expect(await ended).toBe(0);
    expect(terminal.exits).toEqual([]);
    await expect(fetch(origin)).rejects.toThrow('fetch failed');
  });

  it('mentions the key where callers need one', async () => {
    const consumers = [{ id: 'web-app', key: 'ph-secret' }];
    await using folder = await configFolder(gatewayConfig([sandboxEntity()], { ...quiet, consumers }));
    const terminal = fakeTerminal();
    const ended = runCommand(['start', '--config', folder.config], terminal);
    await terminal.whenPrinted;
    expect(terminal.printed.err).toContain(`-H 'authorization: Bearer YOUR_KEY'`);
    expect(terminal.printed.err).not.toContain('OPEN');
    expect(terminal.printed.err).not.toContain('ph-secret');
    terminal.signal('SIGINT');
    expect(await ended).toBe(0);
  });

  it('ends at once when it is asked a second time', async () => {
    await using folder = await configFolder(gatewayConfig([sandboxEntity()], quiet));
    const terminal = fakeTerminal();
    const ended = runCommand(['start', '--config', folder.config], terminal);
    await terminal.whenPrinted;
    // Nothing is in between the welcome and the first wait.
    terminal.signal('SIGINT');
    terminal.signal('SIGINT');
    expect(terminal.exits).toEqual([1]);
    expect(await ended).toBe(0);
  });

  it('shows what is wrong with the file, and does not start', async () => {
    await using folder = await configFolder('version: 2\n');
    const terminal = fakeTerminal();
    const { code, err } = await run(['start', '--config', folder.config], terminal);
    expect([code, err.includes(`${folder.config}:`)]).toEqual([1, true]);
    expect(terminal.listens('SIGTERM')).toBe(false);
  });

  it('says when an address is taken, and does not start', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    await using folder = await configFolder(
      gatewayConfig([sandboxEntity()], { server: { listen: `127.0.0.1:${port}` } }),
    );
    const { code, err } = await run(['start', '--config', folder.config]);
    expect([code, err.endsWith('\n\n1 problem.\n')]).toEqual([1, true]);
    expect(err).toContain(String(port));
    other.close();
  });
});
