/**
 * Cuts a byte stream into lines that end in LF (a CR before it goes too); empty lines are skipped.
 *
 * At most `maxLineBytes` of a line are kept: the rest of a longer one is counted and dropped up to its LF, and the line is given
 * out with its first bytes and its true length. Output is in object mode.
 */
import { Transform, type TransformCallback } from 'node:stream'

export interface Line {
  /** Without its end; the first `maxLineBytes` of a longer line. */
  readonly bytes: Buffer
  /** As it was sent. */
  readonly length: number
}

const lf = 0x0a
const cr = 0x0d

export class LineSplitter extends Transform {
  readonly #maxLineBytes: number
  #parts: Buffer[] = []
  #kept = 0
  #length = 0

  constructor(maxLineBytes: number) {
    super({ readableObjectMode: true })
    this.#maxLineBytes = maxLineBytes
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    let at = 0
    for (let end = chunk.indexOf(lf); end >= 0; end = chunk.indexOf(lf, at)) {
      this.#add(chunk.subarray(at, end))
      this.#end()
      at = end + 1
    }
    this.#add(chunk.subarray(at))
    done()
  }

  /** What stands before the first LF after a port was opened may be half a line: it is given out like any other. */
  #end(): void {
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    const endsInCr = this.#length === this.#kept && bytes.at(-1) === cr
    const line: Line = endsInCr
      ? { bytes: bytes.subarray(0, -1), length: this.#length - 1 }
      : { bytes, length: this.#length }
    this.#parts = []
    this.#kept = 0
    this.#length = 0
    if (line.length > 0) this.push(line)
  }

  #add(part: Buffer): void {
    if (part.length === 0) return
    this.#length += part.length
    // One byte more than the limit is kept, for the CR of a line that is exactly as long as allowed.
    const room = this.#maxLineBytes + 1 - this.#kept
    if (room <= 0) return
    const kept = part.subarray(0, room)
    this.#parts.push(kept)
    this.#kept += kept.length
  }
}
