/**
 * Folding goes on: with a row that was just committed, with rows that had to wait, and at a start with what the files say.
 *
 * A row whose readings have no place in time yet stops folding until they have one; the rows behind it wait with it, in the files.
 */
import { isTributaryError, messageOf } from '@tributary/shared/errors'
import { OpenParts } from '../aggregate/open-parts.ts'
import { folds, type Policy } from '../aggregate/policy.ts'
import { SeriesPolicies } from '../aggregate/series-policies.ts'
import { closed, closeIdle, type FoldRecord, foldRow, isFolding } from './fold.ts'
import { place } from './place.ts'
import { repairing } from './repair.ts'
import type { RowColumns } from './row-codec.ts'
import { rowAt } from './sealing.ts'
import { fileToRead, flushState, type StoreState } from './state.ts'

/** Rows that waited are folded so many at a time, between commits. */
const rowsAtOnce = 1000

/** Row `n`, the last one, was committed with these readings. */
export function foldCommitted(state: StoreState, n: number, columns: RowColumns, bytes: number): void {
  const { fold } = state
  if (!isFolding(fold)) {
    fold.foldedTo = n
    return
  }
  fold.rowBytes += bytes
  if (fold.foldedTo < n - 1) {
    foldWaiting(state)
    return
  }
  const placed = place(state.times, columns)
  if (placed) foldRow(fold, n, placed, true)
}

/** Fold rows that had to wait, as far as they have a place in time by now. */
export function foldWaiting(state: StoreState): void {
  for (let left = rowsAtOnce; left > 0 && state.fold.foldedTo < state.lastRow; left--) {
    if (!foldNext(state, true)) return
  }
}

/** Each second: what is due by the clock closes, and what closed is written when no commit takes it along. */
export function foldOnTick(state: StoreState): void {
  if (!isFolding(state.fold)) return
  foldWaiting(state)
  closeIdle(state.fold)
  if (state.fold.closed.length > 0) flushState(state)
}

/** The next row; false when it has to wait. */
function foldNext(state: StoreState, closing: boolean): boolean {
  const { fold } = state
  const row = rowAt(state, fold.foldedTo + 1)
  if (row === null) {
    fold.foldedTo = state.lastRow
    return true
  }
  const placed = place(state.times, row.columns)
  if (placed === null) return false
  foldRow(fold, row.n, placed, closing)
  return true
}

/** A start: the open windows as they were, from the record and the rows since; then by the policies of this start. */
export function startFold(state: StoreState, policies: readonly Policy[]): void {
  const { fold } = state
  const record = storedRecord(state)
  fold.policies = new SeriesPolicies(record?.policies ?? policies)
  fold.foldedTo = record?.foldedTo ?? beginning(state)
  if (record) restore(state, record)
  replay(state, record?.row ?? fold.foldedTo)
  const same = JSON.stringify(record?.policies ?? []) === JSON.stringify(policies)
  if (same) return
  while (fold.foldedTo < state.lastRow && foldNext(state, true));
  closed(fold, fold.open.closeAll())
  fold.policies = new SeriesPolicies(policies)
  fold.recordDue = true
}

/** In the tail, or when it is damaged there, in the newest file that has one. */
function storedRecord(state: StoreState): FoldRecord | null {
  const own = state.tail.state('fold') as FoldRecord | null
  if (own !== null || state.tailReadings.aggregate === 0) return own
  for (const { no } of [...state.closed].reverse()) {
    const found = repairing(state, no, () => fileToRead(state, no).state('fold') as FoldRecord | null)
    if (found !== 'repaired' && found !== null) return found
  }
  return null
}

/** Without a record, readings are folded from here on; those held in the tail once more, unless a row says that they went out. */
function beginning(state: StoreState): number {
  return state.tailReadings.aggregate > 0 ? state.tailFirstRow - 1 : state.lastRow
}

function restore(state: StoreState, { open, row }: FoldRecord): void {
  const { fold } = state
  try {
    const windowOf = ({ device, metric }: { device: string; metric: string }) =>
      fold.policies.of(device, metric)?.policy.window ?? null
    fold.open.restore(Buffer.from(open, 'base64'), windowOf, performance.now())
  } catch (error) {
    if (!isTributaryError(error)) throw error
    state.notices.push(
      `the windows open at row ${row} cannot be read, what was in them is not sent: ${messageOf(error)}`,
    )
    fold.open = new OpenParts(state.config.maxOpenBytes)
  }
}

/** Fold up to where each row of aggregates was made, and drop what went out with it. */
function replay(state: StoreState, after: number): void {
  const { fold } = state
  if (!fold.policies.policies.some(folds)) return
  for (let row = rowAt(state, after + 1); row !== null; row = rowAt(state, row.n + 1)) {
    if (!row.aggregates || row.aggregates.foldedTo === 0) continue
    while (fold.foldedTo < row.aggregates.foldedTo && foldNext(state, false));
    for (const part of row.aggregates.parts) fold.open.drop(part)
  }
}
