/**
 * A bounded cursor over untrusted bytes. Every read is checked against `end`; whatever is wrong ends in a `malformed`
 * TributaryError. The forms read are those of byte-writer.ts.
 */
import { TributaryError } from '../errors.ts'

export function malformed(what: string): TributaryError {
  return new TributaryError('malformed', `batch is damaged or not a batch: ${what}`)
}

export class ByteReader {
  readonly bytes: Uint8Array
  readonly end: number
  position: number

  constructor(bytes: Uint8Array, position = 0, end: number = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  get remaining(): number {
    return this.end - this.position
  }

  u8(): number {
    if (this.position >= this.end) throw malformed('it ends early')
    return this.bytes[this.position++]!
  }

  /** Move past `length` bytes and return where they started. */
  skip(length: number): number {
    if (length > this.end - this.position) throw malformed(`${length} bytes announced, ${this.remaining} left`)
    const start = this.position
    this.position += length
    return start
  }

  take(length: number): Uint8Array {
    const start = this.skip(length)
    return this.bytes.subarray(start, start + length)
  }

  /** A reader over the next `length` bytes, which this one moves past. */
  slice(length: number): ByteReader {
    const start = this.skip(length)
    return new ByteReader(this.bytes, start, start + length)
  }

  uvarint(): number {
    let byte = this.u8()
    let value = byte & 0x7f
    let scale = 0x80
    while (byte >= 0x80) {
      byte = this.u8()
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 56) throw malformed('a number exceeds 2^53 − 1')
    }
    return value
  }

  svarint(): number {
    const first = this.u8()
    let magnitude = (first >> 1) & 0x3f
    if (first >= 0x80) magnitude += this.uvarint() * 64
    const value = first & 1 ? -magnitude - 1 : magnitude
    if (!Number.isSafeInteger(value)) throw malformed('a number exceeds ±(2^53 − 1)')
    return value
  }

  /** A uvarint that may not exceed `max`. */
  count(max: number, what: string): number {
    const value = this.uvarint()
    if (value > max) throw malformed(`${value} ${what}, at most ${max} possible here`)
    return value
  }
}
