/**
 * Folding: readings of committed rows go into open windows; the parts that close become rows of aggregates.
 *
 * Exactly once. Rows are folded in their order, after their commit. Which parts closed, and up to which row readings had been folded
 * then, stands in a row of aggregates, so the open windows are a function of the rows alone: those folded, less the parts that went out.
 * A record of them, written into the tail now and then and into every new one, bounds what a start has to fold again. Parts that
 * closed are written with the next commit, in its transaction, or by `tick`; a crash before that leaves them open.
 * The policies that a record was made under stand in it: rows are folded by the policies that held when they came. When others hold
 * from a start on, every part closes.
 */

import { type ClosedPart, OpenParts, type OpenSeries } from '../aggregate/open-parts.ts'
import type { Policy } from '../aggregate/policy.ts'
import { folds } from '../aggregate/policy.ts'
import { type Governed, SeriesPolicies } from '../aggregate/series-policies.ts'
import { type AggregateRow, encodeAggregateRow, intoRows } from './aggregate-row.ts'
import type { WindowStats } from './buffer.ts'
import type { BufferFile } from './buffer-file.ts'
import { plus } from './counters.ts'
import { isFoldable } from './decide-group.ts'
import { noteUnplaced } from './place.ts'
import { emptyRow, encodeRow, Mark, type RowColumns } from './row-codec.ts'
import type { StoreState } from './state.ts'

export interface Fold {
  policies: SeriesPolicies
  open: OpenParts
  /** Rows up to this one are folded. */
  foldedTo: number
  /** Closed, and not in the tail yet. */
  closed: readonly AggregateRow[]
  /** The tail holds no record, or one of other policies. */
  recordDue: boolean
  /** Of the last record, and of the rows since. */
  recordBytes: number
  rowBytes: number
  readonly counts: FoldCounts
}

/** Since the start. */
export interface FoldCounts {
  /** Parts that closed. */
  closed: number
  /** Of those, closed early for want of memory. */
  early: number
  /** Parts put into batches. */
  sealed: number
  /** Readings that came after the watermark had passed their window. */
  late: number
}

/** In the tail, under `fold`. */
export interface FoldRecord {
  readonly policies: readonly Policy[]
  readonly foldedTo: number
  /** Rows of aggregates up to this one are taken account of. */
  readonly row: number
  /** Base64. */
  readonly open: string
}

export interface WrittenFold {
  readonly lastRow: number
  /** Make the state in memory follow. */
  readonly follow: () => void
}

/** A record is written when the rows since the last have 8 times its size, and no less than this. */
const leastRecordEvery = 256 * 1024

export function createFold(policies: readonly Policy[], maxOpenBytes: number): Fold {
  return {
    policies: new SeriesPolicies(policies),
    open: new OpenParts(maxOpenBytes),
    foldedTo: 0,
    closed: [],
    recordDue: false,
    recordBytes: 0,
    rowBytes: 0,
    counts: { closed: 0, early: 0, sealed: 0, late: 0 },
  }
}

export function windowStats({ open, counts }: Fold): WindowStats {
  return {
    open: open.count,
    closed: counts.closed,
    closedEarly: counts.early,
    sealed: counts.sealed,
    late: counts.late,
  }
}

/** Is there anything to fold, or to remember? */
export function isFolding({ policies, open }: Fold): boolean {
  return open.count > 0 || policies.policies.some(folds)
}

