/**
 * When to commit: at once while it is quiet, else when the group is full or the window has passed.
 *
 * Every commit costs 8–10 kB of flash whatever it holds, so commits of groups that are not full are limited to one a window on
 * average (a token bucket: a burst of `burst` goes at once). A full group never waits: under overload the disk alone sets the pace,
 * and the next group forms while a commit is in flight. Measured at 5,000 messages/s: committing on every tick costs 5–20 times the
 * wear of a 5–20 ms window; with 2,000 messages in flight a bare window costs half the throughput, which the full group gives back.
 */
const burst = 8

export class Pace {
  private readonly windowMs: number
  private readonly full: number
  private tokens = burst
  private filledAtMs = 0

  constructor(windowMs: number, maxGroupReadings: number) {
    this.windowMs = windowMs
    this.full = maxGroupReadings
  }

  /** Milliseconds until a group of `readings` may be committed; 0 for now. */
  waitMs(readings: number, nowMs: number): number {
    if (readings >= this.full || this.windowMs === 0) return 0
    this.refill(nowMs)
    return this.tokens >= 1 ? 0 : (1 - this.tokens) * this.windowMs
  }

  /** A commit of `readings` begins. */
  spend(readings: number, nowMs: number): void {
    this.refill(nowMs)
    if (readings < this.full) this.tokens = Math.max(0, this.tokens - 1)
  }

  private refill(nowMs: number): void {
    if (this.windowMs > 0) this.tokens = Math.min(burst, this.tokens + (nowMs - this.filledAtMs) / this.windowMs)
    this.filledAtMs = nowMs
  }
}
