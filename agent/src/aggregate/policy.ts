/**
 * What is done with the readings of a series before they leave the gateway. Plain data: it crosses threads and is stored.
 *
 *   raw        sent as they are, but for what `reduce` leaves out (suppressed: acknowledged, counted, not stored)
 *   aggregate  folded into windows; the readings themselves stay on the gateway as acknowledged copies do, and are not sent
 *   ring       the same, and kept as long as there is room, for the hub to ask for a range of them
 *   both       sent and folded; what `reduce` leaves out is folded only
 * Only finite numbers that are not of bad quality can be folded. Whatever else comes of such a series is sent.
 */
import type { ReducePolicy } from '@tributary/shared/reduce/policy'

export type PolicyMode = 'raw' | 'aggregate' | 'both' | 'ring'

export interface Policy {
  /** Patterns of a device and a metric: `*` stands for any run of characters, `?` for one. */
  readonly device: string
  readonly metric: string
  readonly mode: PolicyMode
  /** Alarms are the last to be given up when the buffer is full. */
  readonly class: 'raw' | 'alarm'
  readonly window: WindowPolicy
  /** With modes raw and both only. */
  readonly reduce: ReducePolicy | null
}

/** Windows [start, start + size), start a multiple of the hop. Times are µs of event time unless named otherwise. */
export interface WindowPolicy {
  readonly sizeUs: number
  /** The size, for windows that do not overlap. */
  readonly hopUs: number
  /** How far a reading may lie behind its series' newest and still be on time. */
  readonly latenessUs: number
  /**
   * A series silent for so long lives on by the gateway's clock, so that its last window goes out; late readings of a window that went
   * out are gathered for so long. Monotonic ms.
   */
  readonly idleMs: number
  /** With a mergeable quantile sketch. */
  readonly quantiles: boolean
}

/** Windows that one reading may be in. */
export const maxOverlap = 60

export function folds({ mode }: Policy): boolean {
  return mode !== 'raw'
}
