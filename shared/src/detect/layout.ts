/**
 * Where a series' numbers stand in the slabs: derived from the spec once, then plain integers on the hot path.
 *
 * Doubles of one series are adjacent (`scalarStride`), so are its histograms (`histogramStride` floats): one reading touches a few
 * neighbouring cache lines whatever the number of series.
 */
import { type DetectorSpec, specHash, type View, views } from './detector-spec.ts'
import { bins, surpriseScalars } from './surprise.ts'

/** Offsets of the doubles that every detector has. Times are µs of event time. */
export const field = {
  /** Readings fed. */
  n: 0,
  /** Newest event time fed. */
  frontierUs: 1,
  /** Learning lasts until 200 readings and 24 h after these two. */
  learningFromUs: 2,
  learningFromN: 3,
  mean: 4,
  deviation: 5,
  magnitude: 6,
  /** The cool-down: highest surprise let through, when, at which reading. */
  bar: 7,
  barUs: 8,
  barN: 9,
  /** The alert (alert.ts). */
  phase: 10,
  openedUs: 11,
  peak: 12,
  calm: 13,
  calmSinceUs: 14,
  /** Readings behind the frontier, left out. */
  late: 15,
} as const
const fields = 16

/** A running average kept for one or more streams. */
export interface AverageSlot {
  readonly offset: number
  readonly view: number
  readonly rate: number
}

export interface StreamSlot {
  readonly view: number
  /** Offset of what the residual is taken of, or −1 for the view itself. */
  readonly of: number
  /** Offset of what it is compared with: a slow average or the view of the reading before. */
  readonly against: number
  /** Offset of the surprise's doubles. */
  readonly at: number
  /** Offset of its histogram, floats. */
  readonly histogram: number
}

export interface Layout {
  readonly spec: DetectorSpec
  readonly hash: number
  readonly scalarStride: number
  readonly histogramStride: number
  readonly fast: readonly AverageSlot[]
  readonly slow: readonly AverageSlot[]
  /** Views whose last value is kept, and where. */
  readonly previous: readonly { readonly offset: number; readonly view: number }[]
  readonly streams: readonly StreamSlot[]
}

/** Lay out a detector's state; streams that need the same average share it. */
export function layoutOf(spec: DetectorSpec): Layout {
  let next = fields
  const fast = new Map<string, AverageSlot>()
  const slow = new Map<string, AverageSlot>()
  const previous = new Map<View, { offset: number; view: number }>()
  const average = (averages: Map<string, AverageSlot>, view: View, length: number): number => {
    const key = `${view}${length}`
    const known = averages.get(key)
    if (known) return known.offset
    averages.set(key, { offset: next, view: views.indexOf(view), rate: 2 / (length + 1) })
    return next++
  }
  const before = (view: View): number => {
    const known = previous.get(view)
    if (known) return known.offset
    previous.set(view, { offset: next, view: views.indexOf(view) })
    return next++
  }
  const sources = spec.streams.map(stream => {
    const view = views.indexOf(stream.view)
    if (stream.kind === 'jump') return { view, of: -1, against: before(stream.view) }
    const of = stream.fast === 1 ? -1 : average(fast, stream.view, stream.fast)
    return { view, of, against: average(slow, stream.view, stream.slow) }
  })
  const streams = sources.map((source, i) => ({ ...source, at: next + i * surpriseScalars, histogram: i * bins }))
  return {
    spec,
    hash: specHash(spec),
    scalarStride: next + streams.length * surpriseScalars,
    histogramStride: streams.length * bins,
    fast: [...fast.values()],
    slow: [...slow.values()],
    previous: [...previous.values()],
    streams,
  }
}
