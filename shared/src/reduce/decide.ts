/**
 * Keep or suppress: a policy, the state of one series, the next reading. Deterministic; time is event time alone.
 *
 * Laws, for readings that come in order of time (equal times included):
 *   deadband     hold the last value kept until the next: at no reading is it off by more than the band, exactly, nor of another quality
 *   on change    held so, the signal is the same at every reading
 *   heartbeat    a suppressed reading is always less than `heartbeatUs` after one that was kept: kept readings are never farther
 *                apart than that plus the gap before the later one
 *   every-nth    of m readings ceil(m / n) are kept;  min-interval   kept readings are at least the interval apart
 * A reading from before the newest kept is kept by deadband and on-change, since what was held at its time is not known here, and
 * changes nothing in the state. Reorder first where the law matters. Samplings suppress it, or count it, like any other.
 *
 * A value that is no finite number is kept by a deadband when it differs from the last kept (NaN equals NaN, −0 equals 0).
 */
import type { Quality, Value } from '../reading.ts'
import type { ReducePolicy } from './policy.ts'
import type { KeptReading, ReduceState } from './state.ts'

export type Decision = 'keep' | 'suppress'

/** Decide on the next reading of the series and remember what later ones need. */
export function decide(
  policy: ReducePolicy,
  state: ReduceState,
  tsUs: number,
  value: Value,
  quality: Quality,
): Decision {
  const { kept } = state
  if (policy.kind === 'every-nth') {
    const decision = state.seen === 0 ? 'keep' : 'suppress'
    state.seen = (state.seen + 1) % policy.n
    return decision
  }
  if (kept !== null && isSuppressed(policy, kept, tsUs, value, quality)) return 'suppress'
  if (kept === null || tsUs >= kept.tsUs) state.kept = { tsUs, value, quality }
  return 'keep'
}

function isSuppressed(
  policy: Exclude<ReducePolicy, { kind: 'every-nth' }>,
  kept: KeptReading,
  tsUs: number,
  value: Value,
  quality: Quality,
): boolean {
  const sinceUs = tsUs - kept.tsUs
  if (policy.kind === 'min-interval') return sinceUs < policy.intervalUs
  if (quality !== kept.quality || sinceUs < 0 || sinceUs >= (policy.heartbeatUs ?? Number.POSITIVE_INFINITY))
    return false
  switch (policy.kind) {
    case 'report-on-change':
      return isSame(value, kept.value)
    case 'deadband':
      return isWithin(value, kept.value, policy.band)
    case 'percent-deadband':
      return isWithin(value, kept.value, (Math.abs(Number(kept.value)) * policy.percent) / 100)
    default:
      return policy satisfies never
  }
}

function isSame(value: Value, kept: Value): boolean {
  return value === kept || (Number.isNaN(value) && Number.isNaN(kept))
}

/** |value − kept| ≤ band, in exact arithmetic: where the rounded difference equals the band, its rounding error decides. */
function isWithin(value: Value, kept: Value, band: number): boolean {
  if (isSame(value, kept)) return true
  if (typeof value !== 'number' || typeof kept !== 'number') return false
  const [high, low] = value > kept ? [value, kept] : [kept, value]
  const difference = high - low
  if (difference !== band) return difference < band
  const added = difference - high
  return high - (difference - added) - (low + added) <= 0
}
