import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import type { LogFields, LogSettings } from '../../src/log.ts';
import { createLogBatch } from '../../src/log-output.ts';
import { Secret } from '../../src/secret.ts';

function logInto(settings: Partial<LogSettings> = {}) {
  let written = '';
  const log = createLogger({
    level: 'info',
    format: 'json',
    ...settings,
    clock: { now: () => 0 },
    write: (lines) => {
      written += lines;
    },
  });
  return {
    log,
    /** All lines so far. */
    text: (): string => {
      log.flushSync();
      return written;
    },
  };
}

/** What a value becomes in a line. */
function printed(value: unknown, level: 'info' | 'error' = 'info'): unknown {
  const { log, text } = logInto();
  log[level]('line', { value });
  const line: { value?: unknown } = JSON.parse(text());
  return line.value;
}

describe('a line', () => {
  it('is one JSON object with time, level, message and fields', () => {
    const { log, text } = logInto();
    log.warn('slow\nprovider', { entity: 'openai-main', ms: 12 });
    expect(text()).toBe(
      '{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"slow\\nprovider","entity":"openai-main","ms":12}\n',
    );
  });

  it('carries the fields of the child that logs it, the nearest one last', () => {
    const { log, text } = logInto();
    log.child({ id: 'r1', route: 'edit' }).child({ route: 'generate' }).info('done', { status: 200 });
    expect(JSON.parse(text())).toMatchObject({ id: 'r1', route: 'generate', status: 200 });
  });

  it('keeps its own members when fields have the same names', () => {
    const { log, text } = logInto();
    log.info('mine', { message: 'theirs', level: 'theirs', time: 'theirs' });
    expect(JSON.parse(text())).toMatchObject({ message: 'mine', level: 'info', message_: 'theirs', level_: 'theirs' });
  });

  it('is left out below the level, which may change while the process runs, for children too', () => {
    const { log, text } = logInto({ level: 'warn' });
    const child = log.child({});
    child.info('one');
    child.error('two');
    log.configure({ level: 'debug', format: 'pretty' });
    child.debug('three');
    log.configure({ level: 'error', format: 'json' });
    child.warn('four');
    expect(text()).toMatch(/^\{[^\n]*"two"\}\n00:00:00\.000 DEBUG three\n$/);
  });

  it('is one line of JSON whatever it is given', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.anything()), (message, fields: LogFields) => {
        const { log, text } = logInto();
        log.error(message, fields);
        const lines = text().split('\n');
        expect(lines).toHaveLength(2);
        expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'error' });
      }),
    );
  });
});

