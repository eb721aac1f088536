/** What every kind of window keeps of a series: a row of doubles in flat memory. Times are µs of event time. */
import { TributaryError } from '../errors.ts'

export const seriesField = {
  /** Newest reading; −∞ before the first. */
  newestUs: 0,
  /** Windows that end by this are closed, or are to be: it never goes back. */
  watermarkUs: 1,
  /** Watermark at which something is to be done; +∞ when nothing is. */
  nextUs: 2,
  /** Windows that end by this have been closed: the watermark when that was last done. */
  closedUs: 3,
  /** Windows that end by this are final. */
  finalUs: 4,
  /** 1 when a reading came since the last `idle`. */
  heard: 5,
  /** The clock at the `idle` that last found the series heard. */
  quietSinceUs: 6,
  /** 1 while `settle` has something to emit. */
  corrected: 7,
  /** Slots of the oldest and the newest window; −1 without one (window-list.ts). */
  oldest: 8,
  newest: 9,
} as const
export const seriesStride = 10

export interface SeriesTable {
  rows: Float64Array
  /** 1 where a series is open. */
  open: Uint8Array
  /** Rows that were ever taken. */
  used: number
  readonly free: number[]
  readonly maxSeries: number
}

export function createSeriesTable(maxSeries: number): SeriesTable {
  return { rows: new Float64Array(16 * seriesStride), open: new Uint8Array(16), used: 0, free: [], maxSeries }
}

/** Take a row in the state before the first reading. Throws `too-large` at the bound. */
export function openSeries(table: SeriesTable, finalUs: number): number {
  const series = table.free.pop() ?? extend(table)
  table.open[series] = 1
  resetSeries(table, series, finalUs)
  return series
}

export function resetSeries(table: SeriesTable, series: number, finalUs: number): void {
  const never = Number.NEGATIVE_INFINITY
  const row = [never, finalUs, Number.POSITIVE_INFINITY, finalUs, finalUs, 0, Number.POSITIVE_INFINITY, 0, -1, -1]
  table.rows.set(row, series * seriesStride)
}

export function closeSeries(table: SeriesTable, series: number): void {
  table.open[series] = 0
  table.free.push(series)
}

export function seriesBytes(table: SeriesTable): number {
  return (table.used - table.free.length) * (seriesStride * 8 + 1)
}

function extend(table: SeriesTable): number {
  if (table.used >= table.maxSeries) {
    throw new TributaryError('too-large', `windows of ${table.used} series are kept, maxSeries is ${table.maxSeries}`, {
      hint: 'close series that are no longer heard, or raise maxSeries',
    })
  }
  const series = table.used++
  if (table.used > table.open.length) {
    const capacity = Math.ceil(table.open.length * 1.5)
    const rows = new Float64Array(capacity * seriesStride)
    const open = new Uint8Array(capacity)
    rows.set(table.rows)
    open.set(table.open)
    table.rows = rows
    table.open = open
  }
  return series
}
