/**
 * Background merging: many small segments of a series and day become few large ones, which take a third of the space and a
 * fraction of the index.
 *
 * A merge is one transaction: lock the rows, insert the new ones, delete the old: a crash leaves the old ones. Only runs that
 * are neighbours in order of arrival are merged, and a merged segment keeps the smallest id of its run, so that readings of equal
 * time keep their order. Throttled: a pause after every merge, and a series is left alone until enough has gathered.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Value } from '@tributary/shared/reading'
import type { PoolClient } from 'pg'
import type { Database } from '../database/database.ts'
import { listPartitions } from '../database/partitions.ts'
import { copySegments } from './segment-copy.ts'
import { buildSegments, maxReadings } from './segments.ts'
import { timeOf } from './store-effect.ts'

export interface MergeOptions {
  readonly database: Database
  readonly signal: AbortSignal
  /** Between two passes over the recent tables. Default 600,000 ms. */
  readonly everyMs?: number
  /** After each merge. Default 10 ms. */
  readonly pauseMs?: number
  /** Tables that ended longer ago than this are looked at once after the start only. Default 3 days. */
  readonly recentMs?: number
  readonly onError: (error: unknown) => void
}

/** A segment of at least this many readings is left as it is. */
const largeReadings = maxReadings / 2
/** A run is merged when it has this many segments. */
export const minRun = 8
/** Readings of a run at most. */
const runReadings = maxReadings * 4

/** Runs until the signal aborts. */
export async function runMerges({
  database,
  signal,
  everyMs = 600_000,
  pauseMs = 10,
  recentMs = 3 * 86_400_000,
  onError,
}: MergeOptions): Promise<void> {
  for (let pass = 0; !signal.aborted; pass++) {
    try {
      const oldest = pass === 0 ? Number.NEGATIVE_INFINITY : Date.now() - recentMs
      for (const { name, to } of await listPartitions(database, 'segment')) {
        if (to.getTime() >= oldest) await mergeTable(database, name, signal, pauseMs)
      }
    } catch (error) {
      onError(error)
    }
    await sleep(everyMs, undefined, { signal }).catch(() => undefined)
  }
}

/** One pass over a table, series by series (a loose scan of the primary key); returns how many segments went. */
export async function mergeTable(database: Database, table: string, signal: AbortSignal, pauseMs = 0): Promise<number> {
  if (!/^segment_\d+$/.test(table)) throw new Error(`${table} is not a table of segments`)
  let seriesId = -1
  let gone = 0
  while (!signal.aborted) {
    const { rows } = await database.pool.query<{ series_id: number }>(
      `select series_id from ${table} where series_id > $1 order by series_id limit 1`,
      [seriesId],
    )
    if (rows[0] === undefined) break
    seriesId = rows[0].series_id
    for (const ids of await findRuns(database, table, seriesId)) {
      gone += await database.transaction(tx => mergeRun(tx, table, seriesId, ids))
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }
  return gone
}

/** Ids of neighbouring small segments that lie within one day. */
async function findRuns(database: Database, table: string, seriesId: number): Promise<number[][]> {
  const { rows } = await database.pool.query<{ segment_id: number; n: number; day: number; strings: boolean }>(
    `select segment_id, n, floor(extract(epoch from t0) / 86400)::int as day, s is not null as strings
     from ${table} where series_id = $1 order by segment_id`,
    [seriesId],
  )
  const runs: number[][] = []
  let run: number[] = []
  let readings = 0
  let day: number | null = null
  const finish = () => {
    if (run.length >= minRun) runs.push(run)
    run = []
    readings = 0
  }
  for (const row of rows) {
    // Texts may be long: fewer of them in memory.
    const size = row.strings ? row.n * 8 : row.n
    if (row.day !== day || readings + size > runReadings || row.n >= largeReadings) finish()
    day = row.day
    if (row.n >= largeReadings) continue
    run.push(row.segment_id)
    readings += size
  }
  finish()
  return runs
}

interface SegmentRow {
  readonly t0Us: number
  readonly n: number
  readonly tickUs: number
  readonly booleans: boolean
  readonly dt: number[] | null
  readonly v: (number | null)[] | null
  readonly s: (string | null)[] | null
  readonly q: number[] | null
}

/** Returns by how many segments the table shrank; 0 when someone else changed them meanwhile. */
async function mergeRun(tx: PoolClient, table: string, seriesId: number, ids: readonly number[]): Promise<number> {
  const { rows } = await tx.query<SegmentRow>(
    `select (extract(epoch from t0) * 1000000)::int8 as "t0Us", n, tick_us as "tickUs", booleans, dt, v, s, q
     from ${table} where series_id = $1 and segment_id = any($2) order by segment_id for update`,
    [seriesId, ids],
  )
  if (rows.length !== ids.length) return 0
  const tsUs: number[] = []
  const values: Value[] = []
  const quality: number[] = []
  for (const row of rows) {
    for (let index = 0; index < row.n; index++) {
      tsUs.push(timeOf({ ...row, dt: row.dt === null ? null : Int32Array.from(row.dt) }, index))
      values.push(readingValue(row, index))
      quality.push(row.q?.[index] ?? 0)
    }
  }
  const merged = buildSegments({ tsUs, values, quality })
  if (merged.length >= rows.length) return 0
  await tx.query(`delete from ${table} where series_id = $1 and segment_id = any($2)`, [seriesId, ids])
  await copySegments(
    tx,
    merged.map((segment, index) => ({ seriesId, segment, segmentId: ids[index] as number })),
  )
  return rows.length - merged.length
}

/** A string has no number beside it; a boolean is a number with a text, or stands in a segment of booleans. */
function readingValue(row: SegmentRow, index: number): Value {
  const number = row.v?.[index] ?? null
  const text = row.s?.[index] ?? null
  if (number === null) return text ?? ''
  return row.booleans || text !== null ? number === 1 : number
}
