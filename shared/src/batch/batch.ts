/**
 * The batch: a sealed group of readings, the one thing that crosses the network between agent and hub.
 *
 * Its identity is (agentId, epoch, seq); a retry is byte-identical, so the hub may tell a repeat from a conflict by digest alone.
 * Readings stand by series, in order of arrival within their series. A reading's index in the batch counts through the series in
 * their order: that index is what `rejected` in an answer and a verdict bitmap refer to.
 */
import type { SeriesName, Value } from '../reading.ts'

/** Readings of one series as columns of equal length, in order of arrival. */
export interface SeriesColumns {
  readonly series: SeriesName
  /** Microseconds since 1970 UTC, safe integers. */
  readonly tsUs: Float64Array
  /** One value a reading; a `Float64Array` when every value is a number. */
  readonly values: Float64Array | readonly Value[]
  /** `null` when every reading is good. */
  readonly quality: Uint8Array | null
}

/** Cumulative since the agent's first start, of promise 3: accepted = stored + suppressed + deadLettered + evicted (when quiet). */
export interface Counters {
  readonly accepted: number
  readonly stored: number
  readonly suppressed: number
  readonly deadLettered: number
  readonly evicted: number
  /** Kept although they may repeat an earlier message: ambiguous after a crash. */
  readonly maybeDuplicate: number
}

/** A run of batches (by seq) or rows that the agent had promised and no longer has. */
export interface LossRange {
  readonly epoch: number
  readonly fromSeq: number
  /** Inclusive. */
  readonly toSeq: number
  /** Readings lost; an upper bound where the exact number cannot be known (`exact` false). */
  readonly readings: number
  readonly exact: boolean
  /** `evicted`, `corrupt`, `missing`, … */
  readonly reason: string
}

export interface BatchHeader {
  /** Given by the hub at enrolment. */
  readonly agentId: string
  /** Drawn at random at every start of the agent: 1 … 2^48 − 1. */
  readonly epoch: number
  /** Dense within an epoch, from 1. */
  readonly seq: number
  /** UUID of the gateway's boot, from the kernel where it has one. */
  readonly bootId: string
  /** Monotonic and wall clock read at one moment, so that readings stamped by an untrusted clock can be placed later. Microseconds. */
  readonly monotonicUs: number
  readonly wallUs: number
  readonly counters: Counters
  readonly losses: readonly LossRange[]
}

export interface Batch {
  readonly header: BatchHeader
  readonly columns: readonly SeriesColumns[]
}
