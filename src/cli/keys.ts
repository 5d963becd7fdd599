import { hash, randomBytes } from 'node:crypto';
import type { Command } from './terminal.ts';

/** 256 bits cannot be guessed, and need no slow hash. */
const keyBytes = 32;

export const keys: Command = {
  name: 'keys',
  usage: 'keys [CONSUMER]',
  about: 'make a key, and print it with the hash that goes into the file',
  run({ rest }, terminal) {
    const [consumer = 'web-app'] = rest;
    const key = `ph-${randomBytes(keyBytes).toString('base64url')}`;
    terminal.out(
      [
        `key:        ${key}`,
        `key_sha256: ${hash('sha256', key)}`,
        '',
        'Give the key to the caller; it is not kept anywhere. The file needs only its hash:',
        '',
        'consumers:',
        `  - { id: ${consumer}, key_sha256: ${hash('sha256', key)} }`,
        '',
      ].join('\n'),
    );
    return Promise.resolve(0);
  },
};
