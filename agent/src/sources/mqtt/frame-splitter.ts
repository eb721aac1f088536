/**
 * Cuts a byte stream into MQTT control packets without looking into them.
 *
 * A packet (MQTT 3.1.1 §2.2): byte type and flags, then 1 to 4 bytes of remaining length (7 bits each, least significant first),
 * then so many bytes. A length above `maxPacketBytes` is refused as soon as it is read, before anything is kept for it; or, with
 * `cut`, the packet is found with its first `maxPacketBytes` only, and `cutOff` says how many are left out.
 *
 * A packet that lies whole in one chunk is not copied: `bytes[at … end)` stays valid until the next call of `push`. At most one
 * chunk and one unfinished packet are held.
 */
export class FrameSplitter {
  /** The packet found by `next`: its first byte at `at`, the byte after its length at `body`, its end (exclusive) at `end`. */
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  body = 0
  end = 0
  /** Bytes that were left out at its end, of a packet that is too long. */
  cutOff = 0
  readonly #maxPacketBytes: number
  readonly #tooLong: 'refuse' | 'cut'
  #chunk: Buffer = Buffer.alloc(0)
  #position = 0
  /** The beginning of a packet whose end has not come; grows by doubling. */
  #partial: Buffer = Buffer.alloc(0)
  #partialLength = 0
  /** Bytes of it that were left out so far. */
  #passed = 0

  constructor(maxPacketBytes: number, tooLong: 'refuse' | 'cut' = 'refuse') {
    this.#maxPacketBytes = maxPacketBytes
    this.#tooLong = tooLong
  }

  /** Add what arrived. Call only after `next` returned false. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#position = 0
  }

  /**
   * Find the next whole packet.
   *
   * @throws PacketTooLarge, or RangeError for a length of more than 4 bytes [MQTT-2.2.3]
   */
  next(): boolean {
    return this.#partialLength > 0 ? this.#nextFromPartial() : this.#nextFromChunk()
  }

  #nextFromChunk(): boolean {
    const left = this.#chunk.length - this.#position
    if (left === 0) return false
    const header = this.#header(this.#chunk, this.#position, this.#chunk.length)
    if (header === incomplete || header.body + header.length > this.#chunk.length) {
      const most = header === incomplete ? left : header.body - this.#position + this.#lengthKept(header)
      this.#keep(Math.min(left, most))
      return this.#nextFromPartial()
    }
    if (header.length > this.#maxPacketBytes) {
      this.#keep(header.body - this.#position + this.#maxPacketBytes)
      return this.#nextFromPartial()
    }
    this.bytes = this.#chunk
    this.at = this.#position
    this.body = header.body
    this.end = header.body + header.length
    this.cutOff = 0
    this.#position = this.end
    return true
  }

  #nextFromPartial(): boolean {
    for (;;) {
      const header = this.#header(this.#partial, 0, this.#partialLength)
      const wanted = header === incomplete ? this.#partialLength + 1 : header.body + this.#lengthKept(header)
      const left = this.#chunk.length - this.#position
      if (this.#partialLength < wanted) {
        if (left === 0) return false
        this.#keep(Math.min(wanted - this.#partialLength, left))
      } else if (header !== incomplete) return this.#finishPartial(header)
    }
  }

  /** All that is kept of it is there; what is not kept has to pass too. */
  #finishPartial({ body, length }: Header): boolean {
    const cutOff = length - Math.min(length, this.#maxPacketBytes)
    const passing = Math.min(cutOff - this.#passed, this.#chunk.length - this.#position)
    this.#position += passing
    this.#passed += passing
    if (this.#passed < cutOff) return false
    this.bytes = this.#partial
    this.at = 0
    this.body = body
    this.end = this.#partialLength
    this.cutOff = cutOff
    this.#partial = Buffer.alloc(0)
    this.#partialLength = 0
    this.#passed = 0
    return true
  }

  #lengthKept({ length }: Header): number {
    return Math.min(length, this.#maxPacketBytes)
  }

  #keep(count: number): void {
    const length = this.#partialLength + count
    if (length > this.#partial.length) {
      const larger = Buffer.allocUnsafe(Math.max(64, length, this.#partial.length * 2))
      this.#partial.copy(larger, 0, 0, this.#partialLength)
      this.#partial = larger
    }
    this.#chunk.copy(this.#partial, this.#partialLength, this.#position, this.#position + count)
    this.#partialLength = length
    this.#position += count
  }

  #header(bytes: Buffer, at: number, end: number): Header | typeof incomplete {
    let length = 0
    for (let i = 0; i < 4; i++) {
      const index = at + 1 + i
      if (index >= end) return incomplete
      const byte = bytes[index]!
      length += (byte & 0x7f) * 128 ** i
      if (byte < 0x80) {
        if (length > this.#maxPacketBytes && this.#tooLong === 'refuse')
          throw new PacketTooLarge(length, this.#maxPacketBytes)
        header.body = index + 1
        header.length = length
        return header
      }
    }
    throw new RangeError('remaining length of more than 4 bytes')
  }
}

export class PacketTooLarge extends RangeError {
  constructor(length: number, maxPacketBytes: number) {
    super(`packet of ${length} bytes; at most ${maxPacketBytes} are taken`)
  }
}

interface Header {
  body: number
  length: number
}

const incomplete = null
/** Written anew by every call, read at once: saves an object per packet. */
const header: Header = { body: 0, length: 0 }
