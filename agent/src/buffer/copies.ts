/**
 * What happens to a sealed batch afterwards: listed again after a restart, acknowledged, and, when the hub has forgotten it, pending
 * once more. An acknowledgement need not be durable at once: losing it means sending identical bytes again.
 */
import { peekBatch } from '@tributary/shared/batch/codec'
import { TributaryError } from '@tributary/shared/errors'
import type { SealedBatch } from './buffer.ts'
import { type BatchId, classesOfBatch, pendingOf } from './epochs.ts'
import { repairing } from './repair.ts'
import { fileToRead, floorOf, flushState, lose, loseBatch, type StoreState } from './state.ts'
import type { StoredBatch } from './stored-records.ts'

/** The sealed batches after one that are not acknowledged, at most `max`, oldest first; `after` null for the first ones. */
export function pendingBatches(state: StoreState, max: number, after: BatchId | null): SealedBatch[] {
  const batches: SealedBatch[] = []
  let last = after
  for (;;) {
    const ids = state.epochs.pendingAfter(last, max - batches.length)
    for (const { epoch, seq } of ids) {
      const stored = storedPending(state, epoch, seq)
      if (!stored) continue
      const { body, readings, newestUs } = stored
      const { aggregates } = peekBatch(body)
      batches.push({ epoch, seq, body, readings, aggregates, newestUs, floor: floorOf(state, epoch) })
    }
    last = ids.at(-1) ?? null
    if (last === null || batches.length === max) return batches
  }
}

/** A pending batch as it was sealed; null when it is lost, which then stands in the ledger. */
export function storedPending(state: StoreState, epoch: number, seq: number): StoredBatch | null {
  for (;;) {
    const batch = state.epochs.pendingBatch(epoch, seq)
    if (!batch) return null
    const found = repairing(state, batch.file, () => fileToRead(state, batch.file).batch(epoch, seq))
    if (found === 'repaired') continue
    if (found) return found
    state.notices.push(`batch ${epoch}/${seq} is missing in file ${batch.file}`)
    loseBatch(state, epoch, seq, 'missing')
    flushState(state)
    return null
  }
}

/** A sealed batch that is not pending, as long as its copy is kept. */
export function storedCopy(state: StoreState, epoch: number, seq: number): StoredBatch | null {
  const held = state.closed.filter(({ batches }) =>
    batches.some(run => run.epoch === epoch && run.fromSeq <= seq && run.toSeq >= seq),
  )
  for (const no of [...held.map(file => file.no), state.tailNo]) {
    const found = repairing(state, no, () => fileToRead(state, no).batch(epoch, seq))
    if (found !== null && found !== 'repaired') return found
  }
  return null
}

export function acknowledge(state: StoreState, epoch: number, seq: number): void {
  const known = state.epochs.find(epoch)
  if (!known || seq >= known.nextSeq) {
    throw new TributaryError('not-found', `batch ${epoch}/${seq} was acknowledged but never sealed here`)
  }
  if (state.epochs.remove(epoch, seq)) state.dirty = true
  state.ledger.acknowledged(epoch, seq)
  state.recalls.acknowledged(epoch, seq)
}

/** Returns how many batches became pending again. */
export function settle(state: StoreState, epoch: number, settled: number): number {
  const known = state.epochs.find(epoch)
  if (!known) return 0
  if (settled < known.settled) return bringBack(state, epoch, settled)
  if (settled > known.settled) state.dirty = true
  known.settled = settled
  return 0
}

/** The hub has lost what it had acknowledged of an epoch from a seq on. Returns how many batches became pending again. */
export function bringBack(state: StoreState, epoch: number, fromSeq: number): number {
  const known = state.epochs.find(epoch)
  if (!known) return 0
  known.settled = fromSeq
  state.dirty = true
  let again = 0
  const closed = state.closed.filter(file => file.batches.some(run => run.epoch === epoch && run.toSeq >= fromSeq))
  for (const no of [...closed.map(file => file.no), state.tailNo]) {
    const found = repairing(state, no, () => fileToRead(state, no).batchesFrom(epoch, fromSeq))
    for (const batch of found === 'repaired' ? fileToRead(state, no).batchesFrom(epoch, fromSeq) : found) {
      if (state.epochs.pendingBatch(epoch, batch.seq) || known.resealed?.includes(batch.seq)) continue
      state.epochs.pend(known, pendingOf(batch, no))
      again++
    }
  }
  for (const gone of state.ledger.claimGone(epoch, fromSeq)) {
    const { toSeq, exact } = gone
    lose(state, { epoch, fromSeq: gone.fromSeq, toSeq, classes: classesOfBatch(gone), exact, reason: 'hub-lost' })
  }
  flushState(state)
  return again
}

/** Of the epochs before the running one what the hub may take as settled. The newest ones, at most `max`. */
export function earlierFloors(state: StoreState, max: number): { epoch: number; floor: number }[] {
  const earlier = state.epochs.states.filter(({ epoch, nextSeq }) => epoch !== state.epoch && nextSeq > 1)
  return earlier.slice(Math.max(0, earlier.length - max)).map(({ epoch }) => ({ epoch, floor: floorOf(state, epoch) }))
}
