/**
 * Bytes in and out for the layouts of the buffer: LEB128 varints over safe integers, zig-zag for signed ones, little-endian
 * float64, and text that shares a prefix with the text before it. The reader checks every bound and throws `corrupt`.
 */
import { TributaryError } from '@tributary/shared/errors'

const utf8 = new TextDecoder('utf-8', { fatal: false })
const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

export class ByteWriter {
  private bytes: Uint8Array
  private length = 0

  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity)
  }

  reset(): void {
    this.length = 0
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  byte(value: number): void {
    this.room(1)
    this.bytes[this.length++] = value
  }

  /** 0 … 2^53 − 1; anything else would be read back as something else. */
  varint(value: number): void {
    if (!(value >= 0)) throw new TributaryError('internal', `${value} cannot be stored as an unsigned number`)
    this.room(8)
    let rest = value
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80
      rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 0x80)
    }
    this.bytes[this.length++] = rest
  }

  /** −2^52 … 2^52 − 1. */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  float64(value: number): void {
    this.room(8)
    float[0] = value
    this.bytes.set(floatBytes, this.length)
    this.length += 8
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8')
    this.varint(bytes.length)
    this.raw(bytes)
  }

  /** `value` as the length of the prefix (UTF-16 units) that it shares with `before`, and the rest. */
  textAfter(value: string, before: string): void {
    const end = Math.min(value.length, before.length)
    let shared = 0
    while (shared < end && value.charCodeAt(shared) === before.charCodeAt(shared)) shared++
    if (shared > 0 && isHighSurrogate(value.charCodeAt(shared - 1))) shared--
    this.varint(shared)
    this.text(shared === 0 ? value : value.slice(shared))
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

export class ByteReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  byte(): number {
    const value = this.bytes[this.at++]
    if (value === undefined) throw tooShort()
    return value
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 0x80
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new TributaryError('corrupt', 'a stored number is out of range')
    return value
  }

  signed(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  float64(): number {
    floatBytes.set(this.raw(8))
    return float[0] as number
  }

  raw(length: number): Uint8Array {
    if (length > this.left) throw tooShort()
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  text(): string {
    return utf8.decode(this.raw(this.varint()))
  }

  textAfter(before: string): string {
    const shared = this.varint()
    if (shared > before.length) throw tooShort()
    return before.slice(0, shared) + this.text()
  }
}

function tooShort(): TributaryError {
  return new TributaryError('corrupt', 'stored bytes end too early')
}
