/**
 * Keys under which a request is made once, whoever sends it again: who holds a key, and what has become of it. The rules
 * are written once, below, for every store.
 */

/** The part of a store that keeps them. */
export interface KeyStore {
  /**
   * Takes a key that nobody holds, or tells what has become of it. A claim that fails takes nothing.
   * @param key at most 256 characters of ASCII
   * @throws GatewayError overloaded
   */
  claimKey(key: string, claim: KeyClaim): Promise<KeyState>;

  /**
   * Says that the holder's request is about to be sent: should the holder never be heard of again, nobody can tell what
   * has become of it. False when the holder has lost the key, and must not send anything.
   * @throws GatewayError overloaded
   */
  sendKey(key: string, holder: string): Promise<boolean>;

  /**
   * Keeps what everybody is told from now on who comes with the key. Does nothing when the holder has lost the key.
   * @throws GatewayError overloaded
   */
  completeKey(key: string, holder: string, outcome: KeyOutcome): Promise<void>;

  /** Gives the key back, as if nobody had ever had it. @throws GatewayError overloaded */
  releaseKey(key: string, holder: string): Promise<void>;
}

export interface KeyClaim {
  /** Unique for ever. */
  readonly holder: string;
  /** What the request asks for, in at most 128 characters of ASCII. */
  readonly fingerprint: string;
  /** Until when the holder will have ended its request, in milliseconds since 1970. After that it is taken to be gone. */
  readonly heldUntilMs: number;
  /** Until when it is known that the request was lost, should it be, in milliseconds since 1970. */
  readonly keptUntilMs: number;
}

export interface KeyOutcome {
  /** Opaque to the store; some kilobytes at most. */
  readonly answer: string;
  /** Milliseconds since 1970. */
  readonly keptUntilMs: number;
}

export type KeyState =
  | { readonly kind: 'claimed' }
  /** Somebody holds it. */
  | { readonly kind: 'running'; readonly fingerprint: string }
  | { readonly kind: 'done'; readonly fingerprint: string; readonly answer: string }
  /** Its holder is gone, and the request may have been sent. */
  | { readonly kind: 'lost'; readonly fingerprint: string };

/** A key as a store keeps it, with the process that holds it. */
export interface KeyRow {
  readonly holder: string;
  readonly fingerprint: string;
  /** `claimed` and `sent` while somebody holds it. */
  readonly state: 'claimed' | 'sent' | 'lost' | 'done';
  readonly heldUntilMs: number;
  readonly keptUntilMs: number;
  /** Null unless it is done. */
  readonly answer: string | null;
}

/** What the rules work on. All that happens within one request is visible together or not at all. */
export interface KeyTable {
  /** Milliseconds since 1970. */
  nowMs(): number;
  get(key: string): KeyRow | undefined;
  put(key: string, row: KeyRow): void;
  remove(key: string): void;
}

export type KeyRequest =
  | ({ readonly kind: 'claim-key'; readonly key: string } & KeyClaim)
  | { readonly kind: 'send-key'; readonly key: string; readonly holder: string }
  | ({ readonly kind: 'complete-key'; readonly key: string; readonly holder: string } & KeyOutcome)
  | { readonly kind: 'release-key'; readonly key: string; readonly holder: string };

export type KeyAnswer =
  | { readonly kind: 'key'; readonly state: KeyState }
  | { readonly kind: 'key-sent'; readonly isHeld: boolean }
  | { readonly kind: 'key-done' };

const keyKinds: ReadonlySet<string> = new Set<KeyRequest['kind']>([
  'claim-key',
  'send-key',
  'complete-key',
  'release-key',
]);

export function isKeyRequest<Other extends { readonly kind: string }>(
  request: KeyRequest | Other,
): request is KeyRequest {
  return keyKinds.has(request.kind);
}

export function performOnKey(keys: KeyTable, request: KeyRequest): KeyAnswer {
  const row = keys.get(request.key);
  switch (request.kind) {
    case 'claim-key':
      return { kind: 'key', state: claim(keys, request, row) };
    case 'send-key': {
      const isHeld = row?.holder === request.holder && (row.state === 'claimed' || row.state === 'sent');
      if (isHeld) keys.put(request.key, { ...row, state: 'sent' });
      return { kind: 'key-sent', isHeld };
    }
    case 'complete-key':
      // Its holder may have been taken for gone too early.
      if (row?.holder === request.holder && row.state !== 'done') {
        const { answer, keptUntilMs } = request;
        keys.put(request.key, { ...row, state: 'done', answer, keptUntilMs });
      }
      return { kind: 'key-done' };
    case 'release-key':
      if (row?.holder === request.holder && row.state !== 'done') keys.remove(request.key);
      return { kind: 'key-done' };
  }
}

function claim(keys: KeyTable, request: KeyRequest & KeyClaim, row: KeyRow | undefined): KeyState {
  const nowMs = keys.nowMs();
  if (row === undefined || isFree(row, nowMs)) {
    const { holder, fingerprint, heldUntilMs, keptUntilMs } = request;
    keys.put(request.key, { holder, fingerprint, heldUntilMs, keptUntilMs, state: 'claimed', answer: null });
    return { kind: 'claimed' };
  }
  const { fingerprint, answer } = row;
  if (row.state === 'done') return { kind: 'done', fingerprint, answer: answer ?? '' };
  const isHeld = row.state !== 'lost' && row.heldUntilMs > nowMs;
  return { kind: isHeld ? 'running' : 'lost', fingerprint };
}

/** Whether the key may be taken: nobody holds it, and there is nothing to be told of it. */
function isFree({ state, heldUntilMs, keptUntilMs }: KeyRow, nowMs: number): boolean {
  switch (state) {
    case 'claimed':
      return heldUntilMs <= nowMs;
    case 'sent':
      return heldUntilMs <= nowMs && keptUntilMs <= nowMs;
    case 'lost':
    case 'done':
      return keptUntilMs <= nowMs;
  }
}
