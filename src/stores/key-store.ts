/** The part of the store contract about keys under which a request is made once, whoever sends it again. */
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
