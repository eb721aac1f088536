/**
 * What moves to the tail out of a file that is to be given up, as long as it is not sealed: parts of windows, which stand for far more than
 * they weigh, and alarms, which go last. The raw readings beside them go alone. In the transaction that takes the file off the books, so
 * that a crash leaves them in the one place or the other. Out of a file that consists of parts for the most part, these go too; one that
 * consists of alarms is not given up as long as there is another (eviction.ts).
 */
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { decodeAggregateRow, intoRows } from './aggregate-row.ts'
import { isFolding } from './fold.ts'
import { indicesIn, touches, type UnsealedRange } from './ranges.ts'
import { classOf, decodeRow, Mark, type RowColumns } from './row-codec.ts'
import { type ClosedFile, fileToRead, type StoreState } from './state.ts'
import type { StoredRow } from './stored-records.ts'

/** The parts of a range in a file. Throws `corrupt`. */
export function partsIn(state: StoreState, file: ClosedFile, range: UnsealedRange): ClosedPart[] {
  const parts: ClosedPart[] = []
  for (const row of fileToRead(state, file.no).rows()) parts.push(...partsOfRow(row, range))
  return parts
}

function partsOfRow({ n, readings, data }: StoredRow, { from, to }: UnsealedRange): ClosedPart[] {
  const outside = n < from.row || (to !== null && n > to.row)
  const { rest } = outside || readings === 0 ? {} : decodeRow(data)
  if (!rest) return []
  return decodeAggregateRow(rest).parts.slice(n === from.row ? from.offset : 0, n === to?.row ? to.offset : undefined)
}

/** Have the parts written into the tail with what is written next; false when they are too much of the file. */
export function carry({ fold }: StoreState, file: ClosedFile, parts: readonly ClosedPart[]): boolean {
  const bytes = parts.reduce((sum, { data }) => sum + data.length, 0)
  if (bytes > file.bytes / 4) return false
  fold.closed = [...fold.closed, ...intoRows(0, parts)]
  return true
}

/** Readings of class alarm of a range in a file, by row. Throws `corrupt`. */
export function alarmsIn(state: StoreState, file: ClosedFile, range: UnsealedRange): RowColumns[] {
  if (file.classes.alarm === 0) return []
  const found: RowColumns[] = []
  for (const { n, alarms, data } of fileToRead(state, file.no).rows()) {
    if (alarms === 0 || !touches(range, n, n)) continue
    const { columns } = decodeRow(data)
    const { first, behind } = indicesIn(range, n, columns.readings)
    const picked = pickAlarms(columns, first, behind)
    if (picked.readings > 0) found.push(picked)
  }
  return found
}

/** A row of the alarms alone, its series as they were. */
function pickAlarms(columns: RowColumns, from: number, to: number): RowColumns {
  const picked: number[] = []
  for (let index = from; index < to; index++)
    if (classOf(columns.marks[index] as number) === 'alarm') picked.push(index)
  const marks = Uint8Array.from(picked, index => (columns.marks[index] as number) | Mark.moved)
  return {
    ...columns,
    readings: picked.length,
    series: Uint32Array.from(picked, index => columns.series[index] as number),
    tags: Uint8Array.from(picked, index => columns.tags[index] as number),
    tsUs: Float64Array.from(picked, index => columns.tsUs[index] as number),
    values: Float64Array.from(picked, index => columns.values[index] as number),
    marks,
    boot: marks.some(mark => (mark & Mark.unplaced) !== 0) ? columns.boot : '',
  }
}

/** Have the alarms written into the tail with what is written next; false while older rows wait to be folded, which would fold them again. */
export function carryAlarms(state: StoreState, alarms: readonly RowColumns[]): boolean {
  const { fold } = state
  if (isFolding(fold) && fold.foldedTo < state.lastRow) return false
  state.moved = [...state.moved, ...alarms]
  return true
}
