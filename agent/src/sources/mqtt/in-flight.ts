/**
 * Bytes heard and not yet committed, over all connections. Above the bound connections stop reading; TCP tells the senders.
 */
export class InFlight {
  readonly #maxBytes: number
  readonly #waiting = new Set<() => void>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get full(): boolean {
    return this.#bytes >= this.#maxBytes
  }

  add(bytes: number): void {
    this.#bytes += bytes
  }

  /** Wakes the waiting once half of the room is free again. */
  remove(bytes: number): void {
    this.#bytes -= bytes
    if (this.#waiting.size === 0 || this.#bytes > this.#maxBytes / 2) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Call `wake` once there is room; `forget` it when its connection closes. */
  wait(wake: () => void): void {
    this.#waiting.add(wake)
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}
