/**
 * Which batches of which epoch were sealed, and which of them the hub has not acknowledged.
 *
 * Seqs are dense from 1 within an epoch. A seq below `nextSeq` is pending, acknowledged, or in the ledger. The floor of an epoch is
 * its smallest pending seq, or `nextSeq` when nothing is pending. Epochs without a pending batch are remembered, the last 64 of
 * them, so that a falling `settled` of the hub is noticed.
 */
import type { ClassCounts } from './counters.ts'
import type { BatchEntry } from './stored-records.ts'

/** What a batch, or a run of them, holds; a build that knew no classes tells of readings only. */
export interface BatchReadings {
  readonly readings: number
  /** Of the readings, those of class alarm; absent for none. */
  readonly alarms?: number
  /** Readings that its aggregates stand for; absent for none. */
  readonly aggregated?: number
  /** Of those, the ones of class raw (thin.ts); absent for none. */
  readonly thinned?: number
}

export interface PendingBatch extends BatchReadings {
  readonly seq: number
  /** Number of the file that holds its body. */
  readonly file: number
  readonly newestUs: number
}

export interface EpochState {
  readonly epoch: number
  nextSeq: number
  /** The hub's stored floor as last answered. */
  settled: number
  /** By seq, ascending. */
  pending: PendingBatch[]
  /** Seqs whose readings went out under another epoch; absent for none. Whatever the hub forgets, they are not sent again. */
  resealed?: number[]
}

export interface BatchId {
  readonly epoch: number
  readonly seq: number
}

export function pendingOf(batch: BatchEntry, file: number): PendingBatch {
  return { seq: batch.seq, file, ...batchReadings(classesOfBatch(batch)), newestUs: batch.newestUs }
}

export function classesOfBatch({ readings, alarms = 0, aggregated = 0, thinned = 0 }: BatchReadings): ClassCounts {
  const classes = { raw: readings - alarms, aggregate: aggregated - thinned, alarm: alarms }
  return thinned > 0 ? { ...classes, thinned } : classes
}

export function batchReadings({ raw, aggregate, alarm, thinned = 0 }: ClassCounts): BatchReadings {
  const readings = raw + alarm
  const aggregated = aggregate + thinned
  return {
    readings,
    ...(alarm > 0 && { alarms: alarm }),
    ...(aggregated > 0 && { aggregated }),
    ...(thinned > 0 && { thinned }),
  }
}

/** Exclusive; epochs are drawn from 1 on. */
export const maxEpoch = 2 ** 48 - 1

const maxIdleEpochs = 64

export class Epochs {
  states: EpochState[]

  constructor(states: EpochState[]) {
    this.states = states
  }

  find(epoch: number): EpochState | undefined {
    return this.states.find(state => state.epoch === epoch)
  }

  /** The state of `epoch`, made when it is new; forgets the oldest idle epochs above the bound. */
  get(epoch: number): EpochState {
    const known = this.find(epoch)
    if (known) return known
    const state = { epoch, nextSeq: 1, settled: 0, pending: [] }
    this.states.push(state)
    const idle = this.states.filter(other => other.pending.length === 0 && other !== state)
    for (const old of idle.slice(0, Math.max(0, idle.length - maxIdleEpochs))) {
      this.states.splice(this.states.indexOf(old), 1)
    }
    return state
  }

  sealed(batch: BatchEntry, file: number): void {
    const state = this.get(batch.epoch)
    state.nextSeq = Math.max(state.nextSeq, batch.seq + 1)
    this.pend(state, pendingOf(batch, file))
  }

  /** Make a batch pending (again). */
  pend({ pending }: EpochState, batch: PendingBatch): void {
    const at = placeOf(pending, batch.seq)
    if (pending[at]?.seq !== batch.seq) pending.splice(at, 0, batch)
  }

  pendingBatch(epoch: number, seq: number): PendingBatch | undefined {
    const pending = this.find(epoch)?.pending ?? []
    const batch = pending[placeOf(pending, seq)]
    return batch?.seq === seq ? batch : undefined
  }

  /** Take a batch out of the pending ones; undefined when it is not pending. */
  remove(epoch: number, seq: number): PendingBatch | undefined {
    const pending = this.find(epoch)?.pending ?? []
    const at = placeOf(pending, seq)
    return pending[at]?.seq === seq ? pending.splice(at, 1)[0] : undefined
  }

  /** A pending batch goes out under another epoch. */
  reseal(epoch: number, seq: number): void {
    this.remove(epoch, seq)
    const state = this.get(epoch)
    state.resealed = [...(state.resealed ?? []), seq]
  }

  /** The pending batches after one, at most `max`, epochs in the order in which they began. Unknown or null: from the first. */
  pendingAfter(after: BatchId | null, max: number): BatchId[] {
    const begin = Math.max(0, after ? this.states.findIndex(({ epoch }) => epoch === after.epoch) : 0)
    const ids: BatchId[] = []
    for (const { epoch, pending } of this.states.slice(begin)) {
      const from = epoch === after?.epoch ? placeOf(pending, after.seq + 1) : 0
      for (const { seq } of pending.slice(from, from + max - ids.length)) ids.push({ epoch, seq })
      if (ids.length >= max) break
    }
    return ids
  }

  floor(epoch: number): number {
    const state = this.find(epoch)
    return state?.pending[0]?.seq ?? state?.nextSeq ?? 1
  }

  get pendingCount(): number {
    return this.states.reduce((count, state) => count + state.pending.length, 0)
  }

  get pendingReadings(): number {
    let readings = 0
    for (const state of this.states) for (const batch of state.pending) readings += batch.readings
    return readings
  }

  /** Does a file hold a batch that is not acknowledged? */
  needsFile(file: number): boolean {
    return this.states.some(state => state.pending.some(batch => batch.file === file))
  }
}

/** Index of the first batch with a seq of at least `seq`. */
function placeOf(pending: readonly PendingBatch[], seq: number): number {
  let low = 0
  let high = pending.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((pending[middle] as PendingBatch).seq < seq) low = middle + 1
    else high = middle
  }
  return low
}
