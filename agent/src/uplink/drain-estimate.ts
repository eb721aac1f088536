/**
 * How long sending everything would take, and how fast readings leave. Pure; monotonic milliseconds.
 *
 * The time is counted in full batches, one after another: what a batch takes hardly depends on how full it is, so small ones tell of
 * the link as well as large ones. Where a bandwidth is set, a batch takes at least its bytes at that rate.
 */
const smoothing = 0.2
/** Readings are averaged over about this time. */
const rateOverMs = 10_000

export class DrainEstimate {
  readonly #maxReadings: number
  readonly #bytesPerS: number | null
  #batchMs: number | null = null
  #ratePerMs = 0
  #rateAtMs = 0

  constructor(maxReadings: number, bytesPerS: number | null) {
    this.#maxReadings = maxReadings
    this.#bytesPerS = bytesPerS
  }

  /** A batch was stored. */
  stored(batch: { readonly readings: number; readonly bytes: number }, tookMs: number, nowMs: number): void {
    const pacedMs = this.#bytesPerS === null ? 0 : (batch.bytes * 1000) / this.#bytesPerS
    const ms = Math.max(1, tookMs, pacedMs)
    this.#batchMs = this.#batchMs === null ? ms : this.#batchMs * (1 - smoothing) + ms * smoothing
    this.#ratePerMs = this.#decayed(nowMs) + batch.readings / rateOverMs
    this.#rateAtMs = nowMs
  }

  /** Of so many readings, in order, ms; null before the first answer. */
  inOrderMs(readings: number): number | null {
    return this.#batchMs === null ? null : Math.ceil(readings / this.#maxReadings) * this.#batchMs
  }

  /** Readings stored a second, lately. */
  readingsPerS(nowMs: number): number {
    return this.#decayed(nowMs) * 1000
  }

  /** Of so many readings at the rate of late, ms; null when nothing leaves. */
  atRateMs(readings: number, nowMs: number): number | null {
    if (readings === 0) return 0
    const rate = this.#decayed(nowMs)
    return rate < 1e-6 ? null : readings / rate
  }

  #decayed(nowMs: number): number {
    return this.#ratePerMs * Math.exp((this.#rateAtMs - nowMs) / rateOverMs)
  }
}