/** Fold a row; `closing` when the parts that it makes due are to close. */
export function foldRow(fold: Fold, n: number, columns: RowColumns, closing: boolean): void {
  const nowMs = performance.now()
  const touched = new Map<number, OpenSeries>()
  const governed: (Governed | null)[] = []
  for (let index = 0; index < columns.readings; index++) {
    const at = columns.series[index] as number
    if (governed[at] === undefined) governed[at] = fold.policies.of(nameAt(columns, at, 0), nameAt(columns, at, 1))
    const by = governed[at] ?? null
    const mark = columns.marks[index] as number
    const held = (mark & Mark.held) !== 0
    const isCopy = (mark & (Mark.recalled | Mark.moved)) !== 0
    if (by === null || isCopy || !(held || by.policy.mode === 'both') || !isFoldable(columns, index)) continue
    const series = touched.get(at) ?? openAt(fold, columns, at, by, nowMs)
    touched.set(at, series)
    const reading = { tsUs: columns.tsUs[index] as number, value: columns.values[index] as number, row: n, held }
    if (fold.open.add(series, reading, nowMs)) fold.counts.late++
  }
  fold.foldedTo = n
  if (!closing) return
  closed(
    fold,
    [...touched.values()].flatMap(series => fold.open.closeDue(series)),
  )
  const early = fold.open.relieve()
  fold.counts.early += early.length
  closed(fold, early)
}

function openAt(fold: Fold, columns: RowColumns, at: number, { policy }: Governed, nowMs: number): OpenSeries {
  const series = { device: nameAt(columns, at, 0), metric: nameAt(columns, at, 1), unit: nameAt(columns, at, 2) }
  return fold.open.open(series, policy.window, nowMs)
}

function nameAt({ names }: RowColumns, series: number, part: 0 | 1 | 2): string {
  return names[series * 3 + part] as string
}

/** Parts closed; they wait for the next transaction. */
export function closed(fold: Fold, parts: readonly ClosedPart[]): void {
  if (parts.length === 0) return
  fold.counts.closed += parts.length
  fold.closed = [...fold.closed, ...intoRows(fold.foldedTo, parts)]
}

/** Close what is due by the clock. */
export function closeIdle(fold: Fold): void {
  closed(fold, fold.open.closeIdle(performance.now()))
}

/**
 * Put the parts that closed, and the alarms that move, into a file, as the rows from `state.lastRow` + 1 to `lastRow`, and a record when one is due; part of a
 * transaction of the caller, who calls `follow` when it is committed.
 */
export function writeFold(state: StoreState, tail: BufferFile = state.tail, isNewTail = false): WrittenFold {
  const { fold } = state
  const rows = fold.closed
  let n = state.lastRow
  let parts = 0
  for (const row of rows) {
    n++
    parts += row.parts.length
    const data = Buffer.concat([encodeRow(emptyRow, state.counters), encodeAggregateRow(row)])
    tail.putRow({ n, readings: row.parts.length, held: 0, alarms: 0, receipts: null, data })
  }
  const moved = state.moved
  for (const columns of moved) {
    const { readings } = columns
    const data = encodeRow(columns, state.counters)
    tail.putRow({ n: ++n, readings, held: 0, alarms: readings, receipts: null, data })
  }
  const foldedTo = fold.foldedTo === state.lastRow ? n : fold.foldedTo
  const record = isRecordDue(fold, isNewTail) ? Buffer.from(fold.open.record()).toString('base64') : null
  if (record !== null) {
    const { policies } = fold.policies
    tail.putState('fold', { policies, foldedTo, row: n, open: record } satisfies FoldRecord)
  }
  const follow = (): void => {
    fold.closed = fold.closed.slice(rows.length)
    state.moved = state.moved.slice(moved.length)
    for (const [index, columns] of moved.entries()) noteUnplaced(state.times, n - moved.length + 1 + index, columns)
    const alarms = moved.reduce((sum, { readings }) => sum + readings, 0)
    fold.foldedTo = foldedTo
    state.lastRow = n
    state.tailReadings = plus(state.tailReadings, { raw: parts, aggregate: 0, alarm: alarms })
    state.unsealed.live.readings += parts + alarms
    if (record === null) return
    fold.recordDue = false
    fold.recordBytes = record.length
    fold.rowBytes = 0
  }
  return { lastRow: n, follow }
}

function isRecordDue(fold: Fold, isNewTail: boolean): boolean {
  if (fold.recordDue) return true
  if (!isFolding(fold)) return false
  return isNewTail || fold.rowBytes > Math.max(leastRecordEvery, 8 * fold.recordBytes)
}
