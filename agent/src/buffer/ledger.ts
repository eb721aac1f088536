/**
 * The loss ledger: what the buffer had promised and no longer has.
 *
 * A sealed batch that is lost stands there under its own seq. Readings lost before they were sealed take the next seq of the running
 * epoch, so that the hub sees a numbered hole and may record it once. An entry goes out in the header of every batch sealed until a
 * batch that carried it is acknowledged; it stays listed for `stats`. Bounds: neighbours of equal kind are merged while nobody has
 * been told of them; above 1,000 entries the oldest are forgotten, those told first.
 * `gone` are acknowledged batches whose copies were given up: a loss only if the hub's stored floor falls below them.
 */
import type { LossRange } from '@tributary/shared/batch/batch'
import { plus } from './counters.ts'
import { type BatchReadings, batchReadings, classesOfBatch } from './epochs.ts'

export interface LedgerEntry extends LossRange {
  /** The first batch of the running epoch that tells the hub; null while none did. */
  readonly carriedBy: { readonly epoch: number; readonly seq: number } | null
  /** A batch that carried it was acknowledged. */
  readonly told: boolean
}

export interface GoneRange extends BatchReadings {
  readonly epoch: number
  readonly fromSeq: number
  readonly toSeq: number
}

const maxEntries = 1000
/** Entries in the header of one batch. */
const maxCarried = 500
const maxGone = 1000

export class Ledger {
  entries: LedgerEntry[]
  gone: GoneRange[]
  dirty = false

  constructor(entries: LedgerEntry[], gone: GoneRange[]) {
    this.entries = entries
    this.gone = gone
  }

  add(loss: LossRange): void {
    this.dirty = true
    const last = this.entries.at(-1)
    if (last && last.carriedBy === null && follows(last, loss) && last.reason === loss.reason) {
      const exact = last.exact && loss.exact
      this.entries[this.entries.length - 1] = {
        ...last,
        toSeq: loss.toSeq,
        readings: last.readings + loss.readings,
        exact,
      }
      return
    }
    this.entries.push({ ...loss, carriedBy: null, told: false })
    if (this.entries.length > maxEntries) {
      const told = this.entries.findIndex(entry => entry.told)
      this.entries.splice(Math.max(0, told), 1)
    }
  }

  /** Is every seq of the range in the ledger already? */
  covers(epoch: number, fromSeq: number, toSeq: number): boolean {
    return this.entries.some(entry => entry.epoch === epoch && entry.fromSeq <= fromSeq && entry.toSeq >= toSeq)
  }

  /** The lowest seq of the epoch whose loss no batch tells of yet; infinite when there is none. */
  firstUntold(epoch: number): number {
    const untold = this.entries.filter(entry => entry.epoch === epoch && entry.carriedBy === null && !entry.told)
    return untold.reduce((lowest, { fromSeq }) => Math.min(lowest, fromSeq), Infinity)
  }

  /** What the next batch tells the hub, as (epoch, seq). */
  carry(epoch: number, seq: number): LossRange[] {
    const carried: LossRange[] = []
    for (const [index, entry] of this.entries.entries()) {
      if (entry.told || carried.length === maxCarried) continue
      carried.push(lossOf(entry))
      if (entry.carriedBy?.epoch === epoch) continue
      this.entries[index] = { ...entry, carriedBy: { epoch, seq } }
      this.dirty = true
    }
    return carried
  }

  acknowledged(epoch: number, seq: number): void {
    for (const [index, entry] of this.entries.entries()) {
      const by = entry.carriedBy
      if (entry.told || !by || by.epoch !== epoch || by.seq > seq) continue
      this.entries[index] = { ...entry, told: true }
      this.dirty = true
    }
  }

  /** The batch that told of these did not reach the hub's books: they are told again. */
  untell(losses: readonly LossRange[]): void {
    for (const [index, entry] of this.entries.entries()) {
      const { epoch, fromSeq, toSeq, reason, told } = entry
      const same = (loss: LossRange) =>
        loss.epoch === epoch && loss.fromSeq === fromSeq && loss.toSeq === toSeq && loss.reason === reason
      if (!told || !losses.some(same)) continue
      this.entries[index] = { ...entry, carriedBy: null, told: false }
      this.dirty = true
    }
  }

  /** Copies of acknowledged batches are given up. */
  giveUp(range: GoneRange): void {
    this.dirty = true
    const last = this.gone.at(-1)
    if (last && last.epoch === range.epoch && last.toSeq + 1 === range.fromSeq) {
      const both = batchReadings(plus(classesOfBatch(last), classesOfBatch(range)))
      this.gone[this.gone.length - 1] = { ...last, toSeq: range.toSeq, ...both }
    } else {
      this.gone.push(range)
      if (this.gone.length > maxGone) this.gone.shift()
    }
  }

  /** Take out what was given up of `epoch` from `seq` on, as losses. */
  claimGone(epoch: number, seq: number): (GoneRange & { readonly exact: boolean })[] {
    const losses: (GoneRange & { readonly exact: boolean })[] = []
    const kept: GoneRange[] = []
    for (const range of this.gone) {
      if (range.epoch !== epoch || range.toSeq < seq) {
        kept.push(range)
        continue
      }
      const whole = range.fromSeq >= seq
      const fromSeq = Math.max(range.fromSeq, seq)
      losses.push({ ...range, fromSeq, exact: whole })
      if (!whole) kept.push({ epoch, fromSeq: range.fromSeq, toSeq: seq - 1, readings: 0 })
    }
    if (losses.length > 0) this.dirty = true
    this.gone = kept
    return losses
  }

  list(): LossRange[] {
    return this.entries.map(lossOf)
  }
}

function follows(before: LossRange, after: LossRange): boolean {
  return before.epoch === after.epoch && before.toSeq + 1 === after.fromSeq
}

function lossOf(entry: LedgerEntry): LossRange {
  const { epoch, fromSeq, toSeq, readings, exact, reason } = entry
  return { epoch, fromSeq, toSeq, readings, exact, reason }
}
