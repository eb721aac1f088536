/**
 * A new tail file: made whole (state, dead letters and receipts carried over, fsynced, its name in the directory) before the old one
 * is closed. A crash in between leaves two good files of which the newer counts; a half-made one has no state and is removed at the
 * next start.
 */
import { closeSync, fsyncSync, openSync, rmSync } from 'node:fs'
import { messageOf } from '@tributary/shared/errors'
import { BufferFile } from './buffer-file.ts'
import { noReadings, plus } from './counters.ts'
import { type BatchId, type BatchReadings, batchReadings, classesOfBatch } from './epochs.ts'
import { type WrittenFold, writeFold } from './fold.ts'
import type { GoneRange } from './ledger.ts'
import { encodeReceipts, receiptColumns } from './receipts.ts'
import { emptyRow, encodeRow } from './row-codec.ts'
import { type ClosedFile, filePath, nowMs, type StoreState, stateWritten, writeMark, writeState } from './state.ts'
import { isDamage } from './storage-error.ts'

export function rotateWhenFull(state: StoreState): boolean {
  if (state.tail.bytes < state.config.fileBytes || state.lastRow === state.tailFirstRow) return false
  rotate(state)
  return true
}

export function rotate(state: StoreState): void {
  const no = state.tailNo + 1
  const path = filePath(state.folder, no)
  const closing = describe(state)
  const row = carriedRow(state)
  const before = { closed: state.closed, tailHoles: state.tailHoles, tailFirstRow: state.tailFirstRow }
  const { foldedTo } = state.fold
  let created: BufferFile | null = null
  let written: WrittenFold
  state.closed = [...state.closed, closing]
  state.tailHoles = []
  state.tailFirstRow = row.n
  state.dirty = true
  state.catalogueDirty = true
  state.ledger.dirty = true
  state.recalls.dirty = true
  state.times.dirty = true
  // The carried row has nothing to fold: what was up to date is so behind it.
  if (foldedTo === state.lastRow) state.fold.foldedTo++
  state.lastRow++
  try {
    const tail = BufferFile.create(path, { fsyncOff: state.sabotage === 'fsync-off' })
    created = tail
    written = tail.transaction(() => {
      tail.putRow(row)
      state.letters.carry(state.tail, tail)
      writeState(state, tail)
      return writeFold(state, tail, true)
    })
    syncFolder(state.folder)
  } catch (error) {
    state.lastRow--
    state.fold.foldedTo = foldedTo
    Object.assign(state, before)
    created?.close()
    removeDatabase(path)
    throw error
  }
  stateWritten(state)
  const old = state.tail
  state.tail = created
  state.tailNo = no
  state.tailReadings = noReadings
  written.follow()
  writeMark(state)
  retire(state, old)
}

/** What a damaged file cannot do any more does not stop the new one. */
function retire(state: StoreState, old: BufferFile): void {
  try {
    old.retire()
  } catch (error) {
    state.notices.push(`${old.path} could not be closed well: ${messageOf(error)}`)
  }
}

/** The first row of a file: no readings, the receipts that hold. */
function carriedRow(state: StoreState) {
  const receipts = encodeReceipts(receiptColumns(state.receipts.list()), [])
  const data = encodeRow(emptyRow, state.counters)
  return { n: state.lastRow + 1, readings: 0, held: 0, alarms: 0, receipts, data }
}

function describe(state: StoreState): ClosedFile {
  return {
    no: state.tailNo,
    firstRow: state.tailFirstRow,
    lastRow: state.lastRow,
    classes: state.tailReadings,
    bytes: state.tail.bytes,
    ...closedNow(state),
    batches: batchesOfTail(state),
    holes: state.tailHoles.length > 0,
  }
}

function closedNow(state: StoreState): Pick<ClosedFile, 'closedAtMs' | 'closedIn'> {
  const closedAtMs = nowMs(state)
  if (closedAtMs !== null) return { closedAtMs }
  return { closedAtMs: Math.floor(state.bootClock.nowUs() / 1000), closedIn: state.times.current }
}

function batchesOfTail(state: StoreState): GoneRange[] {
  try {
    return batchRanges(state.epochs.states.flatMap(({ epoch }) => state.tail.batchesFrom(epoch, 0)))
  } catch (error) {
    if (!isDamage(error)) throw error
    return batchRanges(pendingOfTail(state))
  }
}

/** As far as it is known without reading: the batches of the tail that are pending. */
function pendingOfTail(state: StoreState): CountedBatch[] {
  return state.epochs.states.flatMap(({ epoch, pending }) =>
    pending.filter(batch => batch.file === state.tailNo).map(batch => ({ ...batch, epoch })),
  )
}

type CountedBatch = BatchId & BatchReadings

/** Runs of neighbouring seqs with their readings. */
export function batchRanges(batches: readonly CountedBatch[]): GoneRange[] {
  const ranges: GoneRange[] = []
  for (const batch of batches) {
    const { epoch, seq } = batch
    const last = ranges.at(-1)
    if (last && last.epoch === epoch && last.toSeq + 1 === seq) {
      const both = batchReadings(plus(classesOfBatch(last), classesOfBatch(batch)))
      ranges[ranges.length - 1] = { ...last, toSeq: seq, ...both }
    } else {
      ranges.push({ epoch, fromSeq: seq, toSeq: seq, ...batchReadings(classesOfBatch(batch)) })
    }
  }
  return ranges
}

/** Make the names in a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

export function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
}
