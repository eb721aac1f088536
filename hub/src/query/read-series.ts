/**
 * Readings of one series in a span of time, by time and arrival, a page after a page.
 *
 * Readings may have equal times, so a page ends at a time and a count: the readings of exactly that time that were given already.
 * Their order is that of arrival and does not change, also when segments are merged; a reading that arrives late at just that time
 * between two pages comes after them. Plan: `readings()` is inlined and prunes segments by time.
 */
import type { Pool } from 'pg'

export interface ReadingRow {
  readonly tsUs: number
  readonly value: number | null
  readonly text: string | null
  readonly quality: number
}

export interface ReadingsAsked {
  readonly seriesId: number
  /** Microseconds, inclusive. */
  readonly fromUs: number
  /** Microseconds, exclusive. */
  readonly toUs: number
  /** Readings at exactly `fromUs` to leave out. */
  readonly skip: number
  readonly limit: number
}

export async function readSeries(pool: Pool, asked: ReadingsAsked): Promise<ReadingRow[]> {
  const { rows } = await pool.query<ReadingRow>(
    `select (extract(epoch from ts) * 1000000)::int8 as "tsUs", value, text, quality
       from readings($1, 'epoch'::timestamptz + $2 * interval '1 microsecond', 'epoch'::timestamptz + $3 * interval '1 microsecond')
      order by ts
      offset $4 limit $5`,
    [asked.seriesId, asked.fromUs, asked.toUs, asked.skip, asked.limit],
  )
  return rows
}
