import type { ByteText } from '../images/payload.ts';
import { createGatherer } from './gather.ts';

/** A text that was too long to become a string, in the place of that string. */
export class LongText {
  /** UTF-8, without the escapes that it may have had on the wire: `escaped` is always false. */
  readonly text: ByteText;

  constructor(text: ByteText) {
    this.text = text;
  }

  /** The text as a string, for texts that are words. Never call it on a picture. */
  toText(): string {
    return Buffer.concat(this.text.slices).toString('utf8');
  }
}

/** Takes a text piece by piece and keeps it. */
export function keepLongText(): { write(slice: Uint8Array): void; finish(): LongText } {
  const kept = createGatherer();
  return {
    write: (slice) => kept.add(slice),
    finish: () => new LongText({ slices: kept.slices(), byteLength: kept.byteLength, escaped: false }),
  };
}
