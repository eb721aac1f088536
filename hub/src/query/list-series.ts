/**
 * Series in the order of their first reading. Plan: primary key from the cursor on; with an agent, its unique index; the newest reading
 * is a row of `series_latest` by its primary key (`offset 0` keeps the planner from merging with that table from its first row on),
 * open anomalies are counted in their partial index, both for the page alone.
 */
import type { Pool } from 'pg'

export interface SeriesRow {
  readonly seriesId: number
  readonly agentId: string
  readonly site: string
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly createdAt: Date
  /** Of the reading with the newest event time; null before the first. */
  readonly latestUs: number | null
  readonly latestValue: number | null
  readonly latestText: string | null
  readonly latestQuality: number | null
  /** Anomalies not closed yet. */
  readonly openAnomalies: number
}

export interface SeriesFilter {
  readonly agentId?: string | undefined
  readonly device?: string | undefined
  readonly metric?: string | undefined
  /** Somewhere in device or metric, ignoring case. */
  readonly text?: string | undefined
  readonly seriesIds?: readonly number[] | undefined
  readonly afterId?: number | undefined
  readonly limit: number
}

export async function listSeries(pool: Pool, filter: SeriesFilter): Promise<SeriesRow[]> {
  const { rows } = await pool.query<SeriesRow>(listSeriesSql(filter))
  return rows
}

/** Apart, so that its plan can be looked at. */
export function listSeriesSql(filter: SeriesFilter): { readonly text: string; readonly values: unknown[] } {
  return {
    text: `select s.series_id as "seriesId", a.agent_id as "agentId", a.site, s.device, s.metric, s.unit, s.created_at as "createdAt",
            l.ts_us as "latestUs", l.value as "latestValue", l.text as "latestText", l.quality as "latestQuality",
            (select count(*) from anomaly n where n.series_id = s.series_id and n.closed_us is null) as "openAnomalies"
       from series s join agent a using (agent_no)
       left join lateral (select * from series_latest where series_id = s.series_id offset 0) l on true
      where s.series_id > $1
        and ($2::text is null or a.agent_id = $2)
        and ($3::text is null or s.device = $3)
        and ($4::text is null or s.metric = $4)
        and ($7::int[] is null or s.series_id = any($7))
        and ($5::text is null or position(lower($5) in lower(s.device || ' ' || s.metric)) > 0)
      order by s.series_id
      limit $6`,
    values: [
      filter.afterId ?? 0,
      filter.agentId ?? null,
      filter.device ?? null,
      filter.metric ?? null,
      filter.text ?? null,
      filter.limit,
      filter.seriesIds ?? null,
    ],
  }
}

/** One series, or null. */
export async function findSeries(pool: Pool, seriesId: number): Promise<SeriesRow | null> {
  const rows = await listSeries(pool, { afterId: seriesId - 1, limit: 1 })
  return rows[0]?.seriesId === seriesId ? rows[0] : null
}
