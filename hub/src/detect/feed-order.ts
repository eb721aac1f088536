/**
 * Which readings of a column a detector takes, and in which order: good and uncertain finite numbers that ingest did not reject,
 * by ascending event time; equal times in order of arrival.
 */
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import { Quality } from '@tributary/shared/reading'

/** Places in the column. `firstIndex` is the index of its first reading in the batch, which `rejected` counts by. */
export function feedOrder(
  column: SeriesColumns,
  firstIndex: number,
  rejected: ReadonlyMap<number, unknown>,
): Uint32Array {
  const { tsUs, values, quality } = column
  const order = new Uint32Array(tsUs.length)
  let taken = 0
  let ascending = true
  for (let i = 0; i < tsUs.length; i++) {
    if (!Number.isFinite(values[i])) continue
    if (quality !== null && quality[i] === Quality.bad) continue
    if (rejected.size > 0 && rejected.has(firstIndex + i)) continue
    if (taken > 0 && tsUs[i]! < tsUs[order[taken - 1]!]!) ascending = false
    order[taken++] = i
  }
  const places = order.subarray(0, taken)
  return ascending ? places : places.sort((a, b) => tsUs[a]! - tsUs[b]! || a - b)
}
