/**
 * A start takes in the rows and batches of the tail, which are newer than its `progress` where they differ.
 *
 * Rows missing between others are counted exactly, by the cumulative counters on both sides of the hole. For a batch missing between
 * others the number of its readings is bounded by what stands between its neighbours; whether the hub has it nobody knows.
 */
import { existsSync } from 'node:fs'
import { isBefore, unsealedFrom } from './cursor.ts'
import { isKnownHole } from './open-tail.ts'
import { decodeReceipts } from './receipts.ts'
import { decodeRowCounters } from './row-codec.ts'
import { type Cursor, countLost, filePath, fileToRead, loseUnsealed, type StoreState } from './state.ts'
import { isDamage } from './storage-error.ts'
import type { BatchEntry, StoredRow } from './stored-records.ts'

interface Hole {
  readonly from: number
  readonly to: number
  readonly readings: number
}

/** Seqs that a batch of the same epoch shows to be missing before it, and the positions between which they were sealed. */
interface Gap {
  readonly batch: BatchEntry
  readonly fromSeq: number
  readonly after: Cursor
}

/** `progressRow` is the last row that the tail's `progress` knows; `inherited` says that it is that of an earlier file. */
export function replayTail(state: StoreState, progressRow: number, inherited: boolean): void {
  const holes: Hole[] = []
  let n = state.tailFirstRow - 1
  let data: Uint8Array | null = null
  for (const row of state.tail.rows()) {
    if (row.n > n + 1 && !isKnownHole(state.tailHoles, n + 1, row.n - 1)) {
      const before = data ?? lastClosedRow(state)?.data ?? null
      const readings = everStored(row.data) - (before ? everStored(before) : 0) - row.readings
      holes.push({ from: n + 1, to: row.n - 1, readings: Math.max(0, readings) })
    }
    n = row.n
    data = row.data
    state.tailReadings += row.readings
    if (row.n > progressRow) state.unsealed += row.readings
    if (!row.receipts) continue
    const { columns, releases } = decodeReceipts(row.receipts)
    state.receipts.apply(columns, releases)
  }
  if (data && n > progressRow) state.counters = decodeRowCounters(data)
  state.lastRow = Math.max(n, state.tailHoles.at(-1)?.[1] ?? 0)
  const gaps: Gap[] = []
  for (const batch of state.tail.batches()) {
    const gap = replayBatch(state, batch)
    if (gap) gaps.push(gap)
  }
  state.letters.load(state.tail)
  const certain = !inherited && !sealedMore(state)
  for (const hole of holes) loseHole(state, hole, certain)
  for (const gap of gaps) loseGap(state, gap, holes)
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

/** Readings ever stored up to and with a row: losses move between the two counters. */
function everStored(data: Uint8Array): number {
  const { stored, evicted } = decodeRowCounters(data)
  return stored + evicted
}

/** By the high-water mark, batches were sealed that are not here: their readings may have been sent. */
function sealedMore(state: StoreState): boolean {
  const { found } = state.mark
  return found !== null && found.nextSeq > (state.epochs.find(found.epoch)?.nextSeq ?? 1)
}

function loseHole(state: StoreState, { from, to, readings }: Hole, certain: boolean): void {
  state.tailHoles.push([from, to])
  state.dirty = true
  const { row, offset } = state.cursor
  if (to < row) return
  const exact = certain && (from > row || (from === row && offset === 0))
  state.notices.push(
    `rows ${from} to ${to} of the buffer are lost, ${exact ? '' : 'at most '}${readings} unsent readings`,
  )
  if (readings > 0) loseUnsealed(state, readings, exact, 'corrupt')
}

function replayBatch(state: StoreState, batch: BatchEntry): Gap | null {
  const { nextSeq } = state.epochs.get(batch.epoch)
  const after = state.cursor
  if (batch.seq < nextSeq) return null
  state.epochs.sealed(batch, state.tailNo)
  const { nextRow: row, nextOffset: offset } = batch
  if (isBefore(after, { row, offset })) {
    state.cursor = { row, offset }
    state.unsealed -= batch.readings
  }
  return batch.seq > nextSeq ? { batch, fromSeq: nextSeq, after } : null
}

/** What the missing batches held at most: everything between their neighbours, in rows still here or in holes. */
function loseGap(state: StoreState, { batch, fromSeq, after }: Gap, holes: readonly Hole[]): void {
  const { epoch, seq, nextRow: row, nextOffset: offset } = batch
  const between = unsealedFrom(state, after) - unsealedFrom(state, { row, offset }) - batch.readings
  const inHoles = holes.filter(hole => hole.from >= after.row && hole.to < row)
  loseSeqs(
    state,
    epoch,
    fromSeq,
    seq - 1,
    inHoles.reduce((sum, hole) => sum + hole.readings, Math.max(0, between)),
  )
}

/** Sealed batches that are missing: whether the hub has them nobody knows. `readings` is what they held at most. */
export function loseSeqs(state: StoreState, epoch: number, fromSeq: number, toSeq: number, readings: number): void {
  if (state.ledger.covers(epoch, fromSeq, toSeq)) return
  state.ledger.add({ epoch, fromSeq, toSeq, readings, exact: false, reason: 'missing' })
  countLost(state, readings)
  state.notices.push(`batches ${epoch}/${fromSeq} to ${toSeq} of the buffer are missing, at most ${readings} readings`)
}
