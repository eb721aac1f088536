/**
 * The one judgement of a batch's aggregates, as judge.ts makes it of its readings; the same names, times and budget of series hold.
 * An aggregate's index counts on after the readings.
 *
 * The rules, in this order, the first that applies wins:
 *   name, cardinality   of its series, as of readings
 *   aggregate           its bytes are no aggregate of finite values, or of a version that this build does not read
 *   future              its window starts, or its last reading lies, more than `maxFutureMs` ahead of the hub's clock
 *   before-2000         its window starts before 2000-01-01T00:00:00Z
 *   window              longer than `maxWindowUs`; not at a multiple of the hop; or with a reading outside of itself
 */
import type { SeriesAggregates } from '@tributary/shared/batch/batch'
import { isTributaryError } from '@tributary/shared/errors'
import type { RejectReason } from '@tributary/shared/protocol'
import { type Finished, finish } from '@tributary/shared/window/aggregate'
import { decodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { createAggregateStore, release } from '@tributary/shared/window/aggregate-store'

/** A leap year. */
export const maxWindowUs = 366 * 86_400_000_000

export interface TimeBounds {
  readonly earliestUs: number
  readonly latestUs: number
}

/** The reasons against each aggregate that is refused, by its place among `aggregates`. */
export function judgeAggregates(aggregates: SeriesAggregates, bounds: TimeBounds): Map<number, RejectReason> {
  const reasons = new Map<number, RejectReason>()
  aggregates.data.forEach((bytes, i) => {
    const reason = faultOf(aggregates, aggregates.startUs[i]!, numbersOf(bytes), bounds)
    if (reason !== null) reasons.set(i, reason)
  })
  return reasons
}

/** The numbers of an aggregate's bytes; null when they are none. */
export function numbersOf(bytes: Uint8Array): Finished | null {
  // No sketch is kept, but all of its bytes are read and checked.
  const store = createAggregateStore(0, 1)
  try {
    const slot = decodeAggregate(store, bytes)
    const numbers = finish(store, slot)
    release(store, slot)
    return numbers
  } catch (error) {
    if (isTributaryError(error, 'malformed') || isTributaryError(error, 'unsupported-version')) return null
    throw error
  }
}

function faultOf(
  { sizeUs, hopUs }: SeriesAggregates,
  startUs: number,
  numbers: Finished | null,
  { earliestUs, latestUs }: TimeBounds,
): RejectReason | null {
  if (numbers === null) return 'aggregate'
  if (startUs > latestUs || numbers.lastUs > latestUs) return 'future'
  if (startUs < earliestUs) return 'before-2000'
  const within = numbers.firstUs >= startUs && numbers.lastUs < startUs + sizeUs
  return sizeUs <= maxWindowUs && startUs % hopUs === 0 && within ? null : 'window'
}
