/**
 * Ends of life: readings that are older than their metric's retention go; rollups and aggregates, which are as small, later and together.
 *
 * A table whose whole span is past the longest retention is dropped, at no cost. Metrics that are kept shorter have their segments
 * deleted, some thousand at a time. Ages are counted from the time of the reading; a segment goes when its last reading may.
 */
import pg, { type PoolClient } from 'pg'
import type { Database } from '../database/database.ts'
import { isRetryableDatabaseError } from '../database/database-error.ts'
import { dropPartition, listPartitions } from '../database/partitions.ts'
import { retentionPartition } from './stored-counts.ts'

export interface RetentionRule {
  /** Name of a metric; `*` stands for any characters. The first rule that fits holds. */
  readonly metric: string
  readonly days: number
}

export interface RetentionOptions {
  /** Default none. */
  readonly rules?: readonly RetentionRule[]
  /** Where no rule fits. Default 365. */
  readonly days?: number
  /** Of the one-minute rollups and of aggregates, whatever the metric. Default 1825. */
  readonly rollupDays?: number
  readonly now?: () => number
}

const dayMs = 86_400_000
const rowsAtOnce = 5000

export interface RetentionResult {
  readonly tables: readonly string[]
  readonly segments: number
  readonly aggregates: number
  readonly rollups: number
}

/** One pass; run it every hour or so. Tables held by long readers are left for the next pass. */
export async function applyRetention(database: Database, options: RetentionOptions = {}): Promise<RetentionResult> {
  const { rules = [], days = 365, rollupDays = 1825, now = Date.now } = options
  const longest = Math.max(days, ...rules.map(rule => rule.days))
  const before = (age: number) => new Date(now() - age * dayMs)
  const tables: string[] = []
  for (const { name, to } of await listPartitions(database, 'segment')) {
    if (to.getTime() > before(longest).getTime()) continue
    try {
      const dropped = await dropPartition(database, 'segment', name, tx => countDropped(tx, name))
      if (dropped) tables.push(name)
    } catch (error) {
      if (!isRetryableDatabaseError(error)) throw error
    }
  }
  let segments = 0
  const patterns = rules.map(({ metric }) => likePattern(metric))
  for (const [index, rule] of [...rules, { metric: '*', days }].entries()) {
    if (rule.days >= longest) continue
    segments += await deleteSegments(database, patterns[index] ?? '%', patterns.slice(0, index), before(rule.days))
  }
  const oldest = before(rollupDays)
  tables.push(...(await dropAggregates(database, oldest)))
  const aggregates = await deleteOlder(database, 'aggregate', 'start', oldest)
  return { tables, segments, aggregates, rollups: await deleteOlder(database, 'rollup_1m', 'bucket', oldest) }
}

/** Takes the table's readings off the count; false when another hub dropped it meanwhile. */
async function countDropped(tx: PoolClient, table: string): Promise<boolean> {
  const { rows } = await tx.query<{ there: boolean }>('select to_regclass($1) is not null as there', [table])
  if (rows[0]?.there !== true) return false
  await tx.query(
    `insert into stored_count as c (partition, readings) select $1, -coalesce(sum(n), 0) from ${pg.escapeIdentifier(table)}
     on conflict (partition) do update set readings = c.readings + excluded.readings`,
    [retentionPartition],
  )
  return true
}

/** Of metrics that fit `pattern` and none of `earlier`. */
async function deleteSegments(
  database: Database,
  pattern: string,
  earlier: readonly string[],
  before: Date,
): Promise<number> {
  const { rows } = await database.pool.query<{ series_id: number }>(
    'select series_id from series where metric like $1 and not metric like any($2::text[]) order by series_id',
    [pattern, earlier],
  )
  let deleted = 0
  for (const { series_id } of rows) {
    const { rowCount } = await database.pool.query({
      name: 'delete-segments',
      text: `with gone as (delete from segment where series_id = $1 and t0 < $2 and t1 < $2 returning n), counted as (
               insert into stored_count as c (partition, readings)
               select $3, -sum(n) from gone having count(*) > 0
               on conflict (partition) do update set readings = c.readings + excluded.readings
             )
             select n from gone`,
      values: [series_id, before, retentionPartition],
    })
    deleted += rowCount ?? 0
  }
  return deleted
}

async function dropAggregates(database: Database, before: Date): Promise<string[]> {
  const dropped: string[] = []
  for (const { name, to } of await listPartitions(database, 'aggregate')) {
    if (to.getTime() > before.getTime()) continue
    try {
      if (await dropPartition(database, 'aggregate', name)) dropped.push(name)
    } catch (error) {
      if (!isRetryableDatabaseError(error)) throw error
    }
  }
  return dropped
}

/** Rows of `table` whose `time` is before, some thousand at a time. */
async function deleteOlder(
  database: Database,
  table: 'rollup_1m' | 'aggregate',
  time: 'bucket' | 'start',
  before: Date,
): Promise<number> {
  for (let deleted = 0; ; ) {
    const { rowCount } = await database.pool.query(
      `delete from ${table} where (series_id, ${time}) in (select series_id, ${time} from ${table} where ${time} < $1 limit ${rowsAtOnce})`,
      [before],
    )
    deleted += rowCount ?? 0
    if ((rowCount ?? 0) < rowsAtOnce) return deleted
  }
}

/** `*` → `%`; LIKE's own signs stand for themselves. */
function likePattern(metric: string): string {
  return metric.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%')
}
