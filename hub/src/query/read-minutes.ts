/**
 * One series in minutes, from the rollups. A minute appears some seconds after its end, and again changed when late readings are
 * rolled up. Plan: primary key of `rollup_1m`.
 */
import type { Pool } from 'pg'

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
       from rollup_1m
      where series_id = $1
        and bucket >= 'epoch'::timestamptz + $2 * interval '1 microsecond'
        and bucket < 'epoch'::timestamptz + $3 * interval '1 microsecond'
      order by bucket
      limit $4`,
    [asked.seriesId, asked.fromUs, asked.toUs, asked.limit],
  )
  return rows
}
