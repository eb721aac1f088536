/**
 * A file found damaged while the buffer runs: what is whole of it goes into a fresh file, the rest into the ledger.
 *
 * Readings that were sealed before the damage are no loss (their batches hold them); a batch that was acknowledged is no loss either,
 * only a copy less.
 */
import { statSync } from 'node:fs'
import { messageOf } from '@tributary/shared/errors'
import { type ClassCounts, least, minus, noReadings, plus, sumOf, unsentOf } from './counters.ts'
import { indicesIn, type UnsealedRange } from './ranges.ts'
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
import { classesOfRow, type StoredRow } from './stored-records.ts'
import { classesOfPart, unsealedIn } from './unsealed.ts'

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
  const kept = rows.reduce((sum, row) => plus(sum, classesOfRow(row)), noReadings)
  const lost = loseFromRanges(state, closed, rows, minus(closed.classes, kept))
  replaceFile(path, { ...saved, rows, letters: [], states: new Map() }, state.folder)
  const repaired: ClosedFile = {
    ...closed,
    classes: kept,
    bytes: statSync(path).size,
    batches: batchRanges(saved.batches),
    holes: true,
  }
  state.closed = state.closed.map(file => (file === closed ? repaired : file))
  state.catalogueDirty = true
  loseBatches(state, closed, new Set(saved.batches.map(({ epoch, seq }) => `${epoch}/${seq}`)))
  if (sumOf(lost) > 0) loseUnsealed(state, lost, true, 'corrupt')
  flushState(state)
  state.notices.push(
    `file ${closed.no} was rebuilt: ${sumOf(kept)} of ${sumOf(closed.classes)} readings saved, ${sumOf(lost)} unsent ones lost`,
  )
}

/** Of the `missing` readings of a file, those that were unsealed; they are taken off their ranges. */
function loseFromRanges(
  state: StoreState,
  file: ClosedFile,
  kept: readonly StoredRow[],
  missing: ClassCounts,
): ClassCounts {
  let lost = noReadings
  for (const range of state.unsealed.all) {
    const keptOfRange = kept.reduce((sum, row) => plus(sum, unsentOf(classesInRange(row, range))), noReadings)
    const gone = least(minus(missing, lost), minus(unsealedIn(state, file, range), keptOfRange))
    range.readings -= sumOf(gone)
    lost = plus(lost, gone)
  }
  return lost
}

function classesInRange(row: StoredRow, range: UnsealedRange): ClassCounts {
  const { first, behind } = indicesIn(range, row.n, row.readings)
  return classesOfPart(row, first, behind)
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
