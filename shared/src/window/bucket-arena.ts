/**
 * Memory of many small histograms: blocks of 4, 8, 16 … buckets in two flat arrays, reused by size.
 *
 * A bucket is an int32 key and a float64 count, 12 bytes. A block is named by its first bucket. Contents of a fresh block are
 * whatever stood there before; its owner knows how many buckets are in use.
 */

const smallestBlock = 4
export const bytesPerBucket = 12

export interface BucketArena {
  keys: Int32Array
  counts: Float64Array
  /** Buckets ever handed out. */
  used: number
  /** Buckets in blocks that are in use. */
  held: number
  /** Blocks given back, by size class. */
  readonly free: number[][]
}

export function createBucketArena(capacity = 64): BucketArena {
  return { keys: new Int32Array(capacity), counts: new Float64Array(capacity), used: 0, held: 0, free: [] }
}

/** Buckets of a block of this class. */
export function blockSize(sizeClass: number): number {
  return smallestBlock << sizeClass
}

/** The smallest class whose blocks hold this many buckets. */
export function sizeClassFor(buckets: number): number {
  return Math.max(0, 32 - Math.clz32((buckets - 1) >> 2))
}

export function takeBlock(arena: BucketArena, sizeClass: number): number {
  const size = blockSize(sizeClass)
  arena.held += size
  const reused = arena.free[sizeClass]?.pop()
  if (reused !== undefined) return reused
  const block = arena.used
  arena.used += size
  if (arena.used > arena.keys.length) grow(arena)
  return block
}

export function giveBlock(arena: BucketArena, block: number, sizeClass: number): void {
  arena.held -= blockSize(sizeClass)
  for (let c = arena.free.length; c <= sizeClass; c++) arena.free.push([])
  arena.free[sizeClass]!.push(block)
}

/** By half: a large arena is at most half as large again as what it holds at its peak. */
function grow(arena: BucketArena): void {
  const capacity = Math.max(arena.used, Math.ceil(arena.keys.length * 1.5))
  const keys = new Int32Array(capacity)
  const counts = new Float64Array(capacity)
  keys.set(arena.keys)
  counts.set(arena.counts)
  arena.keys = keys
  arena.counts = counts
}
