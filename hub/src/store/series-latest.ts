/** The newest reading of each series, and how many were stored: one row a series, in the transaction of the readings. */
import type { PoolClient } from 'pg'
import type { Segment } from './segments.ts'

/** What a transaction stores of one series: segments as `buildSegments` gives them, in order of time, at least one. */
export interface SeriesSegments {
  readonly seriesId: number
  readonly agentNo: number
  readonly segments: readonly Segment[]
}

/**
 * Plan: primary key, one row each. A series comes through one partition of the log, so that nobody waits for these rows; they are
 * locked in order all the same.
 */
export async function writeLatest(tx: PoolClient, stored: readonly SeriesSegments[]): Promise<void> {
  if (stored.length === 0) return
  const rows = [...stored].sort((a, b) => a.seriesId - b.seriesId)
  const newest = rows.map(({ segments }) => lastReading(segments.at(-1) as Segment))
  await tx.query({
    name: 'write-latest',
    text: `insert into series_latest as l (series_id, readings, ts_us, value, text, quality)
           select * from unnest($1::int[], $2::int8[], $3::int8[], $4::float8[], $5::text[], $6::int2[])
           on conflict (series_id) do update set
             readings = l.readings + excluded.readings,
             ts_us = greatest(l.ts_us, excluded.ts_us),
             value = case when excluded.ts_us >= l.ts_us then excluded.value else l.value end,
             text = case when excluded.ts_us >= l.ts_us then excluded.text else l.text end,
             quality = case when excluded.ts_us >= l.ts_us then excluded.quality else l.quality end`,
    values: [
      rows.map(({ seriesId }) => seriesId),
      rows.map(({ segments }) => countReadings(segments)),
      newest.map(({ tsUs }) => tsUs),
      newest.map(({ value }) => value),
      newest.map(({ text }) => text),
      newest.map(({ quality }) => quality),
    ],
  })
}

export function countReadings(segments: readonly Segment[]): number {
  return segments.reduce((sum, { n }) => sum + n, 0)
}

/** Value and text as the view `reading` gives them. */
function lastReading({ t1Us, n, v, s, q, booleans }: Segment) {
  const value = v?.[n - 1] ?? null
  const text = booleans ? String(value === 1) : (s?.[n - 1] ?? null)
  return { tsUs: t1Us, value, text, quality: q?.[n - 1] ?? 0 }
}
