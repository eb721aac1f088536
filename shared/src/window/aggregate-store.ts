/**
 * Aggregates in flat memory: 16 doubles and 4 integers a slot, the sketch's buckets in an arena.
 *
 * An aggregate is what is known of a set of readings: n, Σx, Σx², min, max, first, last and, on request, a quantile sketch. Sums
 * are exact: Σx in 3 doubles, Σx² in 4 (expansion.ts); the few aggregates that do not fit (magnitudes outside 2^±480, or a spread
 * beyond 212 bits of squares) keep theirs as BigInts beside the slabs, at most 1 KB each.
 *
 * 144 bytes a slot, plus 12 a bucket in blocks of 4, 8, 16 … The slabs grow by half, so up to a third of them may stand empty.
 */
import { type BucketArena, bytesPerBucket, createBucketArena } from './bucket-arena.ts'
import type { Exact } from './exact.ts'
import { clearSketch, resetSketch, sketchIntegers } from './sketch.ts'

/** Offsets of an aggregate's doubles. Times are µs of event time. */
export const field = {
  n: 0,
  min: 1,
  max: 2,
  firstUs: 3,
  firstOrder: 4,
  first: 5,
  lastUs: 6,
  lastOrder: 7,
  last: 8,
  sum: 9,
  squares: 12,
} as const
export const sumEnd = field.squares
export const stride = 16

/** Σx and Σx², exactly. */
export interface Sums {
  readonly sum: Exact
  readonly squares: Exact
}

export interface AggregateStore {
  numbers: Float64Array
  /** The sketches' integers (sketch.ts). */
  integers: Int32Array
  readonly arena: BucketArena
  /** Occupied buckets of one sketch; 0: no sketches. */
  readonly maxBuckets: number
  /** Sums of slots that do not fit their doubles. */
  readonly wide: Map<number, Sums>
  /** Slots that were ever taken. */
  used: number
  readonly free: number[]
}

/** Buckets of a sketch unless told otherwise: 8 octaves of values at the finest level. */
export const defaultMaxBuckets = 512
const bytesPerSlot = stride * 8 + sketchIntegers * 4
const bytesPerWide = 1024

/** An empty store. `maxBuckets`: 0 (no sketches), or 3 to 65,536. */
export function createAggregateStore(maxBuckets: number, capacity = 16): AggregateStore {
  if (maxBuckets !== 0 && !(Number.isInteger(maxBuckets) && maxBuckets >= 3 && maxBuckets <= 65_536)) {
    throw new RangeError(`a sketch has 3 to 65536 buckets, or 0 for none; not ${maxBuckets}`)
  }
  return {
    numbers: new Float64Array(capacity * stride),
    integers: new Int32Array(capacity * sketchIntegers),
    arena: createBucketArena(),
    maxBuckets,
    wide: new Map(),
    used: 0,
    free: [],
  }
}

/** Take a slot, empty. */
export function allocate(store: AggregateStore): number {
  const slot = store.free.pop() ?? extend(store)
  store.numbers.fill(0, slot * stride, (slot + 1) * stride)
  resetSketch(store.integers, slot * sketchIntegers)
  return slot
}

/** Give a slot back with its buckets. */
export function release(store: AggregateStore, slot: number): void {
  clear(store, slot)
  store.free.push(slot)
}

/** Back to no readings. */
export function clear(store: AggregateStore, slot: number): void {
  store.numbers.fill(0, slot * stride, (slot + 1) * stride)
  clearSketch(store, store.integers, slot * sketchIntegers)
  store.wide.delete(slot)
}

/** Readings in the aggregate. */
export function count(store: AggregateStore, slot: number): number {
  return store.numbers[slot * stride]!
}

/** Bytes that the aggregates in use take. */
export function bytesInUse(store: AggregateStore): number {
  return (
    (store.used - store.free.length) * bytesPerSlot + store.arena.held * bytesPerBucket + store.wide.size * bytesPerWide
  )
}

function extend(store: AggregateStore): number {
  const slot = store.used++
  if (store.used * stride > store.numbers.length) {
    const capacity = Math.max(store.used, Math.ceil((store.numbers.length / stride) * 1.5))
    const numbers = new Float64Array(capacity * stride)
    const integers = new Int32Array(capacity * sketchIntegers)
    numbers.set(store.numbers)
    integers.set(store.integers)
    store.numbers = numbers
    store.integers = integers
  }
  return slot
}