describe('a value in a line', () => {
  it('is redacted when it is a secret, or a text under the name of one', () => {
    expect(
      printed({ key: new Secret('sk-1'), headers: { Authorization: 'Bearer sk-1', 'X-Api-Key': 'sk-1' } }),
    ).toEqual({
      key: '[redacted]',
      headers: { Authorization: '[redacted]', 'X-Api-Key': '[redacted]' },
    });
    expect(printed(new Map([['token', 'sk-1']]))).toEqual({ token: '[redacted]' });
    expect(printed(new URL('postgres://p:hunter2@db/x'))).toBe('postgres://p:redacted@db/x');
  });

  it('is a note when it is bytes', () => {
    const note = { type: 'bytes', size: 3, digest: '039058c6f2c0' };
    expect(printed(Buffer.from([1, 2, 3]))).toEqual(note);
    expect(printed(Uint8Array.of(1, 2, 3))).toEqual(note);
    expect(printed(Uint8Array.of(1, 2, 3).buffer)).toEqual(note);
    expect(printed(new DataView(Uint8Array.of(0, 1, 2, 3).buffer, 1))).toEqual(note);
  });

  it('is a note when it is a long text', () => {
    expect(printed('word '.repeat(800))).toBe('word '.repeat(800));
    expect(printed('word '.repeat(900))).toMatch(/^\[text, 4500 characters, sha256 [0-9a-f]{12}\]$/);
  });

  it('never holds a picture as text', () => {
    const picture = randomBytes(1500).toString('hex');
    const base64 = picture.slice(0, 400);
    expect(printed(base64)).toMatch(/^\[base64, 400 characters, sha256 [0-9a-f]{12}\]$/);
    expect(printed(picture.repeat(2))).toMatch(/^\[base64, 6000 characters/);
    expect(printed(`data:image/png;base64,${base64}`)).toMatch(/^\[data-uri, 422 characters/);
    expect(printed(`data:image/svg+xml,${'%3Csvg'.repeat(60)}`)).toMatch(/^\[data-uri, 379 characters/);
    expect(printed(`it said {"b64_json":"${base64}"} and left`)).toMatch(
      /^it said \{"b64_json":"\[base64, 400 characters, sha256 [0-9a-f]{12}\]"\} and left$/,
    );
    const wrapped = base64.replaceAll(/.{76}/g, '$&\r\n');
    expect(printed(wrapped)).toMatch(/^\[base64, \d+ characters/);
    expect(printed(JSON.stringify({ wrapped }))).toMatch(/^\{"wrapped":"\[base64, \d+ characters/);
    expect(printed({ [base64]: 1 })).not.toHaveProperty([base64]);
  });

  it('is short of what runs on: cycles, depth and breadth', () => {
    const cycle: Record<string, unknown> = {};
    cycle['again'] = cycle;
    expect(JSON.stringify(printed(cycle))).toContain('[…]');
    expect(printed(Array.from({ length: 200 }, (_, index) => index))).toHaveLength(101);
    const wide = (depth: number): unknown => (depth === 0 ? 'x' : Array.from({ length: 50 }, () => wide(depth - 1)));
    expect(JSON.stringify(printed(wide(3))).length).toBeLessThan(20_000);
  });

  it('does not break the line when it throws', () => {
    const hostile = {
      get trap() {
        throw new Error('caught you');
      },
    };
    expect(printed({ hostile, fine: 1 })).toEqual({ hostile: '[unreadable]', fine: 1 });
  });

  it('is printed although JSON has no such value', () => {
    expect(printed([1n, Number.NaN, Symbol('s'), undefined, new Date(0), new Set([1])])).toEqual([
      '1',
      'NaN',
      'Symbol(s)',
      null,
      '1970-01-01T00:00:00.000Z',
      [1],
    ]);
  });
});

describe('an error in a line', () => {
  const refused = Object.assign(new Error('connect refused'), { code: 'ECONNREFUSED' });
  const error = new GatewayError('upstream_unreachable', 'no answer', { cause: refused });

  it('shows its causes with their codes', () => {
    expect(printed(error)).toEqual({
      name: 'GatewayError',
      message: 'no answer',
      code: 'upstream_unreachable',
      cause: { name: 'Error', message: 'connect refused', code: 'ECONNREFUSED' },
    });
    expect(printed(new AggregateError([refused], 'all failed'))).toMatchObject({ errors: [{ code: 'ECONNREFUSED' }] });
  });

  it('shows where it was made in lines for those who mend it', () => {
    expect(printed(error, 'error')).toMatchObject({
      stack: expect.arrayContaining([expect.stringContaining('log.test.ts')]),
      cause: { stack: expect.arrayContaining([expect.stringMatching(/^at /)]) },
    });
  });

  it('holds no picture in its message or its trace', () => {
    const picture = randomBytes(300).toString('hex');
    expect(JSON.stringify(printed(new Error(`bad ${picture}`), 'error'))).not.toContain(picture.slice(0, 100));
  });
});

describe('the pretty format', () => {
  it('is for people: fields in the line, lists and traces below', () => {
    const { log, text } = logInto({ format: 'pretty' });
    log.info('in force', { revision: 2, note: 'two words', diff: ['+ route edit', '~ a: 1 → 2'] });
    expect(text()).toBe('00:00:00.000 INFO  in force revision=2 note="two words"\n    + route edit\n    ~ a: 1 → 2\n');
    log.error('failed', { error: new Error('outer', { cause: new Error('inner') }) });
    expect(text()).toMatch(
      /ERROR failed error="Error: outer"\n(?: {4}at .*\n)+ {4}caused by "Error: inner"\n(?: {4}at .*\n)+$/,
    );
  });

  it('lets nobody else start a line or reach the terminal', () => {
    const { log, text } = logInto({ format: 'pretty' });
    log.info('a\nb\u001b[31m', { value: 'c\nd', list: ['e\nf'] });
    expect(text()).toBe('00:00:00.000 INFO  a\\x0ab\\x1b[31m value="c\\nd"\n    e\\x0af\n');
  });
});

describe('the output', () => {
  it('gets many lines in one write, and all of them by the end of a flush', async () => {
    const writes: string[] = [];
    const log = createLogger({ level: 'info', format: 'json', clock: Date, write: (lines) => void writes.push(lines) });
    for (let index = 0; index < 100; index += 1) log.info(`line ${index}`);
    await log.flush();
    expect(writes).toHaveLength(1);
    expect(writes[0]?.split('\n')).toHaveLength(101);
  });

  it('gets lines by itself after a moment', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    createLogger({ level: 'info', format: 'json', clock: Date, write: resolve }).info('alone');
    expect(await promise).toContain('alone');
  });

  it('loses lines rather than memory when nobody reads, and says how many', async () => {
    const stalled = Promise.withResolvers<void>();
    const writes: string[] = [];
    const batch = createLogBatch({
      output: {
        write(text) {
          writes.push(text);
          return stalled.promise;
        },
        writeSync() {},
      },
      lossLine: (lines) => `lost ${lines}\n`,
      mostBytes: 100,
    });
    batch.add('first\n');
    const flushed = batch.flush();
    for (let index = 0; index < 50; index += 1) batch.add('123456789\n');
    expect(writes).toEqual(['first\n']);
    stalled.resolve();
    await flushed;
    expect(writes[1]).toBe(`${'123456789\n'.repeat(9)}lost 41\n`);
  });

  it('that fails loses what it was given, and says so when it works again', async () => {
    let broken = true;
    let written = '';
    const log = createLogger({
      level: 'info',
      format: 'json',
      clock: Date,
      write(lines) {
        if (broken) throw new Error('disk full');
        written += lines;
      },
    });
    log.info('one');
    log.info('two');
    await log.flush();
    broken = false;
    log.info('three');
    await log.flush();
    expect(written).toMatch(/"three"\}\n.*"log lines were lost","lines":2\}\n$/);
  });
});

describe('standard output', () => {
  const script = (body: string): string[] => [
    '--input-type=module-typescript',
    '--eval',
    `import { createLogger } from ${JSON.stringify(new URL('../../src/log.ts', import.meta.url).href)};
    const log = createLogger({ level: 'info', format: 'json', clock: Date });
    ${body}`,
  ];

  it.each([
    ['at the end of a flush', 20_000, 'await log.flush();'],
    ['before a crash', 400, 'log.flushSync();'],
  ])('has every line in order %s', async (_when, count, flush) => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      script(`
        for (let index = 0; index < ${count}; index += 1) log.info('line', { index });
        ${flush}
        process.exit(0);
      `),
      { maxBuffer: 16 * 1024 * 1024 },
    );
    const indexes = stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line).index);
    expect(indexes).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(stderr).toBe('');
  });

  it('may be closed by its reader without harm', async () => {
    const child = spawn(
      process.execPath,
      script(`
        process.on('message', async () => {
          log.info('to nobody');
          await log.flush();
          log.flushSync();
          process.send('alive', () => process.disconnect());
        });
        log.info('first');
      `),
      { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] },
    );
    const exit = new Promise((resolve) => child.once('exit', resolve));
    const alive = new Promise((resolve) => child.once('message', resolve));
    child.stdout?.once('data', () => child.stdout?.destroy());
    child.stdout?.once('close', () => child.send('go'));
    expect(await alive).toBe('alive');
    expect(await exit).toBe(0);
  });
});
