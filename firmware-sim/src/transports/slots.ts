/**
 * Bounded concurrency, and a way to wait until it is idle. Takers get their slots in the order in which they came.
 */
import type { TributaryError } from '@tributary/shared/errors'

interface Waiter {
  resolve(): void
  reject(error: TributaryError): void
}

export class Slots {
  readonly limit: number
  #taken = 0
  #closed: TributaryError | null = null
  readonly #takers: Waiter[] = []
  readonly #lookers: Waiter[] = []
  readonly #idle: (() => void)[] = []

  constructor(limit: number) {
    this.limit = limit
  }

  get taken(): number {
    return this.#taken
  }

  /** Resolves when a slot is free, without taking it. */
  room(): Promise<void> {
    return this.#closed === null && this.#taken >= this.limit ? this.#wait(this.#lookers) : this.#answer()
  }

  /** Take a slot as soon as there is one. */
  take(): Promise<void> {
    if (this.#closed === null && this.#taken >= this.limit) return this.#wait(this.#takers)
    if (this.#closed === null) this.#taken++
    return this.#answer()
  }

  release(): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#taken--
    else taker.resolve() // the slot changes hands
    if (this.#taken < this.limit) this.#lookers.shift()?.resolve()
    if (this.#taken === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Refuse new takers and everybody who waits. */
  close(error: TributaryError): void {
    this.#closed ??= error
    for (const waiter of [...this.#takers.splice(0), ...this.#lookers.splice(0)]) waiter.reject(error)
  }

  /** Resolves true when nothing is taken, false after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<boolean> {
    if (this.#taken === 0) return true
    const idle = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => idle.resolve(false), timeoutMs)
    this.#idle.push(() => idle.resolve(true))
    const result = await idle.promise
    clearTimeout(timer)
    return result
  }

  #answer(): Promise<void> {
    return this.#closed === null ? Promise.resolve() : Promise.reject(this.#closed)
  }

  #wait(queue: Waiter[]): Promise<void> {
    return new Promise((resolve, reject) => queue.push({ resolve, reject }))
  }
}
