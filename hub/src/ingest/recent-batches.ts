/**
 * What was judged lately, by batch identity: a repeat gets the verdict of the first time, a forgery of an identity (a cloned or
 * restored gateway) is told from a repeat by its digest.
 *
 * Which contents an identity has is the store's to say, because memory may hold what came second: another replica took the first one,
 * or this process did before it was started again. So a batch that differs from memory is compared with the digests of the store, and
 * has to wait while the store has neither. What memory does not know is compared when it lies below the stored floor. All else is
 * appended; a conflict among it is found by the store, and told with later answers (untold-conflicts.ts).
 *
 * Bounded and in memory. A repeat is appended to the log again all the same: only the store knows whether the first append was lost
 * with a restored database, and it removes repeats by identity.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'
import type { Verdict } from './judge.ts'

/** Identities remembered. About 200 bytes each. */
const defaultCapacity = 50_000

export interface BatchIdentity {
  readonly agentId: string
  readonly agentNo: number
  readonly epoch: number
  readonly seq: number
}

interface JudgedOnce {
  readonly digest: Uint8Array
  readonly verdict: Verdict
}

export interface RecentBatchesOptions {
  readonly capacity?: number
  /** Sabotage for the proofs: other contents are taken for a repeat. Never set in service. */
  readonly noConflictCheck?: boolean
}

export class RecentBatches {
  readonly #pool: Pool
  readonly #capacity: number
  readonly #noConflictCheck: boolean
  readonly #recent = new Map<string, JudgedOnce>()

  constructor(pool: Pool, options: RecentBatchesOptions = {}) {
    this.#pool = pool
    this.#capacity = options.capacity ?? defaultCapacity
    this.#noConflictCheck = options.noConflictCheck ?? false
  }

  /**
   * The first verdict on this batch, or null when it has to be judged. Throws `conflict` when the store has the identity with another
   * digest, `unavailable` when it does not know yet which of two it will have.
   */
  async recall(identity: BatchIdentity, digest: Uint8Array, settled: number): Promise<Verdict | null> {
    const known = this.#recent.get(keyOf(identity))
    if (known !== undefined && (this.#noConflictCheck || sameDigest(known.digest, digest))) return known.verdict
    if (this.#noConflictCheck || (known === undefined && identity.seq >= settled)) return null
    const stored = await this.#findStored(identity)
    if (stored.digest !== null && !sameDigest(stored.digest, digest)) throw conflict(identity)
    if (known !== undefined && !stored.isTaken) throw undecided(identity)
    return null
  }

  remember(identity: BatchIdentity, judged: JudgedOnce): void {
    const key = keyOf(identity)
    if (this.#recent.has(key)) return
    if (this.#recent.size >= this.#capacity) this.#recent.delete(this.#recent.keys().next().value!)
    this.#recent.set(key, judged)
  }

  /** What the store has under this identity. A digest is kept for a while only. */
  async #findStored({ agentNo, epoch, seq }: BatchIdentity) {
    const { rows } = await this.#pool.query<{ digest: Uint8Array | null; isTaken: boolean }>(
      `select (select digest from batch_digest where agent_no = $1 and epoch = $2 and seq = $3 limit 1) as digest,
              exists (select from received where consumer = 'store' and agent_no = $1 and epoch = $2
                                             and seqs @> $3::int8) as "isTaken"`,
      [agentNo, epoch, seq],
    )
    return rows[0]!
  }
}

function keyOf({ agentNo, epoch, seq }: BatchIdentity): string {
  return `${agentNo}/${epoch}/${seq}`
}

function sameDigest(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** Same identity, other contents: the gateway reseals under a new epoch. */
function conflict({ agentId, epoch, seq }: BatchIdentity): TributaryError {
  return new TributaryError('conflict', `batch ${agentId}/${epoch}/${seq} was sent before with other contents`, {
    hint: 'The gateway was cloned or restored from an image: its agent seals again under a new epoch',
  })
}

function undecided({ agentId, epoch, seq }: BatchIdentity): TributaryError {
  return new TributaryError('unavailable', `another batch ${agentId}/${epoch}/${seq} is on its way to the store`, {
    retryAfterS: 1,
  })
}
