import { inspect } from 'node:util';

const shown = '[redacted]';

/**
 * A credential. It prints as `[redacted]` wherever a value may end up: string concatenation, JSON, `console.log`,
 * a log line. Only `reveal()` gives the text, so each use of a secret can be found by that name.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return shown;
  }

  toJSON(): string {
    return shown;
  }

  [inspect.custom](): string {
    return shown;
  }
}
