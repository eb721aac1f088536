/** A wait that ends early when poked; a poke while nobody waits ends the next wait at once. */
export class Wakeup {
  #poked = false
  #resolve: (() => void) | null = null

  poke(): void {
    if (this.#resolve) this.#resolve()
    else this.#poked = true
  }

  async wait(ms: number): Promise<void> {
    if (this.#poked) {
      this.#poked = false
      return
    }
    // setTimeout takes 31 bits; an early end is harmless to a caller that looks again.
    await new Promise<void>(resolve => {
      const timer = setTimeout(end, Math.min(ms, 2 ** 31 - 1))
      const self = this
      function end(): void {
        clearTimeout(timer)
        self.#resolve = null
        resolve()
      }
      this.#resolve = end
    })
  }
}
