/**
 * A consumer's effect, applied once: log/exactly-once.ts turns an `Effect` into a `LogConsumer`.
 *
 * In one transaction it moves the position row (WHERE owner = me AND next_offset = expected), records each batch identity in
 * `received`, leaves out records whose identity is there already, and calls `apply` with the rest. When that fails on data, parts
 * are tried in transactions that are rolled back, until the poison record stands alone; it goes to the dead letters, and the rest is
 * applied once more, for good.
 */
import type { Batch } from '@tributary/shared/batch/batch'
import type { PoolClient } from 'pg'
import type { Envelope } from './envelope.ts'

export interface JudgedBatch {
  readonly partition: number
  readonly offset: bigint
  readonly envelope: Envelope
  readonly batch: Batch
}

export interface Effect {
  /** Consumer group, and the key of its rows in `position` and `received`: `store`, `detect`. */
  readonly group: string
  /**
   * Before the partition's first `apply`, and again before the next one after every rollback or loss: the place to load state.
   * Outside any transaction, because a transaction holds a connection while it waits for others. An effect must also do without.
   */
  assigned?(partition: number): Promise<void>
  /** Called inside the transaction; everything it writes must go through `tx`. */
  apply(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void>
  /** Inside the transaction: these batches count as taken, but cannot be applied; their bytes are in the dead letters. */
  leftOut?(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void>
  /** After the commit: in-memory state may now move on. */
  committed?(batches: readonly JudgedBatch[]): void
  /** After a rollback, or when the partition was lost: in-memory state of these records must be forgotten. */
  rolledBack?(partition: number): Promise<void>
}
