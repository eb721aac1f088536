/** One series in buckets of a minute: how many readings, and the mean, least and greatest of the numbers among them. */
import type { Pool } from 'pg'

export interface MinuteRow {
  readonly tsUs: number
  /** Readings of any kind. */
  readonly n: number
  /** Null when none of them is a number. */
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
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
    `select (extract(epoch from bucket) * 1000000)::int8 as "tsUs", n, mean, min, max
       from (select date_bin('1 minute', ts, 'epoch') as bucket, count(*)::int as n, avg(value) as mean, min(value), max(value)
               from readings($1, 'epoch'::timestamptz + $2 * interval '1 microsecond', 'epoch'::timestamptz + $3 * interval '1 microsecond')
              group by 1) as minutes
      order by bucket
      limit $4`,
    [asked.seriesId, asked.fromUs, asked.toUs, asked.limit],
  )
  return rows
}
