/**
 * How many readings of the unsealed ranges stand in which file: counted where the rows can be read, worked out where they cannot.
 */
import type { BufferFile } from './buffer-file.ts'
import { type Cursor, holds, touches, type UnsealedRange } from './ranges.ts'
import { type ClosedFile, fileToRead, type StoreState } from './state.ts'
import { isDamage } from './storage-error.ts'

const end: Cursor = { row: Number.MAX_SAFE_INTEGER, offset: 0 }

/** Readings of a range in the rows of a file. */
export function countIn(file: BufferFile, { from, to }: Pick<UnsealedRange, 'from' | 'to'>): number {
  return file.readingsBetween(from, to ?? end)
}

/** Readings of a range in a closed file; from the catalogue when it holds the file whole. */
export function countInClosed(state: StoreState, file: ClosedFile, range: UnsealedRange): number {
  if (!touches(range, file.firstRow, file.lastRow)) return 0
  if (holds(range, file.firstRow, file.lastRow)) return file.readings
  return countIn(fileToRead(state, file.no), range)
}

/** Readings of a range in all files, as far as they can be read. */
export function countReadable(state: StoreState, range: UnsealedRange): number {
  return state.closed.reduce((sum, file) => sum + readable(state, file, range), countIn(state.tail, range))
}

/** Readings of a range that a file which cannot be read must have held: what the range has but for the other files. */
export function unsealedIn(state: StoreState, file: ClosedFile, range: UnsealedRange): number {
  if (!touches(range, file.firstRow, file.lastRow)) return 0
  if (holds(range, file.firstRow, file.lastRow)) return file.readings
  const others = state.closed.filter(other => other.no !== file.no)
  const elsewhere = others.reduce((sum, other) => sum + readable(state, other, range), countIn(state.tail, range))
  return Math.min(file.readings, Math.max(0, range.readings - elsewhere))
}

/** Of a file that is damaged or gone nothing is counted here: whoever comes upon it takes it off then. */
function readable(state: StoreState, file: ClosedFile, range: UnsealedRange): number {
  try {
    return countInClosed(state, file, range)
  } catch (error) {
    if (isDamage(error) || isMissing(error)) return 0
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SQLITE_CANTOPEN'
}
