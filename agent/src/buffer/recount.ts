/** A start counts the unsealed readings anew; a file that proves damaged meanwhile is repaired. */
import { type ClassCounts, noReadings, unsentReadings } from './counters.ts'
import { type Cursor, isBefore, type UnsealedRange } from './ranges.ts'
import { repairing } from './repair.ts'
import type { StoreState } from './state.ts'
import { countIn, countInClosed } from './unsealed.ts'

/** Sets the readings of every range. Reads the files in which a range begins or ends, and of the others the catalogue only. */
export function recountUnsealed(state: StoreState): void {
  for (const range of state.unsealed.all) range.readings = countWithin(state, range)
}

/** Unsent readings of a range. */
export function countWithin(state: StoreState, range: UnsealedRange): number {
  let readings = 0
  for (const { no } of state.closed) readings += unsentReadings(countInFile(state, no, range))
  return readings + unsentReadings(countIn(state.tail, range))
}

/** Unsealed readings between two positions. */
export function countUnsealed(state: StoreState, from: Cursor, to: Cursor): number {
  let readings = 0
  for (const range of state.unsealed.all) {
    const first = isBefore(range.from, from) ? from : range.from
    const last = range.to !== null && isBefore(range.to, to) ? range.to : to
    if (isBefore(first, last)) readings += countWithin(state, { from: first, to: last, readings: 0 })
  }
  return readings
}

function countInFile(state: StoreState, no: number, range: UnsealedRange): ClassCounts {
  const counted = repairing(state, no, () => {
    const file = state.closed.find(one => one.no === no)
    return file ? countInClosed(state, file, range) : noReadings
  })
  return counted === 'repaired' ? countInFile(state, no, range) : counted
}
