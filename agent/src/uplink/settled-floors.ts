/**
 * Which `settled` answers may be believed when several requests are in flight.
 *
 * The hub's stored floor of an epoch only rises, except when the hub lost data; then everything from the lower floor on is sent
 * again. An answer overtaken on its way carries an older, lower floor and must not cause that: a lower floor counts only when its
 * request left after the higher one had been received. Pure; monotonic milliseconds.
 */
export class SettledFloors {
  readonly #highest = new Map<number, { readonly settled: number; readonly receivedAtMs: number }>()

  /** Whether the buffer shall hear of it. */
  credible(epoch: number, settled: number, sentAtMs: number, receivedAtMs: number): boolean {
    const known = this.#highest.get(epoch)
    if (known && settled < known.settled && sentAtMs < known.receivedAtMs) return false
    // Epochs come one a start of the agent; older ones than these have nothing left to send.
    if (!known && this.#highest.size >= 64) this.#highest.clear()
    this.#highest.set(epoch, { settled, receivedAtMs })
    return true
  }
}
