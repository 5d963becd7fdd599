/** Why a document was refused. */
export type JsonScanReason =
  /** Not JSON, not UTF-8, or cut. */
  | 'syntax'
  /** More bytes outside of long texts, or in one name or number, than the reader takes. */
  | 'too_large'
  | 'too_deep'
  /** A name twice in one object, where the reader refuses that. */
  | 'duplicate_key'
  /** `__proto__`, or `prototype` in a `constructor`, where the reader refuses them. */
  | 'forbidden_key';

/** A document that was refused. `message` holds nothing of the document itself. */
export class JsonScanError extends Error {
  override readonly name = 'JsonScanError';
  readonly reason: JsonScanReason;

  constructor(reason: JsonScanReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
