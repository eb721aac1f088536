/**
 * The aggregate of a range of a `ReadingRun` that moves forward: readings enter at its end and leave at its front, each in constant time
 * amortised.
 *
 * n, the sums and the sketch have an exact inverse: the leaving reading is subtracted and leaves nothing behind. The sketch is kept
 * at its finest level, of as many buckets as there can be readings, since coarsening has no inverse; `copyInto` coarsens. min
 * and max have none: two stacks. The front stack holds the extremes of each suffix of an older part of the range, the back
 * one running pair for what came since; when the front is used up, it is made anew of all that is there. first and last are the range's ends.
 */
import { addReading, mergeInto, subtractReading } from './aggregate.ts'
import { type AggregateStore, allocate, clear, field, release, stride } from './aggregate-store.ts'
import type { ReadingRun } from './reading-run.ts'

export class Rolling {
  readonly #store: AggregateStore
  readonly #slot: number
  /** Distances from the run's first reading: [from, to) is in the aggregate, [from, split) on the front stack. */
  #from = 0
  #split = 0
  #to = 0
  /** Extremes of [from + i, split), at index split − 1 − (from + i). */
  readonly #frontMin: number[] = []
  readonly #frontMax: number[] = []
  #backMin = Number.POSITIVE_INFINITY
  #backMax = Number.NEGATIVE_INFINITY

  /** `store` keeps no sketches, or sketches of as many buckets as a range can have readings. */
  constructor(store: AggregateStore) {
    this.#store = store
    this.#slot = allocate(store)
  }

  /** Give the memory back; only once. */
  release(): void {
    release(this.#store, this.#slot)
  }

  get from(): number {
    return this.#from
  }

  get to(): number {
    return this.#to
  }

  /** Begin anew with no readings, before the reading at this distance from the run's first. */
  reset(at: number): void {
    clear(this.#store, this.#slot)
    this.#from = at
    this.#split = at
    this.#to = at
    this.#frontMin.length = 0
    this.#frontMax.length = 0
    this.#backMin = Number.POSITIVE_INFINITY
    this.#backMax = Number.NEGATIVE_INFINITY
  }

  /** Take in the next reading of the run. */
  push(run: ReadingRun): void {
    const at = run.first + this.#to++
    const value = run.values[at]!
    addReading(this.#store, this.#slot, run.tsUs[at]!, run.orders[at]!, value)
    this.#backMin = Math.min(this.#backMin, value)
    this.#backMax = Math.max(this.#backMax, value)
  }

  /** Let the first reading of the range go. */
  shift(run: ReadingRun): void {
    if (this.#from === this.#split) this.#turn(run)
    this.#frontMin.pop()
    this.#frontMax.pop()
    subtractReading(this.#store, this.#slot, run.values[run.first + this.#from]!)
    this.#from++
  }

  /** The run has dropped its first reading, which is not in the range. */
  moved(): void {
    this.#from--
    this.#split--
    this.#to--
  }

  /** Write the aggregate of the range, of at least one reading, into an empty slot. */
  copyInto(store: AggregateStore, slot: number, run: ReadingRun): void {
    const d = this.#store.numbers
    const at = this.#slot * stride
    const first = run.first + this.#from
    const last = run.first + this.#to - 1
    d[at + field.min] = Math.min(this.#frontMin.at(-1) ?? Number.POSITIVE_INFINITY, this.#backMin)
    d[at + field.max] = Math.max(this.#frontMax.at(-1) ?? Number.NEGATIVE_INFINITY, this.#backMax)
    d.set([run.tsUs[first]!, run.orders[first]!, run.values[first]!], at + field.firstUs)
    d.set([run.tsUs[last]!, run.orders[last]!, run.values[last]!], at + field.lastUs)
    mergeInto(store, slot, this.#store, this.#slot)
  }

  /** Make the front stack of the whole range. */
  #turn(run: ReadingRun): void {
    let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let i = this.#to - 1; i >= this.#from; i--) {
      const value = run.values[run.first + i]!
      min = Math.min(min, value)
      max = Math.max(max, value)
      this.#frontMin.push(min)
      this.#frontMax.push(max)
    }
    this.#split = this.#to
    this.#backMin = Number.POSITIVE_INFINITY
    this.#backMax = Number.NEGATIVE_INFINITY
  }
}
