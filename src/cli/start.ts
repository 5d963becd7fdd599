import { createGateway, type Gateway } from '../gateway.ts';
import { createLogger } from '../log.ts';
import { systemClock } from '../runtime/clock.ts';
import { printProblems } from './print-problems.ts';
import type { Command, Terminal } from './terminal.ts';

export const start: Command = {
  name: 'start',
  usage: 'start',
  about: 'run the gateway until SIGTERM or SIGINT; SIGHUP reloads the file',
  async run({ config }, terminal) {
    const log = createLogger({ level: 'info', format: 'json', clock: systemClock });
    const gateway = createGateway({ configPath: config, env: terminal.env, log });
    terminal.onCrash((error) => {
      log.error('uncaught error, the process ends', { error });
      log.flushSync();
      terminal.exit(1);
    });

    const result = await gateway.start();
    if (result.kind === 'refused') {
      terminal.err(printProblems(result.problems, terminal.colour));
      return 1;
    }
    const { addresses, admin } = gateway.overview();
    log.info('listening', { addresses, admin });
    terminal.err(welcome(gateway));
    const code = await untilStopped(gateway, terminal);
    await log.flush();
    return code;
  },
};

function untilStopped(gateway: Gateway, terminal: Terminal): Promise<number> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const stop = (): void => {
      // Asked twice, a person does not want to wait.
      if (stopping) return terminal.exit(1);
      stopping = true;
      gateway.stop().then(() => resolve(0), reject);
    };
    terminal.onSignal('SIGTERM', stop);
    terminal.onSignal('SIGINT', stop);
    terminal.onSignal('SIGHUP', () => void gateway.reload('signal'));
  });
}

/** Where it listens, what it can do, and a first picture. */
function welcome(gateway: Gateway): string {
  const { addresses, admin, entities, open, generationPath } = gateway.overview();
  const active = entities.filter((entity) => entity.active).map(({ id, provider }) => `${id} (${provider})`);
  const asleep = entities.filter((entity) => !entity.active).map(({ id }) => id);
  const [origin = ''] = addresses;
  const key = open ? '' : ` \\\n       -H 'authorization: Bearer YOUR_KEY'`;
  const lines = [
    `Pinhole listens on ${addresses.join(', ')}; admin on ${admin.join(', ')}`,
    `  active:   ${active.join(', ') || 'no entity'}`,
    ...(asleep.length === 0 ? [] : [`  inactive: ${asleep.join(', ')} (no token)`]),
    ...(open ? ['  OPEN:     no consumers are declared, so everybody who reaches this address may use it'] : []),
  ];
  const picture =
    generationPath === undefined
      ? []
      : [
          '',
          '  A first picture:',
          `  curl -s ${origin}${generationPath} -H 'content-type: application/json' -H 'accept: image/png'${key} \\`,
          `       -d '{"prompt": "a lighthouse on a rocky coast at sunset"}' -o picture.png`,
        ];
  return `${[...lines, ...picture, ''].join('\n')}\n`;
}
