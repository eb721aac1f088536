/**
 * Positions in the row of readings: what was sealed up to, and how much stands after it.
 */
import { repairing } from './repair.ts'
import { type Cursor, fileToRead, type StoreState } from './state.ts'

export function isBefore(a: Cursor, b: Cursor): boolean {
  return a.row < b.row || (a.row === b.row && a.offset < b.offset)
}

/** Readings after a position. */
export function unsealedFrom(state: StoreState, cursor: Cursor): number {
  let readings = 0
  for (const file of state.closed.filter(one => one.lastRow >= cursor.row)) {
    if (file.firstRow >= cursor.row) {
      readings += file.readings
      continue
    }
    const found = repairing(state, file.no, () => fileToRead(state, file.no).readingsFrom(cursor.row))
    readings += found === 'repaired' ? fileToRead(state, file.no).readingsFrom(cursor.row) : found
  }
  return readings + state.tail.readingsFrom(cursor.row) - cursor.offset
}
