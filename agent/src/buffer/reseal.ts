/**
 * A batch whose identity the hub knows with other contents is sealed again under another epoch.
 *
 * That happens when an image of a running gateway is cloned or restored: both go on sealing under one epoch. Mostly the hub refuses
 * the batch while it is pending; when the hub could not know at once, the batch was acknowledged, and its copy is sealed again once the
 * hub tells, known by its digest as ours and not the other gateway's. The readings and clocks of
 * the batch stay as they were sealed; epoch, seq, counters and the losses it tells of are new, so that within an epoch a later seq
 * never tells of an earlier state. One transaction makes the new
 * batch pending and takes the old one off the books, so that a crash leaves either. The old identity is not missing at the hub, where
 * the other gateway's batch has it; it goes into the ledger with no readings, for people to see. When it was of the running epoch,
 * that epoch is shared with somebody, and a new one runs from then on.
 */
import { hash, randomInt } from 'node:crypto'
import { decodeBatch, encodeBatch, peekBatch } from '@tributary/shared/batch/codec'
import { TributaryError } from '@tributary/shared/errors'
import type { SealedBatch } from './buffer.ts'
import { storedCopy, storedPending } from './copies.ts'
import { maxEpoch } from './epochs.ts'
import { floorOf, type StoreState, stateWritten, writeMark, writeState } from './state.ts'
import type { StoredBatch } from './stored-records.ts'

/** Null when the batch cannot be read any more: its loss is in the ledger. Throws `not-found` when it is not pending. */
export function reseal(state: StoreState, epoch: number, seq: number): SealedBatch | null {
  if (!state.epochs.pendingBatch(epoch, seq)) {
    throw new TributaryError('not-found', `batch ${epoch}/${seq} is not pending here; it cannot be sealed again`)
  }
  const old = storedPending(state, epoch, seq)
  return old && storeAnew(state, old)
}

/**
 * The hub does not have this batch, although it acknowledged it: pending again under another identity. Null when the copy is not kept
 * any more, is another gateway's, or needs nothing: it was sealed again before, or is pending and will be refused itself.
 */
export function resealCopy(state: StoreState, epoch: number, seq: number, digest: string): SealedBatch | null {
  const known = state.epochs.find(epoch)
  if (!known || known.resealed?.includes(seq) || state.epochs.pendingBatch(epoch, seq)) return null
  const copy = storedCopy(state, epoch, seq)
  return copy && hash('sha256', copy.body) === digest ? storeAnew(state, copy) : null
}

function storeAnew(state: StoreState, old: StoredBatch): SealedBatch {
  const undo = remember(state)
  try {
    const batch = moveToOtherEpoch(state, old)
    state.tail.transaction(() => {
      state.tail.putBatch(batch)
      writeState(state)
    })
    stateWritten(state)
    writeMark(state)
    state.notices.push(
      `the hub has another batch ${old.epoch}/${old.seq}: it is sealed again as ${batch.epoch}/${batch.seq}; this gateway may be running twice, or from a restored image`,
    )
    const { epoch, seq, body, readings, newestUs } = batch
    const { aggregates } = peekBatch(body)
    return { epoch, seq, body, readings, aggregates, newestUs, floor: floorOf(state, epoch) }
  } catch (error) {
    undo()
    throw error
  }
}

/** The batch under its new identity; the state in memory follows. */
function moveToOtherEpoch(state: StoreState, old: StoredBatch): StoredBatch {
  const { epoch: oldEpoch, seq: oldSeq } = old
  if (oldEpoch === state.epoch) state.epoch = randomInt(1, maxEpoch)
  const { header, columns, aggregates } = decodeBatch(old.body)
  state.epochs.reseal(oldEpoch, oldSeq)
  state.ledger.untell(header.losses)
  state.ledger.add({ epoch: oldEpoch, fromSeq: oldSeq, toSeq: oldSeq, readings: 0, exact: true, reason: 'resealed' })
  const { epoch, counters } = state
  const { nextSeq: seq } = state.epochs.get(epoch)
  const losses = state.ledger.carry(epoch, seq)
  const body = encodeBatch({ header: { ...header, epoch, seq, counters, losses }, columns, aggregates })
  const batch = { ...old, epoch, seq, body }
  state.epochs.sealed(batch, state.tailNo)
  state.resealed++
  state.dirty = true
  return batch
}

/** How to take back what `moveToOtherEpoch` changes in memory. */
function remember(state: StoreState): () => void {
  const { epoch, resealed } = state
  const epochs = structuredClone(state.epochs.states)
  const entries = [...state.ledger.entries]
  return () => {
    Object.assign(state, { epoch, resealed })
    state.epochs.states = epochs
    state.ledger.entries = entries
  }
}
