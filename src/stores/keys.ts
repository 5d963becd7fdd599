/** The rules about keys under which a request is made once, written once for every store. */
import type { KeyClaim, KeyOutcome, KeyState } from './key-store.ts';

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

export function isKeyRequest(request: { readonly kind: string }): request is KeyRequest {
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
