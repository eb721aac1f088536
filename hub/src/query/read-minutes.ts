/**
 * One series in minutes: from the rollups, and from the readings or aggregates themselves for minutes that changed since (the current
 * one always). So nothing that is stored is missing. A minute has one source, as in the rollups; its mean of several aggregates may
 * differ in the last digit until it is rolled up.
 *
 * Plan: primary key of `rollup_1m`; marks by `rollup_dirty_bucket`; of each day that is marked, the readings from the first marked
 * minute to the last in one range scan, so that a day's segments are unpacked once, and what lies between two days not at all.
 */
import type { Pool } from 'pg'
import { makesMinutes } from '../database/minute-windows.ts'

export interface MinuteRow {
  readonly tsUs: number
  /** Readings of any kind and quality. */
  readonly readings: number
  /** Of them, the numbers and booleans that are not bad: what the rest is about. */
  readonly n: number
  /** Null when `n` is 0. */
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
  readonly first: number | null
  readonly last: number | null
}

export interface MinutesAsked {
  readonly seriesId: number
  /** Microseconds, inclusive. */
  readonly fromUs: number
  /** Microseconds, exclusive. */
  readonly toUs: number
  readonly limit: number
}

export async function readMinutes(pool: Pool, asked: MinutesAsked): Promise<MinuteRow[]> {
  const { rows } = await pool.query<MinuteRow>(
    `select (extract(epoch from bucket) * 1000000)::int8 as "tsUs", readings, n, mean, min, max, first, last
       from (${minutesSql}) as minutes
      order by bucket
      limit $4`,
    [asked.seriesId, asked.fromUs, asked.toUs, asked.limit],
  )
  return rows
}

/** The minutes of series $1 that begin in [$2, $3), microseconds, in no order: the rows of `rollup_1m` as they should be now. */
export const minutesSql = `
     with span as (
       select 'epoch'::timestamptz + $2 * interval '1 microsecond' as from_ts, 'epoch'::timestamptz + $3 * interval '1 microsecond' as to_ts
     ), dirty as (
       select distinct bucket from rollup_dirty, span where series_id = $1 and bucket >= from_ts and bucket < to_ts
     ), bounds as (
       select min(bucket) as from_ts, max(bucket) + interval '1 minute' as to_ts from dirty group by date_bin('1 day', bucket, 'epoch')
     ), fresh as (
       select date_bin('1 minute', ts, 'epoch') as bucket, count(*)::int as readings,
              count(value) filter (where quality < 2)::int as n, case when bool_and(abs(value) < 1e150) filter (where quality < 2)
                   then avg(value) filter (where quality < 2 and abs(value) < 1e150) end as mean,
              min(value) filter (where quality < 2), max(value) filter (where quality < 2),
              (array_agg(value order by ts) filter (where value is not null and quality < 2))[1] as first,
              (array_agg(value order by ts desc) filter (where value is not null and quality < 2))[1] as last
         from bounds, lateral readings($1, bounds.from_ts, bounds.to_ts)
        group by 1
     ), folded as (
       select distinct on (bucket) * from (
         select bucket, sum(n)::int as readings, sum(n)::int as n, sum(mean * (n::float8 / total)) as mean, min(min), max(max),
                (array_agg(first order by first_us))[1] as first, (array_agg(last order by last_us desc))[1] as last, size_us
           from (
             select date_bin('1 minute', a.start, 'epoch') as bucket, a.*,
                    sum(a.n) over (partition by date_bin('1 minute', a.start, 'epoch'), a.size_us)::float8 as total
               from bounds join aggregate a on a.series_id = $1 and a.start >= bounds.from_ts and a.start < bounds.to_ts and ${makesMinutes}
           ) windows
          group by bucket, size_us
       ) sizes
       order by bucket, n desc, size_us desc
     )
     select bucket, readings, n, mean, min, max, first, last from rollup_1m, span
      where series_id = $1 and bucket >= from_ts and bucket < to_ts and bucket not in (select bucket from dirty)
     union all
     select bucket, readings, n, mean, min, max, first, last from folded where bucket in (select bucket from dirty)
     union all
     select bucket, readings, n, mean, min, max, first, last from fresh
      where bucket in (select bucket from dirty) and bucket not in (select bucket from folded)`
