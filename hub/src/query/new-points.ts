/**
 * Readings of some series that were stored since the last look, whatever their event time.
 *
 * `series_latest.readings` counts what was stored of a series, in the transaction that stores it, so that the count and the segments of
 * one snapshot agree. The segments of a series get rising ids in the order of their commits, because its readings come through one
 * partition of the log, whose transactions come one after another; and whoever else stored of it would wait for its row of
 * `series_latest`. So what is new are the segments above the highest id seen: if their readings are as many as the count rose by.
 * Where they are not, it cannot be told what is new, and that is the answer: a merge has moved new readings into a segment of a lower
 * id (merging never makes a higher one, so that old readings are not taken for new), or they are older than `givenWithinMs`.
 *
 * Plan: a row of `series_latest` a series by primary key; segments of those whose count rose, by primary key in the tables of the last
 * days, where ids are compared within the index.
 */
import type { Pool } from 'pg'

/** How a series stood at the last look. */
export interface SeriesMark {
  readonly seriesId: number
  /** Stored until then. */
  readonly readings: number
  /** Highest id of its segments until then. */
  readonly segmentId: number
  /** Parts of aggregates stored until then. */
  readonly aggregates: number
}

export interface NewPoints {
  readonly mark: SeriesMark
  /** Numbers and booleans that are not bad, by time; null when it cannot be told which, when more than `maxPoints` came, or aggregates. */
  readonly points: { readonly tsMs: readonly number[]; readonly value: readonly number[] } | null
}

/** Of one series, between two looks. */
export const maxPoints = 1000
/** Late readings are looked for so far back. Older ones are counted, but not found. */
export const givenWithinMs = 8 * 86_400_000

/** How these series stand now; those that have no readings yet too. */
export async function markSeries(pool: Pool, seriesIds: readonly number[], nowMs: number): Promise<SeriesMark[]> {
  const { rows } = await pool.query<SeriesMark>(
    `select series_id as "seriesId", coalesce(l.readings, 0) as readings, coalesce(l.aggregates, 0) as aggregates,
            (select coalesce(max(g.segment_id), 0) from segment g where g.series_id = w.series_id and g.t0 >= $2) as "segmentId"
       from unnest($1::int[]) as w (series_id) left join series_latest l using (series_id)`,
    [seriesIds, new Date(nowMs - givenWithinMs)],
  )
  return rows
}

interface Row extends SeriesMark {
  readonly told: boolean
  readonly tsMs: number[] | null
  readonly value: number[] | null
}

/** Of the series that got readings or aggregates since their marks. */
export async function readNewPoints(pool: Pool, marks: readonly SeriesMark[], nowMs: number): Promise<NewPoints[]> {
  if (marks.length === 0) return []
  const { rows } = await pool.query<Row>(
    `select w.series_id as "seriesId", l.readings, l.aggregates, greatest(w.segment_id, found.segment_id) as "segmentId", told, points."tsMs", points.value
       from unnest($1::int[], $2::int8[], $3::int8[], $5::int8[]) as w (series_id, readings, segment_id, aggregates)
       join series_latest l on l.series_id = w.series_id and (l.readings > w.readings or l.aggregates > w.aggregates)
      cross join lateral (
        select sum(g.n) as readings, max(g.segment_id) as segment_id from segment g
         where g.series_id = w.series_id and g.t0 >= $4 and g.segment_id > w.segment_id
      ) found
      cross join lateral (
        select l.aggregates = w.aggregates and found.readings is not null and found.readings = l.readings - w.readings and found.readings <= ${maxPoints} as told
      ) judged
       left join lateral (
        select array_agg(us / 1000.0::float8 order by us, segment_id, i) as "tsMs", array_agg(v order by us, segment_id, i) as value
          from (
            select (extract(epoch from g.t0) * 1000000)::int8 + coalesce(p.dt, p.i - 1) * g.tick_us as us, g.segment_id, p.i, p.v
              from segment g cross join lateral unnest(g.v, g.dt, g.q) with ordinality as p (v, dt, q, i)
             where g.series_id = w.series_id and g.t0 >= $4 and g.segment_id > w.segment_id
               and p.v is not null and coalesce(p.q, 0) < 2
          ) point
      ) points on told`,
    [
      marks.map(({ seriesId }) => seriesId),
      marks.map(({ readings }) => readings),
      marks.map(({ segmentId }) => segmentId),
      new Date(nowMs - givenWithinMs),
      marks.map(({ aggregates }) => aggregates),
    ],
  )
  return rows.map(({ told, tsMs, value, ...mark }) => ({
    mark,
    points: told ? { tsMs: tsMs ?? [], value: value ?? [] } : null,
  }))
}
