/**
 * Which messages of which client are stored already, so that a redelivery is acknowledged without storing it twice.
 *
 * A receipt is found by scope (`mqtt1:<client>`, `mqtt2:<client>`) and packet identifier, and speaks of one digest of topic and
 * payload. Its states:
 *   pending ──commit──► stored ──acknowledgement handed to the network──► acknowledged
 * A receipt restored from the buffer after a restart is `stored`: whether its acknowledgement was written is not known. It is
 * replaced by the next message with the same identifier; a QoS 2 receipt ends with its PUBREL.
 *
 * Bounded like the buffer's own: `maxReceipts` in all, an even share for every scope, the oldest forgotten first.
 */
import type { Receipt } from '../../buffer/buffer.ts'

export interface HeldReceipt {
  readonly digest: string
  state: 'pending' | 'stored' | 'acknowledged'
  /** Copies that came while the first one was pending; told whether it is stored. */
  waiting: ((stored: boolean) => void)[] | null
}

export type Judgement =
  | 'new'
  /** Stored: acknowledge again. */
  | 'duplicate'
  /** A copy is being stored: acknowledge when it is. */
  | 'pending'
  /** Not to be told apart: keep it, count it. */
  | 'maybe-duplicate'

/** A scope beyond so many receipts each is forgotten whole. */
const minShare = 16

export class ReceiptBook {
  readonly #maxReceipts: number
  readonly #scopes = new Map<string, ScopeReceipts>()

  constructor(maxReceipts: number, restored: readonly Receipt[]) {
    this.#maxReceipts = maxReceipts
    for (const { scope, id, digest } of restored) this.scope(scope).put(id, { digest, state: 'stored', waiting: null })
  }

  /** The receipts of a scope, which becomes the one heard last. */
  scope(name: string): ScopeReceipts {
    const found = this.#scopes.get(name) ?? new ScopeReceipts(name, () => this.#share())
    this.#scopes.delete(name)
    this.#scopes.set(name, found)
    if (this.#scopes.size * minShare > Math.max(minShare, this.#maxReceipts)) {
      this.#scopes.delete(this.#scopes.keys().next().value ?? name)
    }
    return found
  }

  #share(): number {
    return Math.max(1, Math.floor(this.#maxReceipts / Math.max(1, this.#scopes.size)))
  }
}

export class ScopeReceipts {
  readonly name: string
  readonly #share: () => number
  readonly #held = new Map<number, HeldReceipt>()

  constructor(name: string, share: () => number) {
    this.name = name
    this.#share = share
  }

  get(id: number): HeldReceipt | undefined {
    return this.#held.get(id)
  }

  put(id: number, receipt: HeldReceipt): void {
    this.#held.delete(id)
    this.#held.set(id, receipt)
    if (this.#held.size <= this.#share()) return
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest)
      return
    }
  }

  /** Forget, unless another message has taken the identifier meanwhile. */
  remove(id: number, receipt: HeldReceipt): void {
    if (this.#held.get(id) === receipt) this.#held.delete(id)
  }
}

/**
 * What a PUBLISH with the identifier of `held` is.
 *
 * A redelivery has DUP = 1 [MQTT-3.3.1-1] and the same digest. With QoS 1 an identifier is free for the next message once its
 * PUBACK arrived; if that next message is equal, and its first copy was lost on the way, it comes with DUP = 1 and the digest of
 * the old one. So a copy whose PUBACK went out counts as told again only if its payload is `identified` (carries its own time or
 * counter); else it is kept. DUP = 0 is a new message, though a client that lost its memory may send so what it sent before.
 */
export function judge(
  held: HeldReceipt | undefined,
  qos: 1 | 2,
  dup: boolean,
  digest: string,
  identified: boolean,
): Judgement {
  if (held === undefined || held.digest !== digest) return 'new'
  const closed = qos === 1 && held.state === 'acknowledged'
  if (!dup) return closed ? 'new' : 'maybe-duplicate'
  if (held.state === 'pending') return 'pending'
  return closed && !identified ? 'maybe-duplicate' : 'duplicate'
}
