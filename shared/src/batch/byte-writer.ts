/**
 * A growing byte buffer and the two integer forms of the batch layout.
 *
 * uvarint: LEB128, 7 bits a byte, low bits first, for 0 … 2^53 − 1. svarint: the uvarint of the zig-zag (0, −1, 1, −2, … →
 * 0, 1, 2, 3, …), for every safe integer: its low 6 magnitude bits and its sign share the first byte, so that no step leaves the
 * exact range of a double.
 */
import { TributaryError } from '../errors.ts'

/** One double on its way. */
const doubleBytes = new Uint8Array(8)
const doubleView = new DataView(doubleBytes.buffer)

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#length
  }

  /** A view of what was written, valid until the next write. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length)
  }

  u8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = value
  }

  raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** A double, little-endian. */
  f64(value: number): void {
    doubleView.setFloat64(0, value, true)
    this.raw(doubleBytes)
  }

  uvarint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.u8(rest)
  }

  svarint(value: number): void {
    const sign = value < 0 ? 1 : 0
    const magnitude = sign ? -value - 1 : value
    const low = ((magnitude % 64) << 1) | sign
    if (magnitude < 64) {
      this.u8(low)
    } else {
      this.u8(low | 0x80)
      this.uvarint(Math.floor(magnitude / 64))
    }
  }

  #grow(by: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + by))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** Bytes that `svarint` takes for this value. */
export function svarintSize(value: number): number {
  const magnitude = value < 0 ? -value - 1 : value
  if (magnitude < 64) return 1
  let size = 2
  for (let rest = magnitude / 64; rest >= 128; rest /= 128) size++
  return size
}

/** The value, when it is a safe integer of at least `min`; a batch that breaks this cannot be encoded. */
export function integerField(value: number, name: string, min: number = Number.MIN_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || value < min) {
    throw new TributaryError('malformed', `batch cannot be encoded: ${name} is ${value}, not a safe integer ≥ ${min}`)
  }
  return value
}
