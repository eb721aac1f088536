/**
 * Nonces seen lately, so that a signed request without a batch identity is answered once. A nonce is remembered for as long as its
 * signature can be fresh: twice the clock skew. Bounded: the oldest is forgotten first, which lets a flood of one's own requests be
 * replayed, and nothing else: what carries a nonce only reads.
 */
import { TributaryError } from '@tributary/shared/errors'
import { maxClockSkewS } from '@tributary/shared/protocol'

const keptMs = 2 * maxClockSkewS * 1000
const defaultCapacity = 100_000

export class Nonces {
  readonly #capacity: number
  /** `agentId nonce` → until, in order of arrival. */
  readonly #seen = new Map<string, number>()

  constructor(capacity: number = defaultCapacity) {
    this.#capacity = capacity
  }

  /** Throws `unauthenticated` when this agent used the nonce before. */
  use(agentId: string, nonce: string, nowMs: number): void {
    if (!/^[A-Za-z0-9_-]{22}$/.test(nonce)) throw new TributaryError('malformed', 'a nonce is 16 bytes in base64url')
    for (const [key, untilMs] of this.#seen) {
      if (untilMs > nowMs && this.#seen.size < this.#capacity) break
      this.#seen.delete(key)
    }
    const key = `${agentId} ${nonce}`
    if (this.#seen.has(key))
      throw new TributaryError('unauthenticated', 'this nonce was used before', { hint: 'Sign the request again' })
    this.#seen.set(key, nowMs + keptMs)
  }
}
