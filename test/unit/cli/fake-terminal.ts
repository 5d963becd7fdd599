import { EventEmitter } from 'node:events';
import { runCommand } from '../../../src/cli/run.ts';
import type { Terminal } from '../../../src/cli/terminal.ts';

/** A process for commands, of which the test can read what they print and to which it can send signals. */
export interface FakeTerminal extends Terminal {
  readonly printed: { out: string; err: string };
  /** Codes of the exits that a command asked for. The command goes on, unlike in a real process. */
  readonly exits: number[];
  /** Whether anybody listens to a signal yet. */
  readonly listens: (name: NodeJS.Signals) => boolean;
  readonly signal: (name: NodeJS.Signals) => void;
  /** Resolves once something has been printed for people. */
  readonly whenPrinted: Promise<void>;
}

export function fakeTerminal(env: Readonly<Record<string, string>> = {}, colour = false): FakeTerminal {
  const signals = new EventEmitter();
  const printed = { out: '', err: '' };
  const exits: number[] = [];
  const { promise: whenPrinted, resolve } = Promise.withResolvers<void>();
  return {
    env,
    colour,
    printed,
    exits,
    whenPrinted,
    out: (text) => void (printed.out += text),
    err(text) {
      printed.err += text;
      resolve();
    },
    onSignal: (name, listener) => void signals.on(name, listener),
    onCrash: () => undefined,
    exit: (code) => void exits.push(code),
    listens: (name) => signals.listenerCount(name) > 0,
    signal: (name) => void signals.emit(name),
  };
}

/** Runs a command to its end. */
export async function run(
  args: readonly string[],
  terminal: FakeTerminal = fakeTerminal(),
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const code = await runCommand(args, terminal);
  return { code, ...terminal.printed };
}
