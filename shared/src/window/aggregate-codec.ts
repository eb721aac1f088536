/**
 * An aggregate as bytes, for storage and wire: equal aggregates give equal bytes, and nothing is rounded, so that aggregates from
 * anywhere merge as if their readings had been in one place.
 *
 *   u8        version: 1
 *   u8        flags: bit 0, a sketch follows; others 0
 *   uvarint   n; if 0, nothing follows
 *   f64 × 4   min, max, first, last
 *   svarint   time of the first reading, µs;  uvarint  time of the last − time of the first
 *   svarint × 2   arrival numbers of the first and the last
 *   exact × 2     Σx, Σx²: value = mantissa × 2^exponent, the mantissa odd
 *       uvarint   2 × bytes of |mantissa| + 1 if negative; if 0 the value is 0 and nothing follows
 *       svarint   exponent
 *       bytes     |mantissa|, low byte first, the highest not 0
 *   sketch (sketch-key.ts)
 *       u8        level, 0 … 17
 *       uvarint   occupied buckets, ascending
 *       each      svarint (the first) or uvarint (≥ 1) key − key before it; uvarint count ≥ 1
 *
 * f64 is little-endian; uvarint and svarint are those of batch/byte-writer.ts. A minute of 60 readings takes 78 bytes, 110 with its sketch.
 * The decoder takes bytes from anywhere: it allocates no more than they can describe, and refuses what no readings can give
 * as far as it can be seen (counts, ranges, order, canonical form).
 */
import { ByteReader, malformed } from '../batch/byte-reader.ts'
import { ByteWriter, integerField } from '../batch/byte-writer.ts'
import { TributaryError } from '../errors.ts'
import { keepSums, sumsOf } from './aggregate.ts'
import { type AggregateStore, allocate, clear, field, release, stride } from './aggregate-store.ts'
import { canonical, type Exact } from './exact.ts'
import { coarsen, countKey, eachBucket, occupiedBuckets, sketchIntegers, sketchLevel } from './sketch.ts'
import { coarser, largestKey, maxLevel } from './sketch-key.ts'

const version = 1
const sketchFlag = 1
/** A sum of 2^53 squares of the largest double has 2·1024 + 2·1074 + 53 bits. */
const maxMantissaBytes = 540
const exponents = { least: 2 * -1074, most: 2 * 1024 + 53 } as const
const subject = 'stored aggregate'

export function encodeAggregate(store: AggregateStore, slot: number): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(128)
  writeAggregate(out, store, slot)
  return out.bytes().slice()
}

/**
 * Decode into a fresh slot, which is returned. Throws `malformed`, or `unsupported-version`, with no slot taken. Sketches of more
 * buckets than the store's coarsen; without one they do not fit a store that keeps sketches.
 */
export function decodeAggregate(store: AggregateStore, bytes: Uint8Array): number {
  const source = new ByteReader(bytes, 0, bytes.length, subject)
  const slot = readAggregate(source, store)
  if (source.remaining === 0) return slot
  release(store, slot)
  throw malformed(`${source.remaining} bytes follow`, subject)
}

/** Of bytes that decode. */
export function hasSketch(bytes: Uint8Array): boolean {
  return bytes[1] === sketchFlag
}

export function writeAggregate(out: ByteWriter, store: AggregateStore, slot: number): void {
  const d = store.numbers
  const at = slot * stride
  out.u8(version)
  out.u8(store.maxBuckets > 0 ? sketchFlag : 0)
  out.uvarint(d[at]!)
  if (d[at] === 0) return
  for (const offset of [field.min, field.max, field.first, field.last]) out.f64(d[at + offset]!)
  const firstUs = integerField(d[at + field.firstUs]!, 'the time of the first reading')
  out.svarint(firstUs)
  out.uvarint(integerField(d[at + field.lastUs]! - firstUs, 'the span of an aggregate', 0))
  out.svarint(integerField(d[at + field.firstOrder]!, 'an arrival number'))
  out.svarint(integerField(d[at + field.lastOrder]!, 'an arrival number'))
  const { sum, squares } = sumsOf(store, slot)
  writeExact(out, sum)
  writeExact(out, squares)
  if (store.maxBuckets > 0) writeSketch(out, store, slot)
}

/** Read one aggregate into a fresh slot; as `decodeAggregate`, but bytes may follow. */
export function readAggregate(source: ByteReader, store: AggregateStore): number {
  const found = source.u8()
  if (found !== version) {
    throw new TributaryError(
      'unsupported-version',
      `stored aggregate of version ${found}; this build reads ${version}`,
      {
        hint: 'a newer Tributary wrote it; upgrade this one',
      },
    )
  }
  const slot = allocate(store)
  try {
    readContents(source, store, slot)
    return slot
  } catch (error) {
    clear(store, slot)
    release(store, slot)
    throw error
  }
}

