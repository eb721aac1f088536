/**
 * A bounded cursor over untrusted bytes. Every read is checked against `end`; whatever is wrong ends in a `malformed`
 * TributaryError. The forms read are those of byte-writer.ts.
 */
import { TributaryError } from '../errors.ts'

/** `subject`: what the bytes were held to be. */
export function malformed(what: string, subject = 'batch'): TributaryError {
  return new TributaryError('malformed', `${subject} is damaged or not a ${subject}: ${what}`)
}

export class ByteReader {
  readonly bytes: Uint8Array
  readonly end: number
  /** What the bytes are held to be, for the error. */
  readonly subject: string
  position: number

  constructor(bytes: Uint8Array, position = 0, end: number = bytes.length, subject = 'batch') {
    this.bytes = bytes
    this.position = position
    this.end = end
    this.subject = subject
  }

  get remaining(): number {
    return this.end - this.position
  }

  u8(): number {
    if (this.position >= this.end) throw malformed('it ends early', this.subject)
    return this.bytes[this.position++]!
  }

  /** Move past `length` bytes and return where they started. */
  skip(length: number): number {
    if (length > this.end - this.position)
      throw malformed(`${length} bytes announced, ${this.remaining} left`, this.subject)
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
    return new ByteReader(this.bytes, start, start + length, this.subject)
  }

  /** A double, little-endian. */
  f64(): number {
    const start = this.skip(8)
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + start, 8).getFloat64(0, true)
  }

  uvarint(): number {
    let byte = this.u8()
    let value = byte & 0x7f
    let scale = 0x80
    while (byte >= 0x80) {
      byte = this.u8()
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 56) throw malformed('a number exceeds 2^53 − 1', this.subject)
    }
    return value
  }

  svarint(): number {
    const first = this.u8()
    let magnitude = (first >> 1) & 0x3f
    if (first >= 0x80) magnitude += this.uvarint() * 64
    const value = first & 1 ? -magnitude - 1 : magnitude
    if (!Number.isSafeInteger(value)) throw malformed('a number exceeds ±(2^53 − 1)', this.subject)
    return value
  }

  /** A uvarint that may not exceed `max`. */
  count(max: number, what: string): number {
    const value = this.uvarint()
    if (value > max) throw malformed(`${value} ${what}, at most ${max} possible here`, this.subject)
    return value
  }
}
