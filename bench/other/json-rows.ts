/**
 * The other side of the bench `wire`: one JSON object a reading, gzip 6, as most gateways send.
 *
 * Given every advantage: no white space, no unit, no quality, times in the largest unit that is whole (seconds or milliseconds, else
 * microseconds), nothing about the batch itself, rows in the order that compresses better, by time or by series.
 */
import { gzipSync } from 'node:zlib'
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import type { Value } from '@tributary/shared/reading'

interface Row {
  readonly device: string
  readonly metric: string
  readonly ts: number
  readonly value: Value
}

/** Bytes of a batch's readings as gzipped JSON rows. */
export function jsonRowsBytes(columns: readonly SeriesColumns[]): number {
  const bySeries = columns.flatMap(column => rowsOf(column, wholeUnitUs(columns)))
  const byTime = bySeries.toSorted((a, b) => a.ts - b.ts)
  return Math.min(...[bySeries, byTime].map(rows => gzipSync(JSON.stringify(rows), { level: 6 }).length))
}

function rowsOf({ series, tsUs, values }: SeriesColumns, unitUs: number): Row[] {
  return Array.from(tsUs, (ts, i) => ({
    device: series.device,
    metric: series.metric,
    ts: ts / unitUs,
    value: values[i]!,
  }))
}

function wholeUnitUs(columns: readonly SeriesColumns[]): number {
  return [1_000_000, 1000].find(unitUs => columns.every(({ tsUs }) => tsUs.every(ts => ts % unitUs === 0))) ?? 1
}
