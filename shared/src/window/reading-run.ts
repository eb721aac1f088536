/**
 * The readings of one series that are still needed, in order of (time, arrival): flat columns, at most `maxReadings`.
 *
 * 32 bytes a reading. Most readings are appended; one out of order moves those after it.
 */
import { type ByteReader, malformed } from '../batch/byte-reader.ts'
import type { ByteWriter } from '../batch/byte-writer.ts'

export const bytesPerReading = 32

export interface KeptReading {
  readonly tsUs: number
  readonly order: number
  readonly value: number
  /** What the kind of window notes of it: a whole number of at least 0. */
  readonly note: number
}

export class ReadingRun {
  tsUs = new Float64Array(8)
  orders = new Float64Array(8)
  values = new Float64Array(8)
  notes = new Float64Array(8)
  /** Readings that were already dropped from the front of the columns: they are moved up now and then. */
  #first = 0
  #end = 0

  get length(): number {
    return this.#end - this.#first
  }

  /** Whether one more reading takes more memory. */
  get isFull(): boolean {
    return this.#end === this.tsUs.length && !this.#canMoveUp
  }

  get #canMoveUp(): boolean {
    return this.#first >= this.tsUs.length / 2
  }

  get bytes(): number {
    return this.tsUs.length * bytesPerReading
  }

  /** Index into the columns of the first reading, and one past the last. Any `insert` or `dropFirst` may change them. */
  get first(): number {
    return this.#first
  }

  get end(): number {
    return this.#end
  }

  /** Insert in order; returns the distance from the first. */
  insert({ tsUs, order, value, note }: KeptReading): number {
    if (this.#end === this.tsUs.length) this.#makeRoom()
    let at = this.#end++
    while (at > this.#first && this.#follows(at - 1, tsUs, order)) at--
    for (const column of this.#columns()) column.copyWithin(at + 1, at, this.#end - 1)
    this.tsUs[at] = tsUs
    this.orders[at] = order
    this.values[at] = value
    this.notes[at] = note
    return at - this.#first
  }

  dropFirst(): void {
    this.#first++
  }

  clear(): void {
    this.#first = 0
    this.#end = 0
  }

  /** Index of the first reading at or after this time. */
  indexFrom(tsUs: number): number {
    let [from, to] = [this.#first, this.#end]
    while (from < to) {
      const middle = (from + to) >> 1
      if (this.tsUs[middle]! < tsUs) from = middle + 1
      else to = middle
    }
    return from
  }

  /** uvarint count, then each: svarint time, svarint arrival number, f64 value, uvarint note. */
  write(out: ByteWriter): void {
    out.uvarint(this.length)
    for (let i = this.#first; i < this.#end; i++) {
      out.svarint(this.tsUs[i]!)
      out.svarint(this.orders[i]!)
      out.f64(this.values[i]!)
      out.uvarint(this.notes[i]!)
    }
  }

  read(source: ByteReader, maxReadings: number): void {
    const count = source.count(maxReadings, 'readings')
    for (let i = 0; i < count; i++) {
      const [tsUs, order, value, note] = [source.svarint(), source.svarint(), source.f64(), source.uvarint()]
      const at = this.insert({ tsUs, order, value, note })
      if (at !== i || !Number.isFinite(value))
        throw malformed(`reading ${i} is out of order or no number`, source.subject)
    }
  }

  #follows(at: number, tsUs: number, order: number): boolean {
    return this.tsUs[at]! > tsUs || (this.tsUs[at] === tsUs && this.orders[at]! > order)
  }

  /** Move up if half of the columns is free in front, else double them. */
  #makeRoom(): void {
    if (this.#canMoveUp) {
      for (const column of this.#columns()) column.copyWithin(0, this.#first, this.#end)
    } else {
      this.tsUs = this.#doubled(this.tsUs)
      this.orders = this.#doubled(this.orders)
      this.values = this.#doubled(this.values)
      this.notes = this.#doubled(this.notes)
    }
    this.#end -= this.#first
    this.#first = 0
  }

  #doubled(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
    const larger = new Float64Array(column.length * 2)
    larger.set(column.subarray(this.#first, this.#end))
    return larger
  }

  #columns(): Float64Array[] {
    return [this.tsUs, this.orders, this.values, this.notes]
  }
}
