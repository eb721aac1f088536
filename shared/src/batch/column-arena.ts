/**
 * Memory of one decode: the numeric columns of a batch are views of one buffer, because an allocation for each of twenty series
 * took as long as decoding them (content of 1000 readings: 146 µs with, 71 µs without). Its size follows from the totals in the
 * header, which were checked against the limits.
 */
export class ColumnArena {
  readonly #buffer: ArrayBuffer
  #used = 0
  #scratch = new Float64Array(0)

  /** Room for `length` doubles; more are allocated one by one. */
  constructor(length: number) {
    this.#buffer = new ArrayBuffer(length * 8)
  }

  /** `n` doubles that the batch keeps; zeros. */
  take(n: number): Float64Array {
    const start = this.#used
    if (start + n * 8 > this.#buffer.byteLength) return new Float64Array(n)
    this.#used = start + n * 8
    return new Float64Array(this.#buffer, start, n)
  }

  /** `n` doubles of anything, overwritten by the next call. */
  scratch(n: number): Float64Array {
    if (this.#scratch.length < n) this.#scratch = new Float64Array(Math.max(n, 128))
    return this.#scratch.length === n ? this.#scratch : this.#scratch.subarray(0, n)
  }
}
