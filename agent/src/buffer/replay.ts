/**
 * A start takes in the rows and batches of the tail, which are newer than its `progress` where they differ.
 *
 * Rows missing between others are counted exactly, by the cumulative counters on both sides of the hole. Whether the hub has a batch
 * that is missing between others nobody knows: its readings are sealed again where their rows are still here, as `maybeDuplicate`.
 */
import { existsSync } from 'node:fs'
import { type ClassCounts, everKept, minus, noReadings, plus, unsentOf, unsentReadings } from './counters.ts'
import { type Inherited, isKnownHole } from './open-tail.ts'
import { noteUnplaced } from './place.ts'
import { holds, touches } from './ranges.ts'
import { decodeReceipts } from './receipts.ts'
import { decodeRow, decodeRowCounters, Mark } from './row-codec.ts'
import { filePath, fileToRead, loseUnsealed, type StoreState } from './state.ts'
import { isDamage } from './storage-error.ts'
import { type BatchEntry, classesOfRow, type StoredRow } from './stored-records.ts'
import { countReadable } from './unsealed.ts'

interface Hole {
  readonly from: number
  readonly to: number
  readonly classes: ClassCounts
}

/** Seqs that a later batch of the same epoch shows to be missing. */
interface Gap {
  readonly epoch: number
  readonly fromSeq: number
  readonly toSeq: number
}

/** `progressRow` is the last row that `progress` knows; `inherited`, when that is the progress of an earlier file. */
export function replayTail(state: StoreState, progressRow: number, inherited: Inherited | null): void {
  const holes: Hole[] = []
  let n = state.tailFirstRow - 1
  let data: Uint8Array | null = null
  const timesRow = state.times.row
  for (const row of state.tail.rows()) {
    if (row.n > n + 1 && !isKnownHole(state.tailHoles, n + 1, row.n - 1)) {
      const before = data ?? lastClosedRow(state)?.data ?? null
      const keptBefore = before ? everKept(decodeRowCounters(before)) : noReadings
      const keptBetween = minus(everKept(decodeRowCounters(row.data)), keptBefore)
      holes.push({ from: n + 1, to: row.n - 1, classes: minus(keptBetween, countedWith(row)) })
    }
    n = row.n
    data = row.data
    const classes = classesOfRow(row)
    state.tailReadings = plus(state.tailReadings, classes)
    if (row.n > progressRow) state.unsealed.live.readings += unsentReadings(classes)
    if (state.times.mayHaveMore && row.n > timesRow) noteUnplaced(state.times, row.n, decodeRow(row.data).columns)
    if (!row.receipts) continue
    const { columns, releases } = decodeReceipts(row.receipts)
    state.receipts.apply(columns, releases)
  }
  if (data && n > progressRow) state.counters = decodeRowCounters(data)
  state.lastRow = Math.max(n, state.tailHoles.at(-1)?.[1] ?? 0)
  const gaps: Gap[] = []
  for (const { batch, file } of inherited?.batches ?? []) replayBatch(state, batch, file, gaps)
  for (const batch of state.tail.batches()) replayBatch(state, batch, state.tailNo, gaps)
  state.letters.load(state.tail)
  const certain = inherited === null && gaps.length === 0 && !sealedMore(state)
  for (const hole of holes) loseHole(state, hole, certain)
  for (const { epoch, fromSeq, toSeq } of gaps) loseSeqs(state, epoch, fromSeq, toSeq)
}

/** What a row added to the counters: nothing when it holds aggregates, or readings that were counted with an earlier row. */
function countedWith(row: StoredRow): ClassCounts {
  const { columns, rest } = decodeRow(row.data)
  const isCopy = columns.marks.some(mark => (mark & (Mark.recalled | Mark.moved)) !== 0)
  return rest || isCopy ? noReadings : classesOfRow(row)
}

/** The row before the tail's first; null when there is none, or it cannot be read. */
function lastClosedRow(state: StoreState): StoredRow | null {
  const last = state.closed.at(-1)
  if (!last) return null
  try {
    return fileToRead(state, last.no).rowFrom(last.lastRow)
  } catch (error) {
    if (isDamage(error) || !existsSync(filePath(state.folder, last.no))) return null
    throw error
  }
}

/** By the high-water mark, batches were sealed that are not here: their readings may have been sent. */
function sealedMore(state: StoreState): boolean {
  const { found } = state.mark
  return found !== null && found.nextSeq > (state.epochs.find(found.epoch)?.nextSeq ?? 1)
}

function loseHole(state: StoreState, { from, to, classes }: Hole, certain: boolean): void {
  state.tailHoles.push([from, to])
  state.dirty = true
  const ranges = state.unsealed.all.filter(range => touches(range, from, to))
  if (ranges.length === 0) return
  const exact = certain && ranges.some(range => holds(range, from, to))
  state.notices.push(
    `rows ${from} to ${to} of the buffer are lost, ${exact ? '' : 'at most '}${unsentReadings(classes)} unsent readings`,
  )
  if (unsentReadings(classes) > 0) loseUnsealed(state, unsentOf(classes), exact, 'corrupt')
}

function replayBatch(state: StoreState, batch: BatchEntry, file: number, gaps: Gap[]): void {
  const { epoch, seq, firstRow, firstOffset, readings } = batch
  const { nextSeq } = state.epochs.get(epoch)
  if (seq < nextSeq) return
  state.epochs.sealed(batch, file)
  if (seq > nextSeq) gaps.push({ epoch, fromSeq: nextSeq, toSeq: seq - 1 })
  const first = firstRow === null ? null : { row: firstRow, offset: firstOffset ?? 0 }
  const next = { row: batch.nextRow, offset: batch.nextOffset }
  const left = state.unsealed.subtract(first, next, readings, rest => countReadable(state, rest))
  if (left === 0 || gaps.length === 0) return
  const { counters } = state
  state.counters = { ...counters, maybeDuplicate: counters.maybeDuplicate + left }
  state.dirty = true
}

/** Sealed batches that are missing: whether the hub has them nobody knows. Their readings are sealed again, or lost with their rows. */
export function loseSeqs(state: StoreState, epoch: number, fromSeq: number, toSeq: number): void {
  if (state.ledger.covers(epoch, fromSeq, toSeq)) return
  state.ledger.add({ epoch, fromSeq, toSeq, readings: 0, exact: false, reason: 'missing' })
  state.notices.push(
    `batches ${epoch}/${fromSeq} to ${toSeq} of the buffer are missing; what is here of them is sealed again`,
  )
}
