/**
 * Which `settled` answers the buffer shall hear of. Pure; monotonic milliseconds.
 *
 * The hub's stored floor of an epoch only rises, except when the hub lost data; then everything from the lower floor on is sent
 * again. Two things look like a fall and are none: an answer that was overtaken on its way by a later one, and a replica of the
 * hub whose floor is a second old. So a lower floor counts only when its request left after the higher answer had come, and when
 * nothing but lower floors came for `fallMs`.
 */
interface Known {
  readonly settled: number
  readonly receivedAtMs: number
  /** Since when only lower floors came; null when none did. */
  readonly lowerSinceMs: number | null
}

export class SettledFloors {
  readonly #fallMs: number
  readonly #known = new Map<number, Known>()

  constructor(fallMs: number) {
    this.#fallMs = fallMs
  }

  /** Whether to believe this answer. */
  heard(epoch: number, settled: number, sentAtMs: number, receivedAtMs: number): boolean {
    const known = this.#known.get(epoch)
    if (known && settled < known.settled) {
      if (sentAtMs < known.receivedAtMs) return false
      const lowerSinceMs = known.lowerSinceMs ?? receivedAtMs
      if (receivedAtMs - lowerSinceMs < this.#fallMs) {
        this.#known.set(epoch, { ...known, lowerSinceMs })
        return false
      }
    }
    // Epochs come one a start of the agent; older ones than these have nothing left to send.
    if (!known && this.#known.size >= 64) this.#known.clear()
    this.#known.set(epoch, { settled, receivedAtMs, lowerSinceMs: null })
    return true
  }
}