function readContents(source: ByteReader, store: AggregateStore, slot: number): void {
  const flags = source.u8()
  if (flags > sketchFlag) throw malformed(`unknown flags ${flags}`, subject)
  const n = source.uvarint()
  if (n === 0) return
  const d = store.numbers
  const at = slot * stride
  d[at] = n
  for (const offset of [field.min, field.max, field.first, field.last]) d[at + offset] = source.f64()
  d[at + field.firstUs] = source.svarint()
  d[at + field.lastUs] = d[at + field.firstUs]! + source.uvarint()
  d[at + field.firstOrder] = source.svarint()
  d[at + field.lastOrder] = source.svarint()
  checkExtremes(d, at, n)
  const sums = { sum: readExact(source), squares: readExact(source) }
  checkSums(sums.sum, sums.squares, n)
  keepSums(store, slot, sums)
  if (flags === sketchFlag) readSketch(source, store, slot, n)
  else if (store.maxBuckets > 0) throw malformed('it has no sketch, which is kept here', subject)
}

function checkExtremes(d: Float64Array, at: number, n: number): void {
  const [min, max] = [d[at + field.min]!, d[at + field.max]!]
  for (const value of [min, max, d[at + field.first]!, d[at + field.last]!]) {
    if (!(value >= min && value <= max && Number.isFinite(value))) {
      throw malformed(`${value} is not a number between the least and the largest`, subject)
    }
  }
  if (!Number.isSafeInteger(d[at + field.lastUs]!)) throw malformed('its last time exceeds 2^53 − 1', subject)
  const [first, last] = [d[at + field.firstOrder]!, d[at + field.lastOrder]!]
  const sameTime = d[at + field.firstUs] === d[at + field.lastUs]
  if (n === 1 ? first !== last || !sameTime || min !== max : sameTime && first > last) {
    throw malformed('its last reading came before its first', subject)
  }
}

/** Cauchy: (Σx)² ≤ n·Σx². */
function checkSums(sum: Exact, squares: Exact, n: number): void {
  const exponent = Math.min(2 * sum.exponent, squares.exponent)
  const left = (sum.mantissa * sum.mantissa) << BigInt(2 * sum.exponent - exponent)
  const right = (BigInt(n) * squares.mantissa) << BigInt(squares.exponent - exponent)
  if (left > right) throw malformed('its squares are too small for its sum', subject)
}

function writeExact(out: ByteWriter, value: Exact): void {
  const { mantissa, exponent } = canonical(value)
  const bytes: number[] = []
  for (let rest = mantissa < 0n ? -mantissa : mantissa; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 0xffn))
  out.uvarint(2 * bytes.length + (mantissa < 0n ? 1 : 0))
  if (bytes.length === 0) return
  out.svarint(exponent)
  out.raw(Uint8Array.from(bytes))
}

function readExact(source: ByteReader): Exact {
  const head = source.count(2 * maxMantissaBytes + 1, 'bytes of a sum')
  if (head === 0) return { mantissa: 0n, exponent: 0 }
  const exponent = source.svarint()
  const bytes = source.take(head >> 1)
  if (!(exponent >= exponents.least && exponent <= exponents.most))
    throw malformed(`an exponent of ${exponent}`, subject)
  if (!(bytes[0]! & 1) || bytes.at(-1) === 0) throw malformed('a sum is not in its shortest form', subject)
  const magnitude = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
  return { mantissa: head & 1 ? -magnitude : magnitude, exponent }
}

function writeSketch(out: ByteWriter, store: AggregateStore, slot: number): void {
  const at = slot * sketchIntegers
  out.u8(sketchLevel(store.integers, at))
  out.uvarint(occupiedBuckets(store.integers, at))
  let before: number | null = null
  eachBucket(store, store.integers, at, (key, count) => {
    if (before === null) out.svarint(key)
    else out.uvarint(key - before)
    out.uvarint(count)
    before = key
  })
}

function readSketch(source: ByteReader, store: AggregateStore, slot: number, n: number): void {
  const level = source.u8()
  if (level > maxLevel) throw malformed(`a sketch of level ${level}`, subject)
  const buckets = source.count(Math.min(n, source.remaining >> 1), 'buckets')
  const kept = store.maxBuckets > 0
  const at = slot * sketchIntegers
  if (kept) coarsen(store.arena, store.integers, at, level)
  let key = 0
  let total = 0
  for (let i = 0; i < buckets; i++) {
    const step = i === 0 ? source.svarint() : source.uvarint()
    const count = source.uvarint()
    key += step
    total += count
    if ((i > 0 && step === 0) || count === 0 || !(Math.abs(key) <= largestKey(level))) {
      throw malformed(`its bucket ${i} is not after the one before it, empty, or out of range`, subject)
    }
    if (kept) countKey(store, store.integers, at, coarser(key, sketchLevel(store.integers, at) - level), count)
  }
  if (total !== n) throw malformed(`its sketch counts ${total} of ${n} readings`, subject)
}
