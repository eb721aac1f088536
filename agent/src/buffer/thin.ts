/**
 * Thinning (`thinToMs`): before a file is given up, its unsent raw readings are reduced to aggregates of tumbling windows, one part for
 * each series and window. The parts go to the tail as rows of their own in the transaction that takes the file off the books, and the
 * file is unlinked after it: a kill leaves either the file with its readings, or the parts and a file that the next start removes. On a
 * disk so full that the file has to go first (eviction.ts), a kill before the parts are written costs its readings, as without thinning.
 *
 * The readings count as folded from then on, of class raw, and as evicted when their part is lost. Into the ledger go, as ever: what
 * cannot be folded (decide-group.ts), readings whose boot has no place in time yet, copies that were folded before (recalled, or of mode
 * both), and everything when the file is damaged, missing or of an older layout, or the parts would weigh more than a quarter of it.
 *
 * Damage to a row of such parts is counted as damage to any row of aggregates is: the books balance and name its parts at most, its
 * readings stay folded.
 *
 * A part is named by the row of its first reading (open-parts.ts). No part that a policy folded has the same name: of one series a row
 * holds readings to thin, or readings in windows of a policy, never both.
 *
 * Memory: open windows up to `maxOpenBytes` and the windows of one row, above which parts close early, and the closed ones up to a
 * quarter of the file.
 */
import { type ClosedPart, OpenParts, type OpenSeries } from '../aggregate/open-parts.ts'
import type { WindowPolicy } from '../aggregate/policy.ts'
import { intoRows } from './aggregate-row.ts'
import { ofClass, withThinned } from './counters.ts'
import { isFoldable } from './decide-group.ts'
import { place } from './place.ts'
import { indicesIn, type UnsealedRange } from './ranges.ts'
import { classOf, decodeRow, Mark, type RowColumns } from './row-codec.ts'
import { type ClosedFile, fileToRead, type StoreState } from './state.ts'
import { isDamage } from './storage-error.ts'
import { isMissing } from './unsealed.ts'

/** Older files do not tell which of the readings sent were folded as well. */
const firstLayout = 4
const untouched = Mark.unplaced | Mark.recalled | Mark.both

/** Have the parts written into the tail with what is written next. Returns how many unsent readings they hold. */
export function thin(state: StoreState, file: ClosedFile, ranges: readonly UnsealedRange[]): number {
  const { thinToMs } = state.config
  if (thinToMs === null || ranges.length === 0) return 0
  const parts = readableParts(state, file, ranges, tumbling(thinToMs))
  const readings = parts.reduce((sum, { folded }) => sum + folded, 0)
  if (readings > ofClass(state.counters, 'raw').stored) return 0
  const { fold } = state
  fold.closed = [...fold.closed, ...intoRows(0, parts)]
  fold.counts.closed += parts.length
  state.counters = withThinned(state.counters, readings)
  return readings
}

function tumbling(sizeMs: number): WindowPolicy {
  const sizeUs = sizeMs * 1000
  return { sizeUs, hopUs: sizeUs, latenessUs: 0, idleMs: 0, quantiles: false }
}

function readableParts(...given: Parameters<typeof partsOf>): ClosedPart[] {
  try {
    return partsOf(...given)
  } catch (error) {
    if (isDamage(error) || isMissing(error)) return []
    throw error
  }
}

/** None when they would be too much of the file, or cannot be told from what was folded. */
function partsOf(
  state: StoreState,
  file: ClosedFile,
  ranges: readonly UnsealedRange[],
  window: WindowPolicy,
): ClosedPart[] {
  const open = new OpenParts(state.config.maxOpenBytes)
  const parts: ClosedPart[] = []
  let bytesLeft = file.bytes / 4
  const take = (closed: readonly ClosedPart[]): boolean => {
    for (const part of closed) {
      parts.push({ ...part, thinned: true })
      bytesLeft -= part.data.length
    }
    return bytesLeft >= 0
  }
  const source = fileToRead(state, file.no)
  if (source.layout < firstLayout) return []
  for (const { n, readings, held, alarms, data } of source.rows()) {
    if (held + alarms === readings) continue
    const { columns } = decodeRow(data)
    const placed = place(state.times, columns) ?? columns
    for (const range of ranges) addReadings(open, n, placed, range, window)
    if (!take(open.relieve())) return []
  }
  return take(open.closeAll()) ? parts : []
}

function addReadings(
  open: OpenParts,
  row: number,
  columns: RowColumns,
  range: UnsealedRange,
  window: WindowPolicy,
): void {
  const touched: OpenSeries[] = []
  const { first, behind } = indicesIn(range, row, columns.readings)
  for (let index = first; index < behind; index++) {
    if (!isThinnable(columns, index)) continue
    const at = columns.series[index] as number
    touched[at] ??= open.open(nameOf(columns, at), window, 0)
    const [tsUs, value] = [columns.tsUs[index] as number, columns.values[index] as number]
    open.add(touched[at], { tsUs, value, row, held: true }, 0)
  }
}

function isThinnable(columns: RowColumns, index: number): boolean {
  const mark = columns.marks[index] as number
  return classOf(mark) === 'raw' && (mark & untouched) === 0 && isFoldable(columns, index)
}

function nameOf({ names }: RowColumns, at: number): OpenSeries['name'] {
  const [device, metric, unit] = names.slice(3 * at, 3 * at + 3) as [string, string, string]
  return { device, metric, unit }
}
