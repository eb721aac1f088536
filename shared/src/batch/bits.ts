/**
 * Bit streams of the integer columns: low bit of a byte first, the last byte padded with zeros.
 *
 * Fixed width: each value in `width` bits, 0 ≤ width ≤ 53. Golomb–Rice with parameter k, 0 ≤ k ≤ 48 (Rice 1979): z as
 * q = floor(z / 2^k) one bits, a zero bit, then the k low bits of z; when q ≥ 24, 24 one bits and then z in 53 bits, so that one
 * outlier costs at most 77 bits. Values are 0 … 2^53 − 1.
 */
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'

export const maxRiceK = 48
export const maxFixedWidth = 53
export const escapeOnes = 24
export const escapeBits = escapeOnes + maxFixedWidth

/** Bits moved at once: with up to 7 waiting they fit a 32-bit integer. */
const chunk = 24
const chunkSize = 2 ** chunk
const powersOfTwo = Array.from({ length: maxFixedWidth + 1 }, (_, exponent) => 2 ** exponent)

export class BitWriter {
  readonly #out: ByteWriter
  #pending = 0
  #pendingBits = 0

  constructor(out: ByteWriter) {
    this.#out = out
  }

  /** `value` < 2^width, in up to 24 bits. */
  #short(value: number, width: number): void {
    let pending = this.#pending | (value << this.#pendingBits)
    let bits = this.#pendingBits + width
    while (bits >= 8) {
      this.#out.u8(pending & 0xff)
      pending >>>= 8
      bits -= 8
    }
    this.#pending = pending
    this.#pendingBits = bits
  }

  /** `value` < 2^width, in up to 53 bits. */
  fixed(value: number, width: number): void {
    let rest = value
    let left = width
    while (left > chunk) {
      this.#short(rest % chunkSize, chunk)
      rest = Math.floor(rest / chunkSize)
      left -= chunk
    }
    this.#short(rest, left)
  }

  rice(z: number, k: number): void {
    const size = powersOfTwo[k]!
    const q = Math.floor(z / size)
    if (q < escapeOnes) {
      this.#short((1 << q) - 1, q + 1)
      this.fixed(z - q * size, k)
    } else {
      this.#short(chunkSize - 1, escapeOnes)
      this.fixed(z, maxFixedWidth)
    }
  }

  /** Pad to a whole byte. */
  flush(): void {
    if (this.#pendingBits > 0) this.#short(0, 8 - this.#pendingBits)
  }
}

/** Fixed-width values into `out` from index `from` on. */
export function readFixed(source: ByteReader, out: Float64Array, from: number, width: number): void {
  const bits = (out.length - from) * width
  if (Math.ceil(bits / 8) > source.remaining) throw malformed('a column ends early')
  const bytes = source.bytes
  const start = source.skip(Math.ceil(bits / 8))
  if (width > chunk) {
    for (let i = from, bit = 0; i < out.length; i++, bit += width) out[i] = longBits(bytes, start, bit, width)
    return
  }
  const mask = (1 << width) - 1
  let next = start
  let pending = 0
  let pendingBits = 0
  for (let i = from; i < out.length; i++) {
    while (pendingBits < width) {
      pending |= bytes[next++]! << pendingBits
      pendingBits += 8
    }
    out[i] = pending & mask
    pending >>>= width
    pendingBits -= width
  }
}

/** Rice values into `out` from index `from` on, each turned back from zig-zag. */
export function readRice(source: ByteReader, out: Float64Array, from: number, k: number): void {
  if (((out.length - from) * (k + 1)) / 8 > source.remaining) throw malformed('a column ends early')
  const { bytes, end, position: start } = source
  const size = powersOfTwo[k]!
  const mask = (1 << k) - 1 // used for k < 24 only
  let next = start
  let pending = 0
  let pendingBits = 0
  for (let i = from; i < out.length; i++) {
    // 25 to 32 bits; past the end they are zeros, which the last check finds.
    while (pendingBits <= chunk) {
      pending |= (next < end ? bytes[next]! : 0) << pendingBits
      next++
      pendingBits += 8
    }
    const zeros = ~pending | (1 << escapeOnes)
    const q = 31 - Math.clz32(zeros & -zeros)
    if (q < escapeOnes && q + 1 + k <= chunk) {
      const z = (q << k) | ((pending >>> (q + 1)) & mask)
      pending >>>= q + 1 + k
      pendingBits -= q + 1 + k
      out[i] = (z >>> 1) ^ -(z & 1)
      continue
    }
    const width = q < escapeOnes ? k : maxFixedWidth
    const bit = (next - start) * 8 - pendingBits + Math.min(q + 1, escapeOnes)
    const z = longBits(bytes, start, bit, width) + (q < escapeOnes ? q * size : 0)
    const half = Math.floor(z / 2)
    out[i] = z === 2 * half ? half : -half - 1
    next = start + ((bit + width) >> 3)
    const used = (bit + width) & 7
    pending = next < end ? bytes[next]! >>> used : 0
    pendingBits = 8 - used
    next++
  }
  source.skip(Math.ceil(((next - start) * 8 - pendingBits) / 8))
}

/** `width` ≤ 53 bits at bit offset `bit` after byte `start`; bits past the end of the bytes are zeros. */
function longBits(bytes: Uint8Array, start: number, bit: number, width: number): number {
  const at = start + (bit >> 3)
  const skipped = bit & 7
  const low = wordAt(bytes, at) >>> skipped
  const lowBits = 32 - skipped
  if (width < lowBits) return low & ((1 << width) - 1)
  const highBits = width - lowBits
  const high = wordAt(bytes, at + 4) & ((1 << highBits) - 1)
  return low + high * powersOfTwo[lowBits]!
}

function wordAt(bytes: Uint8Array, at: number): number {
  if (at + 4 <= bytes.length)
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
  let word = 0
  for (let i = at; i < bytes.length; i++) word |= bytes[i]! << (8 * (i - at))
  return word
}
