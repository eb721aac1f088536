/**
 * How many readings of the unsealed ranges stand in which file, by class: counted where the rows can be read, worked out where they cannot.
 */
import type { BufferFile } from './buffer-file.ts'
import { type ClassCounts, noReadings, plus, unsentOf, unsentReadings } from './counters.ts'
import { type Cursor, holds, touches, type UnsealedRange } from './ranges.ts'
import { classesIn, decodeRow } from './row-codec.ts'
import { type ClosedFile, fileToRead, type StoreState } from './state.ts'
import { isDamage } from './storage-error.ts'
import type { StoredRow } from './stored-records.ts'

type Span = Pick<UnsealedRange, 'from' | 'to'>

/** Readings of a range in the rows of a file. */
export function countIn(file: BufferFile, { from, to }: Span): ClassCounts {
  const end: Cursor = to ?? { row: Number.MAX_SAFE_INTEGER, offset: 0 }
  const firstWhole = from.offset > 0 ? from.row + 1 : from.row
  let counts = file.classesOfRows(firstWhole, end.row - 1)
  if (from.offset > 0) {
    counts = plus(counts, countInRow(file, from.row, from.offset, end.row === from.row ? end.offset : Infinity))
  }
  if (end.offset > 0 && end.row >= firstWhole) counts = plus(counts, countInRow(file, end.row, 0, end.offset))
  return counts
}

/** Readings of one row from one index to another. */
function countInRow(file: BufferFile, n: number, from: number, to: number): ClassCounts {
  const row = file.rowFrom(n)
  return row?.n === n ? classesOfPart(row, from, to) : noReadings
}

/** Readings of a row from one index to another; it is decoded only when they are not all of one class. */
export function classesOfPart({ readings, held, alarms, data }: StoredRow, from: number, to: number): ClassCounts {
  const first = Math.min(from, readings)
  const last = Math.max(first, Math.min(to, readings))
  if (held + alarms === 0) return { ...noReadings, raw: last - first }
  return classesIn(decodeRow(data).columns, first, last)
}

/** Readings of a range in a closed file; from the catalogue when it holds the file whole. */
export function countInClosed(state: StoreState, file: ClosedFile, range: UnsealedRange): ClassCounts {
  if (!touches(range, file.firstRow, file.lastRow)) return noReadings
  if (holds(range, file.firstRow, file.lastRow)) return file.classes
  return countIn(fileToRead(state, file.no), range)
}

/** Unsent readings of a range in all files, as far as they can be read. */
export function countReadable(state: StoreState, range: UnsealedRange): number {
  return state.closed.reduce(
    (sum, file) => sum + readable(state, file, range),
    unsentReadings(countIn(state.tail, range)),
  )
}

/**
 * Unsent readings of a range that a file which cannot be read must have held: what the range has but for the other files. Of which
 * class they were is known when the range holds the file whole; else they count as raw as far as the file had so many.
 */
export function unsealedIn(state: StoreState, file: ClosedFile, range: UnsealedRange): ClassCounts {
  if (!touches(range, file.firstRow, file.lastRow)) return noReadings
  const { raw, alarm } = file.classes
  if (holds(range, file.firstRow, file.lastRow)) return unsentOf(file.classes)
  const others = state.closed.filter(other => other.no !== file.no)
  const elsewhere = others.reduce(
    (sum, other) => sum + readable(state, other, range),
    unsentReadings(countIn(state.tail, range)),
  )
  const readings = Math.min(raw + alarm, Math.max(0, range.readings - elsewhere))
  return { raw: Math.min(raw, readings), aggregate: 0, alarm: Math.max(0, readings - raw) }
}

/** Of a file that is damaged or gone nothing is counted here: whoever comes upon it takes it off then. */
function readable(state: StoreState, file: ClosedFile, range: UnsealedRange): number {
  try {
    return unsentReadings(countInClosed(state, file, range))
  } catch (error) {
    if (isDamage(error) || isMissing(error)) return 0
    throw error
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SQLITE_CANTOPEN'
}
