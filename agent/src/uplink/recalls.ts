/**
 * Recalls that the hub's answers carry, one after another, a step at a time while little else waits: what is asked back must not stand in
 * the way of what is new. The buffer remembers how far each has come; the hub names a recall until it heard that it is done.
 */
import type { Recall } from '@tributary/shared/protocol'
import type { Buffer } from '../buffer/buffer.ts'

export interface RecallsParts {
  readonly buffer: Pick<Buffer, 'recall'>
  readonly onDone: (recall: Recall) => void
}

export class Recalls {
  readonly #parts: RecallsParts
  #open: readonly Recall[] = []
  /** Of those that the hub named last. */
  #finished: ReadonlySet<number> = new Set()
  #done = 0

  constructor(parts: RecallsParts) {
    this.#parts = parts
  }

  /** To be worked on. */
  get open(): number {
    return this.#open.length
  }

  /** Done since the start. */
  get done(): number {
    return this.#done
  }

  /** What an answer asks for: all that the hub wants now. */
  hear(recalls: readonly Recall[]): void {
    this.#finished = new Set(recalls.map(({ id }) => id).filter(id => this.#finished.has(id)))
    this.#open = recalls.filter(({ id }) => !this.#finished.has(id))
  }

  /** Go on with the first one; false when there is none. */
  async step(): Promise<boolean> {
    const [recall] = this.#open
    if (!recall) return false
    if (!(await this.#parts.buffer.recall(recall))) return true
    this.#open = this.#open.filter(({ id }) => id !== recall.id)
    this.#finished = new Set([...this.#finished, recall.id])
    this.#done++
    this.#parts.onDone(recall)
    return true
  }
}
