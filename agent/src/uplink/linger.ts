/**
 * When to seal: at once when a full batch waits, else `lingerMs` after the oldest waiting reading was noticed, so that latency stays
 * low and a busy agent still sends full batches. Pure: times come in as monotonic milliseconds.
 */
export class Linger {
  readonly #maxReadings: number
  readonly #lingerMs: number
  #waiting = 0
  #sinceMs: number | null = null

  constructor(maxReadings: number, lingerMs: number) {
    this.#maxReadings = maxReadings
    this.#lingerMs = lingerMs
  }

  /** More readings arrived. Returns whether the time to seal changed by it: the first of them, or a batch became full. */
  arrived(readings: number, nowMs: number): boolean {
    const before = this.#waiting
    this.#waiting += readings
    const first = this.#sinceMs === null
    this.#sinceMs ??= nowMs
    return first || (before < this.#maxReadings && this.#waiting >= this.#maxReadings)
  }

  /** So many wait in truth. */
  observe(waiting: number, nowMs: number): void {
    this.#waiting = waiting
    if (waiting <= 0) this.#sinceMs = null
    else this.#sinceMs ??= nowMs
  }

  /** Milliseconds until it is time to seal; 0 for now, null when nothing waits. */
  dueInMs(nowMs: number): number | null {
    if (this.#sinceMs === null) return null
    if (this.#waiting >= this.#maxReadings) return 0
    return Math.max(0, this.#sinceMs + this.#lingerMs - nowMs)
  }

  /** A batch was sealed, or there was nothing to seal: what waits from here on starts its own wait. */
  sealed(): void {
    this.#waiting = 0
    this.#sinceMs = null
  }
}
