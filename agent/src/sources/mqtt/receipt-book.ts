/**
 * Which messages of which client are stored already, so that a redelivery is acknowledged without storing it twice.
 *
 * A receipt is found by scope (`mqtt1:<client>`, `mqtt2:<client>`) and packet identifier, and speaks of one digest of topic and
 * payload. Its states:
 *   pending ──commit──► stored ──acknowledgement handed to the network──► acknowledged
 * A receipt restored from the buffer after a restart is `stored`: whether its acknowledgement was written is not known. It is
 * replaced by the next message with the same identifier; a QoS 2 receipt ends with its PUBREL.
 *
 * Bounded like the buffer's own: `maxReceipts` in all. A sender may use what the others leave: a receipt that is forgotten while its
 * message may still come again is a reading stored twice, and one sender can have thousands under way. When there is no room the scope
 * with the most gives up its oldest, so that none is pushed below an even share.
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
  /** In the order in which they were last heard. */
  readonly #scopes = new Map<string, ScopeReceipts>()
  #total = 0
  /** The scope with the most receipts, or one that had the most a moment ago. */
  #largest: ScopeReceipts | null = null

  constructor(maxReceipts: number, restored: readonly Receipt[]) {
    this.#maxReceipts = Math.max(1, maxReceipts)
    for (const { scope, id, digest } of restored) this.scope(scope).put(id, { digest, state: 'stored', waiting: null })
  }

  /** The receipts of a scope, which becomes the one heard last. */
  scope(name: string): ScopeReceipts {
    const found = this.#scopes.get(name) ?? new ScopeReceipts(name, (scope, change) => this.#changed(scope, change))
    this.#scopes.delete(name)
    this.#scopes.set(name, found)
    if (this.#scopes.size * minShare > Math.max(minShare, this.#maxReceipts)) this.#forgetOldestScope()
    return found
  }

  #forgetOldestScope(): void {
    for (const [name, scope] of this.#scopes) {
      this.#scopes.delete(name)
      this.#total -= scope.size
      scope.forget()
      if (this.#largest === scope) this.#largest = null
      return
    }
  }

  #changed(scope: ScopeReceipts, change: number): void {
    this.#total += change
    if (scope.size > (this.#largest?.size ?? 0)) this.#largest = scope
    while (this.#total > this.#maxReceipts) this.#largestNow().dropOldest()
  }

  /** Somebody is above an even share when there are too many; whoever is has the most, or will soon be seen to have. */
  #largestNow(): ScopeReceipts {
    if (this.#largest !== null && this.#largest.size * this.#scopes.size > this.#maxReceipts) return this.#largest
    let largest: ScopeReceipts | null = null
    for (const scope of this.#scopes.values()) if (scope.size > (largest?.size ?? 0)) largest = scope
    this.#largest = largest
    return largest!
  }
}

export class ScopeReceipts {
  readonly name: string
  readonly #held = new Map<number, HeldReceipt>()
  /** Told of every receipt more or less; null once the scope is forgotten. */
  #changed: ((scope: ScopeReceipts, change: number) => void) | null

  constructor(name: string, changed: (scope: ScopeReceipts, change: number) => void) {
    this.name = name
    this.#changed = changed
  }

  get size(): number {
    return this.#held.size
  }

  get(id: number): HeldReceipt | undefined {
    return this.#held.get(id)
  }

  put(id: number, receipt: HeldReceipt): void {
    const replaced = this.#held.delete(id)
    this.#held.set(id, receipt)
    if (replaced) return
    if (this.#changed !== null) this.#changed(this, 1)
    else if (this.size > minShare) this.dropOldest()
  }

  /** Forget, unless another message has taken the identifier meanwhile. */
  remove(id: number, receipt: HeldReceipt): void {
    if (this.#held.get(id) !== receipt) return
    this.#held.delete(id)
    this.#changed?.(this, -1)
  }

  dropOldest(): void {
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest)
      this.#changed?.(this, -1)
      return
    }
  }

  /** A connection may still have it: from now on it counts nowhere, and keeps few. */
  forget(): void {
    this.#changed = null
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
