/**
 * When the next request may leave. Pure: times come in as monotonic milliseconds.
 *
 * - `later` (network, 429, 5xx): full jitter over a ceiling that doubles, after `Retry-After` where the hub said one.
 * - `refused` (revoked, unknown, wrong address): between half and all of `refusedRetryMs`.
 * - `dropped` (the hub closed a connection that was up): one jittered wait, so that a restarted hub does not meet every agent at once.
 *
 * Of several requests in flight, those sent before a pause began neither lengthen its ceiling nor end it.
 */
import { type Backoff, fullJitterMs } from '@tributary/shared/retry'

export class Pace {
  readonly #backoff: Backoff
  readonly #refusedRetryMs: number
  readonly #random: () => number
  #attempts = 0
  #pausedAtMs = Number.NEGATIVE_INFINITY
  #untilMs = Number.NEGATIVE_INFINITY
  #dropUntilMs = Number.NEGATIVE_INFINITY

  constructor(backoff: Backoff, refusedRetryMs: number, random: () => number = Math.random) {
    this.#backoff = backoff
    this.#refusedRetryMs = refusedRetryMs
    this.#random = random
  }

  later(nowMs: number, sentAtMs: number, retryAfterS: number | null): void {
    const counts = sentAtMs >= this.#pausedAtMs
    if (counts || retryAfterS !== null) {
      const waitMs = (retryAfterS ?? 0) * 1000 + fullJitterMs(this.#backoff, this.#attempts, this.#random)
      this.#untilMs = Math.max(this.#untilMs, nowMs + waitMs)
    }
    if (counts) this.#pause(nowMs)
  }

  refused(nowMs: number, sentAtMs: number): void {
    if (sentAtMs < this.#pausedAtMs) return
    this.#untilMs = nowMs + (this.#refusedRetryMs / 2) * (1 + this.#random())
    this.#pause(nowMs)
  }

  #pause(nowMs: number): void {
    this.#attempts++
    this.#pausedAtMs = nowMs
  }

  dropped(nowMs: number): void {
    this.#dropUntilMs = Math.max(this.#dropUntilMs, nowMs + fullJitterMs(this.#backoff, 0, this.#random))
  }

  succeeded(sentAtMs: number): void {
    if (sentAtMs < this.#pausedAtMs) return
    this.#attempts = 0
    this.#untilMs = Number.NEGATIVE_INFINITY
  }

  /** Failures since the last success; while there are any, one request at a time probes. */
  get attempts(): number {
    return this.#attempts
  }

  /** Milliseconds until a request may leave; 0 for now. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#untilMs - nowMs, this.#dropUntilMs - nowMs)
  }
}
