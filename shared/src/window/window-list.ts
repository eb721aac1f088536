/**
 * The windows of each series, oldest first: a doubly linked list over the slots of an aggregate store, in flat memory.
 *
 * 28 bytes a window beside its aggregate. `base` is the number of readings it had when it closed (its revision 0), or `unclosed`.
 */
import { type AggregateStore, allocate, bytesInUse, createAggregateStore, release } from './aggregate-store.ts'
import { type SeriesTable, seriesField, seriesStride } from './series-table.ts'

export const none = -1
export const unclosed = -1
const bytesPerLink = 28

export interface WindowList {
  readonly aggregates: AggregateStore
  readonly table: SeriesTable
  starts: Float64Array
  bases: Float64Array
  older: Int32Array
  newer: Int32Array
  /** Bits that belong to the kind. */
  marks: Int32Array
}

export function createWindowList(table: SeriesTable, sketchBuckets: number): WindowList {
  return {
    aggregates: createAggregateStore(sketchBuckets),
    table,
    starts: new Float64Array(16),
    bases: new Float64Array(16),
    older: new Int32Array(16),
    newer: new Int32Array(16),
    marks: new Int32Array(16),
  }
}

export function oldestOf({ table }: WindowList, series: number): number {
  return table.rows[series * seriesStride + seriesField.oldest]!
}

export function newestOf({ table }: WindowList, series: number): number {
  return table.rows[series * seriesStride + seriesField.newest]!
}

/** An empty, unclosed window after `older` (`none`: before all others). */
export function insertAfter(list: WindowList, series: number, older: number, startUs: number): number {
  return adoptAfter(list, series, older, startUs, allocate(list.aggregates))
}

/** The same for an aggregate that stands in the store already. */
export function adoptAfter(list: WindowList, series: number, older: number, startUs: number, slot: number): number {
  if (slot >= list.starts.length) grow(list, slot)
  const newer = older === none ? oldestOf(list, series) : list.newer[older]!
  list.starts[slot] = startUs
  list.bases[slot] = unclosed
  list.marks[slot] = 0
  link(list, series, older, slot)
  link(list, series, slot, newer)
  return slot
}

export function removeWindow(list: WindowList, series: number, slot: number): void {
  link(list, series, list.older[slot]!, list.newer[slot]!)
  release(list.aggregates, slot)
}

export function removeAll(list: WindowList, series: number): void {
  for (let slot = oldestOf(list, series); slot !== none; slot = oldestOf(list, series)) removeWindow(list, series, slot)
}

export function listBytes({ aggregates }: WindowList): number {
  return bytesInUse(aggregates) + (aggregates.used - aggregates.free.length) * bytesPerLink
}

/** Make two neighbours; `none` on one side makes the other the end of the series' list. */
function link(list: WindowList, series: number, older: number, newer: number): void {
  const row = series * seriesStride
  if (older === none) list.table.rows[row + seriesField.oldest] = newer
  else list.newer[older] = newer
  if (newer === none) list.table.rows[row + seriesField.newest] = older
  else list.older[newer] = older
}

function grow(list: WindowList, slot: number): void {
  const capacity = Math.max(slot + 1, Math.ceil(list.starts.length * 1.5))
  const [starts, bases] = [new Float64Array(capacity), new Float64Array(capacity)]
  const [older, newer, marks] = [new Int32Array(capacity), new Int32Array(capacity), new Int32Array(capacity)]
  starts.set(list.starts)
  bases.set(list.bases)
  older.set(list.older)
  newer.set(list.newer)
  marks.set(list.marks)
  Object.assign(list, { starts, bases, older, newer, marks })
}
