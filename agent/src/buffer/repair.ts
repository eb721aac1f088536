/**
 * A file found damaged while the buffer runs: what is whole of it goes into a fresh file, the rest into the ledger.
 *
 * Readings that were sealed before the damage are no loss (their batches hold them); a batch that was acknowledged is no loss either,
 * only a copy less.
 */
import { statSync } from 'node:fs'
import { messageOf } from '@tributary/shared/errors'
import type { UnsealedRange } from './ranges.ts'
import { batchRanges, rotate } from './rotate.ts'
import { replaceFile, salvage } from './salvage.ts'
import {
  type ClosedFile,
  closeReader,
  filePath,
  flushState,
  loseBatch,
  loseUnsealed,
  type StoreState,
} from './state.ts'
import { isDamage } from './storage-error.ts'
import type { StoredRow } from './stored-records.ts'
import { unsealedIn } from './unsealed.ts'

/** The result of `read` on file `no`; when the file proves damaged it is repaired, and the caller reads again. */
export function repairing<T>(state: StoreState, no: number, read: () => T): T | 'repaired' {
  try {
    return read()
  } catch (error) {
    if (!isDamage(error)) throw error
    state.notices.push(`file ${no} of the buffer is damaged: ${messageOf(error)}`)
    if (no === state.tailNo) rotate(state)
    const closed = state.closed.find(file => file.no === no)
    if (!closed) throw error
    repairFile(state, closed)
    return 'repaired'
  }
}

/** The file being written is damaged: go on in a new one, and save what is whole of the old. */
export function setTailAside(state: StoreState): void {
  const { tailNo: no } = state
  state.notices.push(`file ${no} of the buffer is damaged while it is written; a new one begins`)
  rotate(state)
  const closed = state.closed.find(file => file.no === no)
  if (closed) repairFile(state, closed)
}

/** Replace a closed file by what can be saved of it. */
export function repairFile(state: StoreState, closed: ClosedFile): void {
  const path = filePath(state.folder, closed.no)
  closeReader(state)
  state.decoded = []
  const saved = salvage(path)
  const rows = saved.rows.filter(row => row.n >= closed.firstRow && row.n <= closed.lastRow)
  const kept = rows.reduce((sum, row) => sum + row.readings, 0)
  const lost = loseFromRanges(state, closed, rows, closed.readings - kept)
  replaceFile(path, { ...saved, rows, letters: [], states: new Map() }, state.folder)
  const repaired: ClosedFile = {
    ...closed,
    readings: kept,
    bytes: statSync(path).size,
    batches: batchRanges(saved.batches),
    holes: true,
  }
  state.closed = state.closed.map(file => (file === closed ? repaired : file))
  state.catalogueDirty = true
  loseBatches(state, closed, new Set(saved.batches.map(({ epoch, seq }) => `${epoch}/${seq}`)))
  if (lost > 0) loseUnsealed(state, lost, true, 'corrupt')
  flushState(state)
  state.notices.push(
    `file ${closed.no} was rebuilt: ${kept} of ${closed.readings} readings saved, ${lost} unsent ones lost`,
  )
}

/** Of the `missing` readings of a file, those that were unsealed; they are taken off their ranges. */
function loseFromRanges(state: StoreState, file: ClosedFile, kept: readonly StoredRow[], missing: number): number {
  let lost = 0
  for (const range of state.unsealed.all) {
    const keptOfRange = kept.reduce((sum, row) => sum + readingsIn(row, range), 0)
    const gone = Math.min(missing - lost, Math.max(0, unsealedIn(state, file, range) - keptOfRange))
    range.readings -= gone
    lost += gone
  }
  return lost
}

function readingsIn({ n, readings }: StoredRow, { from, to }: UnsealedRange): number {
  const first = n < from.row ? readings : n === from.row ? from.offset : 0
  const last = to === null || n < to.row ? readings : n === to.row ? to.offset : 0
  return Math.max(0, Math.min(last, readings) - first)
}

/** The batches that could not be saved: lost when pending, else a copy less. */
function loseBatches(state: StoreState, closed: ClosedFile, saved: ReadonlySet<string>): void {
  for (const { epoch, fromSeq, toSeq } of closed.batches) {
    for (let seq = fromSeq; seq <= toSeq; seq++) {
      if (saved.has(`${epoch}/${seq}`)) continue
      const pending = state.epochs.find(epoch)?.pending.some(batch => batch.seq === seq && batch.file === closed.no)
      if (pending) loseBatch(state, epoch, seq, 'corrupt')
      else state.ledger.giveUp({ epoch, fromSeq: seq, toSeq: seq, readings: 0 })
    }
  }
}
