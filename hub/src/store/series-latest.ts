/**
 * The newest reading of each series, stored or the last of an aggregate, and how many were stored of both: one row a series, in the transaction
 * of the readings.
 */
import type { PoolClient } from 'pg'
import { lastReadingOf, type SeriesAggregateRows } from './aggregates.ts'
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
export async function writeLatest(
  tx: PoolClient,
  stored: readonly SeriesSegments[],
  folded: readonly SeriesAggregateRows[],
): Promise<void> {
  const rows = newestOfEach(stored, folded)
  if (rows.length === 0) return
  await tx.query({
    name: 'write-latest',
    text: `insert into series_latest as l (series_id, readings, ts_us, value, text, quality, aggregates)
           select * from unnest($1::int[], $2::int8[], $3::int8[], $4::float8[], $5::text[], $6::int2[], $7::int8[])
           on conflict (series_id) do update set
             readings = l.readings + excluded.readings,
             aggregates = l.aggregates + excluded.aggregates,
             ts_us = greatest(l.ts_us, excluded.ts_us),
             value = case when ${isNewer} then excluded.value else l.value end,
             text = case when ${isNewer} then excluded.text else l.text end,
             quality = case when ${isNewer} then excluded.quality else l.quality end`,
    values: [
      rows.map(({ seriesId }) => seriesId),
      rows.map(({ readings }) => readings),
      rows.map(({ tsUs }) => tsUs),
      rows.map(({ value }) => value),
      rows.map(({ text }) => text),
      rows.map(({ quality }) => quality),
      rows.map(({ aggregates }) => aggregates),
    ],
  })
}

/** What comes later replaces what has the same time; the last reading of an aggregate, which has no readings of its own, does not. */
const isNewer = '(excluded.ts_us > l.ts_us or excluded.ts_us = l.ts_us and excluded.readings > 0)'

interface Newest {
  readonly seriesId: number
  readonly readings: number
  readonly tsUs: number
  readonly value: number | null
  readonly text: string | null
  readonly quality: number
  readonly aggregates: number
}

function newestOfEach(stored: readonly SeriesSegments[], folded: readonly SeriesAggregateRows[]): Newest[] {
  const newest = new Map<number, Newest>()
  for (const { seriesId, segments } of stored) {
    newest.set(seriesId, {
      seriesId,
      readings: countReadings(segments),
      ...lastReading(segments.at(-1) as Segment),
      aggregates: 0,
    })
  }
  for (const { seriesId, aggregates } of folded) {
    const last = { seriesId, readings: 0, ...lastReadingOf(aggregates), text: null, quality: 0, aggregates: 0 }
    const known = newest.get(seriesId) ?? last
    const later = known.tsUs >= last.tsUs ? known : { ...last, readings: known.readings }
    newest.set(seriesId, { ...later, aggregates: known.aggregates + aggregates.length })
  }
  return [...newest.values()].sort((a, b) => a.seriesId - b.seriesId)
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
