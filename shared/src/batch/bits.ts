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
export const escapeOnes = 24
export const escapeBits = escapeOnes + 53

const chunk = 24
const chunkSize = 2 ** chunk

class BitWriter {
  readonly #out: ByteWriter
  #pending = 0
  #pendingBits = 0

  constructor(out: ByteWriter) {
    this.#out = out
  }

  /** The low `width` ≤ 24 bits of `value`. */
  short(value: number, width: number): void {
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
  put(value: number, width: number): void {
    let rest = value
    let left = width
    while (left > chunk) {
      this.short(rest % chunkSize, chunk)
      rest = Math.floor(rest / chunkSize)
      left -= chunk
    }
    this.short(rest, left)
  }

  flush(): void {
    if (this.#pendingBits > 0) this.short(0, 8 - this.#pendingBits)
  }
}

export function writeFixed(out: ByteWriter, values: Float64Array, width: number): void {
  const bits = new BitWriter(out)
  for (let i = 0; i < values.length; i++) bits.put(values[i]!, width)
  bits.flush()
}

export function writeRice(out: ByteWriter, values: Float64Array, k: number): void {
  const bits = new BitWriter(out)
  const size = 2 ** k
  for (let i = 0; i < values.length; i++) {
    const z = values[i]!
    const q = Math.floor(z / size)
    if (q < escapeOnes) {
      bits.short((1 << q) - 1, q)
      bits.short(0, 1)
      bits.put(z - q * size, k)
    } else {
      bits.short(chunkSize - 1, escapeOnes)
      bits.put(z, 53)
    }
  }
  bits.flush()
}

class BitReader {
  readonly #in: ByteReader
  readonly #bytes: Uint8Array
  readonly #start: number
  #next: number
  #pending = 0
  #pendingBits = 0

  constructor(source: ByteReader) {
    this.#in = source
    this.#bytes = source.bytes
    this.#start = source.position
    this.#next = source.position
  }

  /** Have at least 25 bits pending; past the end they read as zeros, which `finish` finds. */
  #refill(): void {
    while (this.#pendingBits <= chunk) {
      const byte = this.#next < this.#in.end ? this.#bytes[this.#next]! : 0
      this.#next++
      this.#pending |= byte << this.#pendingBits
      this.#pendingBits += 8
    }
  }

  short(width: number): number {
    if (this.#pendingBits < width) this.#refill()
    const value = this.#pending & ((chunkSize - 1) >>> (chunk - width))
    this.#pending = (this.#pending >>> width) | 0
    this.#pendingBits -= width
    return value
  }

  get(width: number): number {
    if (width <= chunk) return this.short(width)
    const low = this.short(chunk)
    if (width <= 2 * chunk) return low + this.short(width - chunk) * chunkSize
    const middle = this.short(chunk)
    return low + (middle + this.short(width - 2 * chunk) * chunkSize) * chunkSize
  }

  /** One bits before the next zero bit, which is consumed; `escapeOnes` when there are that many, and no zero is consumed. */
  ones(): number {
    if (this.#pendingBits < escapeOnes) this.#refill()
    const zeros = ~this.#pending | (1 << escapeOnes)
    const count = 31 - Math.clz32(zeros & -zeros)
    const consumed = count < escapeOnes ? count + 1 : escapeOnes
    this.#pending >>>= consumed
    this.#pendingBits -= consumed
    return count
  }

  finish(): void {
    const bits = (this.#next - this.#start) * 8 - this.#pendingBits
    this.#in.skip(Math.ceil(bits / 8))
  }
}

export function readFixed(source: ByteReader, out: Float64Array, from: number, width: number): void {
  if (((out.length - from) * width) / 8 > source.remaining) throw malformed('a column ends early')
  const bits = new BitReader(source)
  for (let i = from; i < out.length; i++) out[i] = bits.get(width)
  bits.finish()
}

/** Rice values, each turned back from zig-zag into a signed residual. */
export function readRice(source: ByteReader, out: Float64Array, from: number, k: number): void {
  if (((out.length - from) * (k + 1)) / 8 > source.remaining) throw malformed('a column ends early')
  const bits = new BitReader(source)
  const size = 2 ** k
  for (let i = from; i < out.length; i++) {
    const q = bits.ones()
    const z = q < escapeOnes ? q * size + bits.get(k) : bits.get(53)
    const half = Math.floor(z / 2)
    out[i] = z - half * 2 === 1 ? -half - 1 : half
  }
  bits.finish()
}
