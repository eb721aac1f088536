/**
 * Finds batches that the hub acknowledged and then lost before they were stored: a log that lost its tail, a database that failed over
 * to a replica behind it. The stored floor never was above them, so that no fall of it tells of them. Pure.
 *
 * The hub stores an agent's batches in the order in which it answered them. So once it has stored a batch that was first sent after
 * another one was acknowledged, that other one is stored too, or lost.
 */
interface Epoch {
  highestSent: number
  /** Acknowledged and not known to be stored, with the highest seq that had been sent then. */
  waiting: { readonly seq: number; readonly sentThen: number }[]
}

/** They are few, as the store is seconds behind; beyond this the oldest are forgotten. */
const maxWaiting = 10_000
/** One runs; others end. Of more than these the oldest are forgotten. */
const maxEpochs = 8

export class AcknowledgedSeqs {
  readonly #epochs = new Map<number, Epoch>()

  /** A try leaves. */
  sent(epoch: number, seq: number): void {
    const known = this.#epochs.get(epoch) ?? { highestSent: 0, waiting: [] }
    if (!this.#epochs.has(epoch) && this.#epochs.size >= maxEpochs)
      this.#epochs.delete(this.#epochs.keys().next().value!)
    known.highestSent = Math.max(known.highestSent, seq)
    this.#epochs.set(epoch, known)
  }

  highestSent(epoch: number): number {
    return this.#epochs.get(epoch)?.highestSent ?? 0
  }

  acknowledged(epoch: number, seq: number): void {
    const known = this.#epochs.get(epoch)
    if (!known) return
    known.waiting.push({ seq, sentThen: known.highestSent })
    if (known.waiting.length > maxWaiting) known.waiting.shift()
  }

  /** What the hub has stored of an epoch. Returns the seq from which on it has lost what it acknowledged, or null. */
  stored(epoch: number, settled: number, reached: number): number | null {
    const known = this.#epochs.get(epoch)
    if (!known) return null
    known.waiting = known.waiting.filter(({ seq }) => seq >= settled)
    // Only the floor is surely not stored; what lies above it is seen when the floor has come to it.
    if (!known.waiting.some(({ seq, sentThen }) => seq === settled && sentThen < reached)) return null
    known.waiting = []
    return settled
  }
}
