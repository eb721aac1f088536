/**
 * Parts of windows in a file that is to be given up, and not sealed yet: they stand for far more than they weigh, so they move to the
 * tail, and the readings beside them go alone. Out of a file that consists of them for the most part they go too.
 */
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { decodeAggregateRow, intoRows } from './aggregate-row.ts'
import type { UnsealedRange } from './ranges.ts'
import { decodeRow } from './row-codec.ts'
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
