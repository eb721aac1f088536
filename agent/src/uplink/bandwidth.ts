/**
 * A token bucket over the bytes that leave. Pure; monotonic milliseconds.
 *
 * A request may leave while the bucket is not empty and then takes all its bytes, so that one larger than the bucket leaves too; the
 * debt is waited out. At most a quarter of a second of the rate is saved up: over any time the rate is exceeded by that and by one
 * request at most.
 */
const savedS = 0.25

export class Bandwidth {
  readonly #bytesPerS: number | null
  readonly #mostBytes: number
  #bytes: number
  #atMs = 0

  /** Null: no bound. */
  constructor(bytesPerS: number | null) {
    this.#bytesPerS = bytesPerS
    this.#mostBytes = (bytesPerS ?? 0) * savedS
    this.#bytes = this.#mostBytes
  }

  /** Milliseconds until a request may leave; 0 for now. */
  waitMs(nowMs: number): number {
    if (this.#bytesPerS === null) return 0
    this.#refill(nowMs, this.#bytesPerS)
    return this.#bytes >= 0 ? 0 : Math.ceil((-this.#bytes * 1000) / this.#bytesPerS)
  }

  /** A request of so many bytes leaves. */
  spend(bytes: number, nowMs: number): void {
    if (this.#bytesPerS === null) return
    this.#refill(nowMs, this.#bytesPerS)
    this.#bytes -= bytes
  }

  #refill(nowMs: number, bytesPerS: number): void {
    this.#bytes = Math.min(this.#mostBytes, this.#bytes + ((nowMs - this.#atMs) * bytesPerS) / 1000)
    this.#atMs = nowMs
  }
}
