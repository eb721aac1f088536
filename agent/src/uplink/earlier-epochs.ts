/**
 * Finds what the hub has lost of the epochs before the running one. An answer speaks of its own batch's epoch only, so a hub that was
 * restored from a backup would never be asked for what an earlier start of the agent had sent.
 *
 * Looked at once after a start, after every trouble with the hub, and every ten minutes while batches pass: note how far each epoch is
 * acknowledged; once the hub has stored a batch that was sent after that, it has stored all of it, or lost it; ask.
 */
import type { EpochFloor } from '../buffer/buffer.ts'

const everyMs = 600_000

interface Noted {
  readonly floors: readonly EpochFloor[]
  readonly epoch: number
  /** The highest seq of `epoch` that had been sent by then. */
  readonly sentThen: number
}

export interface EarlierEpochsParts {
  readonly floors: () => Promise<readonly EpochFloor[]>
  readonly highestSent: (epoch: number) => number
  /** The hub's stored floors of these epochs. Throws when it does not tell. */
  readonly ask: (epochs: readonly number[]) => Promise<ReadonlyMap<number, number>>
  readonly lost: (epoch: number, fromSeq: number) => Promise<void>
  readonly monotonicMs: () => number
}

export class EarlierEpochs {
  readonly #parts: EarlierEpochsParts
  #dueAtMs = 0
  #noted: Noted | null = null
  #busy = false

  constructor(parts: EarlierEpochsParts) {
    this.#parts = parts
  }

  /** The hub was away: it may be another one, or an older one. */
  hubReturned(): void {
    this.#dueAtMs = 0
    this.#noted = null
  }

  /** A batch of the epoch was acknowledged, and the hub has stored the epoch up to `reached`. */
  async acknowledged(epoch: number, reached: number): Promise<void> {
    if (this.#busy || this.#parts.monotonicMs() < this.#dueAtMs) return
    this.#busy = true
    try {
      if (this.#noted?.epoch !== epoch) await this.#note(epoch)
      else if (reached > this.#noted.sentThen) await this.#compare(this.#noted.floors)
    } finally {
      this.#busy = false
    }
  }

  async #note(epoch: number): Promise<void> {
    const floors = await this.#parts.floors()
    if (floors.length === 0) this.#done()
    // Batches of before a start come first: the running epoch is the one that is not among the earlier ones.
    else if (!floors.some(floor => floor.epoch === epoch))
      this.#noted = { floors, epoch, sentThen: this.#parts.highestSent(epoch) }
  }

  async #compare(floors: readonly EpochFloor[]): Promise<void> {
    this.#done()
    const settled = await this.#parts.ask(floors.map(({ epoch }) => epoch))
    for (const { epoch, floor } of floors) {
      const stored = settled.get(epoch)
      if (stored !== undefined && stored < floor) await this.#parts.lost(epoch, stored)
    }
  }

  #done(): void {
    this.#dueAtMs = this.#parts.monotonicMs() + everyMs
    this.#noted = null
  }
}
