#!/usr/bin/env node
/** The process edge: arguments, environment, signals, output and the exit code. Nothing else knows the process. */
import { runCommand } from './cli/run.ts';

const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  process.stderr.write(`Pinhole needs Node 24 or later; this is ${process.versions.node}.\n`);
  process.exit(1);
}

const code = await runCommand(process.argv.slice(2), {
  env: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  colour: process.stderr.isTTY && process.env['NO_COLOR'] === undefined,
  onSignal: (name, listener) => void process.on(name, listener),
  onCrash: (listener) => {
    process.on('uncaughtException', listener);
    process.on('unhandledRejection', listener);
  },
  exit: (exitCode) => process.exit(exitCode),
});
process.exitCode = code;
