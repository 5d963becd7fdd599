import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { gatewayConfig, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { configFolder } from './folder.ts';
import { run } from './fake-terminal.ts';

describe('reload', () => {
  it('asks the gateway where its file says that it listens, with its token', async () => {
    const asked: IncomingMessage[] = [];
    const port = await admin((request, response) => {
      asked.push(request);
      response.end(JSON.stringify({ kind: 'unchanged', revision: 7 }));
    });
    await using folder = await configFolder(configOf({ listen: `127.0.0.1:${port}`, token: 'admin-1' }));
    expect(await run(['reload', '--config', folder.config])).toEqual({
      code: 0,
      out: 'Nothing has changed; revision 7 stays in force.\n',
      err: '',
    });
    expect(asked.map(({ method, url, headers }) => [method, url, headers.authorization])).toEqual([
      ['POST', '/api/reload', 'Bearer admin-1'],
    ]);
  });

  it('sends no token when there is none, and finds an address for all interfaces', async () => {
    const authorizations: unknown[] = [];
    const port = await admin((request, response) => {
      authorizations.push(request.headers.authorization);
      response.end(JSON.stringify({ kind: 'unchanged', revision: 1 }));
    });
    await using open = await configFolder(configOf({ listen: `localhost:${port}` }));
    await using everywhere = await configFolder(configOf({ listen: `0.0.0.0:${port}`, token: 'admin-1' }));
    expect((await run(['reload', '-c', open.config])).code).toBe(0);
    expect((await run(['reload', '-c', everywhere.config])).code).toBe(0);
    expect(authorizations).toEqual([undefined, 'Bearer admin-1']);
  });

  it('says what has changed', async () => {
    const result = { kind: 'applied', revision: 3, diff: ['+ route edit', '~ openai-main: token rotated'] };
    expect(await reloadAnsweredWith(result)).toEqual({
      code: 0,
      out: 'Revision 3 is in force.\n  + route edit\n  ~ openai-main: token rotated\n',
      err: '',
    });
  });

  it('shows the problems of a file that was refused', async () => {
    const problems = [
      { file: 'gateway.yaml', line: 3, column: 5, pointer: '/server', message: 'this is wrong' },
      { message: 'listen EADDRINUSE: address already in use' },
    ];
    expect(await reloadAnsweredWith({ kind: 'refused', problems })).toEqual({
      code: 1,
      out: '',
      err: 'gateway.yaml:3:5 this is wrong\n\nlisten EADDRINUSE: address already in use\n\n2 problems.\n',
    });
  });

  it.each([[{ error: { code: 'invalid_api_key' } }], [null], [7], [{ kind: 'applied' }]])(
    'shows an answer that it does not understand: %j',
    async (answer) => {
      expect(await reloadAnsweredWith(answer)).toEqual({
        code: 1,
        out: '',
        err: `The gateway answered: ${JSON.stringify(answer)}\n`,
      });
    },
  );

  it('says when nobody answers', async () => {
    const port = await admin((request) => void request.socket.destroy());
    await using folder = await configFolder(configOf({ listen: `127.0.0.1:${port}` }));
    const { code, out, err } = await run(['reload', '--config', folder.config]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain(`No gateway answers at http://127.0.0.1:${port}/api/reload: `);
  });

  it('shows the problems of its own copy of the file, without asking anybody', async () => {
    await using folder = await configFolder('version: 2\n');
    const { code, err } = await run(['reload', '--config', folder.config]);
    expect([code, err.includes(`${folder.config}:1:`)]).toEqual([1, true]);
  });

  it('knows the stages of extensions', async () => {
    const port = await admin((_request, response) => void response.end('{"kind":"unchanged","revision":1}'));
    const stage = `{ name: 'mine', schema: { type: 'object' }, reads: [], writes: [], create: () => () => {} }`;
    const more = {
      extensions: ['./mine.mjs'],
      routes: [{ id: 'a', path: '/', pipeline: ['mine', 'serve-image'] }],
    };
    await using folder = await configFolder(configOf({ listen: `127.0.0.1:${port}` }, more), {
      'mine.mjs': `export const stages = [${stage}];`,
    });
    expect(await run(['reload', '--config', folder.config])).toMatchObject({ code: 0, err: '' });
  });
});

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Listens in place of a gateway's admin listener. @returns the port */
async function admin(onRequest: RequestListener): Promise<number> {
  const server = createServer(onRequest);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function configOf(admin: object, more: object = {}): object {
  return gatewayConfig([sandboxEntity()], { admin, ...more });
}

async function reloadAnsweredWith(answer: unknown) {
  const port = await admin((_request, response) => void response.end(JSON.stringify(answer)));
  await using folder = await configFolder(configOf({ listen: `127.0.0.1:${port}` }));
  return await run(['reload', '--config', folder.config]);
}
