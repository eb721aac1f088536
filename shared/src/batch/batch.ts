/**
 * The batch: a sealed group of readings and aggregates, the one thing that crosses the network between agent and hub.
 *
 * Its identity is (agentId, epoch, seq); a retry is byte-identical, so the hub may tell a repeat from a conflict by digest alone.
 * Readings stand by series, in order of arrival within their series. A reading's index in the batch counts through the series in
 * their order: that index is what `rejected` in an answer and a verdict bitmap refer to. Aggregates are counted on after the readings:
 * the first aggregate of a batch of n readings has the index n.
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

/**
 * Aggregates of one series in windows of one kind, as columns of equal length. A window starts at a time ≡ 0 (mod hop) and is as long as
 * its size. Each is a part of its window: a reading is in one part alone, and the window is what its parts merge to.
 */
export interface SeriesAggregates {
  readonly series: SeriesName
  readonly sizeUs: number
  /** At most the size, which it is for windows that do not overlap. */
  readonly hopUs: number
  /** Microseconds since 1970 UTC, safe integers. */
  readonly startUs: Float64Array
  /** Names the part among those of its window: one that is sent again under its revision is the same. */
  readonly revision: Uint32Array
  /** As `encodeAggregate` of window/aggregate-codec.ts writes them; what a decode gives is in that outer form, its sums and sketch unchecked. */
  readonly data: readonly Uint8Array[]
}

/** What became of readings of one class: accepted = stored + folded + suppressed + evicted (when quiet). */
export interface ClassCounters {
  readonly class: ReadingClass
  readonly accepted: number
  readonly stored: number
  readonly folded: number
  readonly suppressed: number
  readonly evicted: number
}

/** In the order of their numbers on the wire. A reading that is kept and aggregated too is `raw`. */
export const readingClasses = ['raw', 'aggregate', 'alarm'] as const
export type ReadingClass = (typeof readingClasses)[number]

/**
 * Cumulative since the agent's first start, of promise 3: accepted = stored + folded + suppressed + deadLettered + evicted (when quiet).
 * Layout 1 knows neither `folded` nor classes: they decode as 0 and none.
 */
export interface Counters {
  readonly accepted: number
  readonly stored: number
  readonly suppressed: number
  readonly deadLettered: number
  readonly evicted: number
  /** Kept although they may repeat an earlier message: ambiguous after a crash. */
  readonly maybeDuplicate: number
  /** Held back, and in aggregates that are sent. */
  readonly folded: number
  /** The same by class, each class at most once; an undecodable payload has none. */
  readonly classes: readonly ClassCounters[]
}

export const noCounters: Counters = {
  accepted: 0,
  stored: 0,
  suppressed: 0,
  deadLettered: 0,
  evicted: 0,
  maybeDuplicate: 0,
  folded: 0,
  classes: [],
}

/** An answer to a recall (protocol.ts): its readings stand in batches up to this one. */
export interface RecallDone {
  readonly id: number
  /** How many the agent still had and sent. */
  readonly readings: number
  /** False: a part of what was asked for was gone. */
  readonly complete: boolean
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
  /** Told again in every batch until one that tells it is acknowledged. */
  readonly recallsDone: readonly RecallDone[]
}

export interface Batch {
  readonly header: BatchHeader
  readonly columns: readonly SeriesColumns[]
  readonly aggregates: readonly SeriesAggregates[]
}
