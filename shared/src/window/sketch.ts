/**
 * A mergeable quantile sketch of one aggregate: counts of values by the buckets of sketch-key.ts, ascending, in a block of the arena.
 *
 * Bounded: when more than `maxBuckets` buckets are occupied, all pair up (`level` rises by one) until they fit; 3 always do. The
 * level is thus the smallest at which the values seen fit, whatever their order and however they were split and merged: the same
 * values give the same sketch. The error is that of the level (`relativeError`) for every quantile alike, not for the upper ones alone.
 *
 * State: 4 integers beside the block.
 */
import { type BucketArena, blockSize, giveBlock, sizeClassFor, takeBlock } from './bucket-arena.ts'
import { coarser, keyOf, representative } from './sketch-key.ts'

/** Offsets of the integers. */
const BLOCK = 0
const CLASS = 1
const USED = 2
const LEVEL = 3
export const sketchIntegers = 4

export interface Sketches {
  readonly arena: BucketArena
  /** Occupied buckets of one sketch; at least 3. */
  readonly maxBuckets: number
}

/** State before the first value: no block. */
export function resetSketch(integers: Int32Array, at: number): void {
  integers[at + CLASS] = -1
  integers[at + USED] = 0
  integers[at + LEVEL] = 0
}

/** Give the block back. */
export function clearSketch({ arena }: Sketches, integers: Int32Array, at: number): void {
  if (integers[at + CLASS]! >= 0) giveBlock(arena, integers[at + BLOCK]!, integers[at + CLASS]!)
  resetSketch(integers, at)
}

export function sketchLevel(integers: Int32Array, at: number): number {
  return integers[at + LEVEL]!
}

export function countValue(sketches: Sketches, integers: Int32Array, at: number, value: number): void {
  countKey(sketches, integers, at, keyOf(value, integers[at + LEVEL]!), 1)
}

/** Count `count` more in the bucket `key` of the sketch's level. */
export function countKey(sketches: Sketches, integers: Int32Array, at: number, key: number, count: number): void {
  const { arena } = sketches
  const block = integers[at + BLOCK]!
  const used = integers[at + USED]!
  const position = find(arena.keys, block, used, key)
  if (position < used && arena.keys[block + position] === key) {
    arena.counts[block + position] = arena.counts[block + position]! + count
    return
  }
  if (used === sketches.maxBuckets) {
    coarsen(arena, integers, at, integers[at + LEVEL]! + 1)
    countKey(sketches, integers, at, coarser(key, 1), count)
    return
  }
  insert(arena, integers, at, position, key, count)
}

/** Take back one count of a value that was counted, in a sketch that never coarsened: an empty bucket disappears. */
export function uncountValue({ arena }: Sketches, integers: Int32Array, at: number, value: number): void {
  const block = integers[at + BLOCK]!
  const used = integers[at + USED]!
  const index = block + find(arena.keys, block, used, keyOf(value, integers[at + LEVEL]!))
  const left = arena.counts[index]! - 1
  arena.counts[index] = left
  if (left > 0) return
  arena.keys.copyWithin(index, index + 1, block + used)
  arena.counts.copyWithin(index, index + 1, block + used)
  integers[at + USED] = used - 1
}

/** Add another sketch, perhaps of another arena. */
export function mergeSketch(
  sketches: Sketches,
  integers: Int32Array,
  at: number,
  other: Sketches,
  otherIntegers: Int32Array,
  otherAt: number,
): void {
  const level = otherIntegers[otherAt + LEVEL]!
  if (level > integers[at + LEVEL]!) coarsen(sketches.arena, integers, at, level)
  const block = otherIntegers[otherAt + BLOCK]!
  const used = otherIntegers[otherAt + USED]!
  for (let i = block; i < block + used; i++) {
    const key = coarser(other.arena.keys[i]!, integers[at + LEVEL]! - level)
    countKey(sketches, integers, at, key, other.arena.counts[i]!)
  }
}

/** The representative of the value of rank floor(q·(n − 1)) among the n values counted; n ≥ 1, 0 ≤ q ≤ 1. */
export function sketchQuantile({ arena }: Sketches, integers: Int32Array, at: number, n: number, q: number): number {
  const block = integers[at + BLOCK]!
  const last = block + integers[at + USED]! - 1
  let above = Math.floor(q * (n - 1))
  let i = block
  for (; i < last && above >= arena.counts[i]!; i++) above -= arena.counts[i]!
  return representative(arena.keys[i]!, integers[at + LEVEL]!)
}

/** Call `visit` with each occupied bucket, ascending. */
export function eachBucket(
  { arena }: Sketches,
  integers: Int32Array,
  at: number,
  visit: (key: number, count: number) => void,
): void {
  const block = integers[at + BLOCK]!
  for (let i = block; i < block + integers[at + USED]!; i++) visit(arena.keys[i]!, arena.counts[i]!)
}

export function occupiedBuckets(integers: Int32Array, at: number): number {
  return integers[at + USED]!
}

/** Raise the level, joining buckets that fall together. */
export function coarsen({ keys, counts }: BucketArena, integers: Int32Array, at: number, level: number): void {
  const block = integers[at + BLOCK]!
  const by = level - integers[at + LEVEL]!
  integers[at + LEVEL] = level
  let to = block - 1
  for (let i = block; i < block + integers[at + USED]!; i++) {
    const key = coarser(keys[i]!, by)
    if (to >= block && keys[to] === key) {
      counts[to] = counts[to]! + counts[i]!
    } else {
      to++
      keys[to] = key
      counts[to] = counts[i]!
    }
  }
  integers[at + USED] = to - block + 1
}

/** Where the key stands among the first `used` of a block, or would stand. */
function find(keys: Int32Array, block: number, used: number, key: number): number {
  let from = 0
  let to = used
  while (from < to) {
    const middle = (from + to) >> 1
    if (keys[block + middle]! < key) from = middle + 1
    else to = middle
  }
  return from
}

function insert(
  arena: BucketArena,
  integers: Int32Array,
  at: number,
  position: number,
  key: number,
  count: number,
): void {
  const used = integers[at + USED]!
  if (integers[at + CLASS]! < 0 || used === blockSize(integers[at + CLASS]!)) enlarge(arena, integers, at)
  const { keys, counts } = arena
  const block = integers[at + BLOCK]!
  for (let i = block + used; i > block + position; i--) {
    keys[i] = keys[i - 1]!
    counts[i] = counts[i - 1]!
  }
  keys[block + position] = key
  counts[block + position] = count
  integers[at + USED] = used + 1
}

/** Move to a block of twice the size. */
function enlarge(arena: BucketArena, integers: Int32Array, at: number): void {
  const used = integers[at + USED]!
  const sizeClass = integers[at + CLASS]!
  const larger = sizeClassFor(used + 1)
  const from = integers[at + BLOCK]!
  const to = takeBlock(arena, larger)
  arena.keys.copyWithin(to, from, from + used)
  arena.counts.copyWithin(to, from, from + used)
  if (sizeClass >= 0) giveBlock(arena, from, sizeClass)
  integers[at + BLOCK] = to
  integers[at + CLASS] = larger
}
