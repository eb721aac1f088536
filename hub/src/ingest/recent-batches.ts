/**
 * What was judged lately, by batch identity: a repeat gets the verdict of the first time, a forgery of an identity (a cloned or
 * restored gateway) is told from a repeat by its digest.
 *
 * Bounded and in memory; for an identity below the stored floor that memory does not hold, the digests kept by the store are asked.
 * The exact conflict is the store's. A repeat is appended to the log again all the same: only the store knows whether the first
 * append was lost with a restored database, and it removes repeats by identity.
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

export class RecentBatches {
  readonly #pool: Pool
  readonly #capacity: number
  readonly #recent = new Map<string, JudgedOnce>()

  constructor(pool: Pool, capacity: number = defaultCapacity) {
    this.#pool = pool
    this.#capacity = capacity
  }

  /** The first verdict on this identity, or null when it is new here; throws `conflict` when it had another digest. */
  async recall(identity: BatchIdentity, digest: Uint8Array, settled: number): Promise<Verdict | null> {
    const known = this.#recent.get(keyOf(identity))
    if (known === undefined) {
      if (identity.seq < settled) await this.#checkStored(identity, digest)
      return null
    }
    if (!sameDigest(known.digest, digest)) throw conflict(identity)
    return known.verdict
  }

  remember(identity: BatchIdentity, judged: JudgedOnce): void {
    const key = keyOf(identity)
    if (this.#recent.has(key)) return
    if (this.#recent.size >= this.#capacity) this.#recent.delete(this.#recent.keys().next().value!)
    this.#recent.set(key, judged)
  }

  async #checkStored(identity: BatchIdentity, digest: Uint8Array): Promise<void> {
    const { rows } = await this.#pool.query<{ digest: Uint8Array }>(
      'select digest from batch_digest where agent_no = $1 and epoch = $2 and seq = $3',
      [identity.agentNo, identity.epoch, identity.seq],
    )
    if (rows.some(row => !sameDigest(row.digest, digest))) throw conflict(identity)
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
