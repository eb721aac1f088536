/**
 * The state of many series in flat memory: one Float64Array for scalars, one Float32Array for histograms, a series a slot.
 *
 * Pure apart from that memory: no clock, no randomness, no I/O. The same readings in the same order give the same bits. Slots are
 * reused after `release`; the slabs double when they are full. lite takes 1.9 KB a slot.
 */
import type { DetectorSpec } from './detector-spec.ts'
import { field, type Layout, layoutOf } from './layout.ts'
import { resetSurprise } from './surprise.ts'

/** What one reading gave. */
export interface Finding {
  /** S: the largest surprise of the streams; 0 when nothing is unusual, 1.5 warns, 2.5 is critical. */
  surprise: number
  /** 1 − 10^(−S). */
  score: number
  /** S where the cool-down lets it through, else 0. */
  alert: number
  /** The cool-down's bar before this reading: the highest S let through and not yet forgotten, else 0. */
  bar: number
  /** Index of the winning stream in the spec; −1 when S is 0. */
  stream: number
  /** What the winning stream compares the value with, in the value's own unit; NaN when S is 0. */
  expected: number
  /** c: how many similar or larger residuals were seen before (decayed count) by the winning stream; 0 when S is 0. */
  seenBefore: number
  /** The soft warm-up: alerts are recorded, nobody is paged. */
  learning: boolean
}

export interface Shard {
  readonly layout: Layout
  scalars: Float64Array
  histograms: Float32Array
  /** Slots that were ever taken. */
  used: number
  readonly free: number[]
  readonly capacityLimit: number
  /** Scratch of `feed`: positions and counts by stream, views by index. */
  readonly positions: Float64Array
  readonly counts: Float64Array
  readonly views: Float64Array
  /** The result of the latest `feed`; overwritten by the next. */
  readonly finding: Finding
}

/** An empty shard; `capacity` slots are laid out at first. */
export function createShard(spec: DetectorSpec, capacity = 64): Shard {
  const layout = layoutOf(spec)
  const streams = layout.streams.length
  return {
    layout,
    scalars: new Float64Array(capacity * layout.scalarStride),
    histograms: new Float32Array(capacity * layout.histogramStride),
    used: 0,
    free: [],
    capacityLimit: 2 ** 21,
    positions: new Float64Array(streams),
    counts: new Float64Array(streams),
    views: new Float64Array(3),
    finding: {
      surprise: 0,
      score: 0,
      alert: 0,
      bar: 0,
      stream: -1,
      expected: Number.NaN,
      seenBefore: 0,
      learning: true,
    },
  }
}

/** Take a slot in the state before the first reading. Throws `RangeError` beyond 2^21 slots. */
export function allocate(shard: Shard): number {
  const slot = shard.free.pop() ?? extend(shard)
  reset(shard, slot)
  return slot
}

/** Give a slot back; its series is forgotten. */
export function release(shard: Shard, slot: number): void {
  shard.free.push(slot)
}

/** Event time of the newest reading fed, µs; −∞ before the first. A reading before it must not be fed. */
export function frontierUs(shard: Shard, slot: number): number {
  return shard.scalars[slot * shard.layout.scalarStride + field.frontierUs]!
}

/** Readings fed. */
export function readings(shard: Shard, slot: number): number {
  return shard.scalars[slot * shard.layout.scalarStride + field.n]!
}

/** Readings counted by `countLate`. */
export function late(shard: Shard, slot: number): number {
  return shard.scalars[slot * shard.layout.scalarStride + field.late]!
}

/** Count a reading behind the frontier. */
export function countLate(shard: Shard, slot: number): void {
  const at = slot * shard.layout.scalarStride + field.late
  shard.scalars[at] = shard.scalars[at]! + 1
}

/** Start the soft warm-up again at the next reading, keeping what was learned: for a series that missed readings. */
export function relearn(shard: Shard, slot: number): void {
  const at = slot * shard.layout.scalarStride
  shard.scalars[at + field.learningFromN] = shard.scalars[at + field.n]!
  shard.scalars[at + field.learningFromUs] = Number.NaN
}

/** Bytes of slabs a slot takes. */
export function bytesPerSlot(layout: Layout): number {
  return layout.scalarStride * 8 + layout.histogramStride * 4
}

function reset(shard: Shard, slot: number): void {
  const { layout, scalars, histograms } = shard
  const at = slot * layout.scalarStride
  scalars.fill(0, at, at + layout.scalarStride)
  histograms.fill(0, slot * layout.histogramStride, (slot + 1) * layout.histogramStride)
  scalars[at + field.frontierUs] = Number.NEGATIVE_INFINITY
  scalars[at + field.learningFromUs] = Number.NaN
  for (const stream of layout.streams) resetSurprise(scalars, at + stream.at)
}

function extend(shard: Shard): number {
  const { layout } = shard
  const capacity = shard.scalars.length / layout.scalarStride
  if (shard.used < capacity) return shard.used++
  if (capacity >= shard.capacityLimit) throw new RangeError(`a shard holds at most ${shard.capacityLimit} series`)
  const grown = Math.min(shard.capacityLimit, Math.max(16, capacity * 2))
  const scalars = new Float64Array(grown * layout.scalarStride)
  const histograms = new Float32Array(grown * layout.histogramStride)
  scalars.set(shard.scalars)
  histograms.set(shard.histograms)
  shard.scalars = scalars
  shard.histograms = histograms
  return shard.used++
}
