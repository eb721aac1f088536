/** Series in the order of their first reading. Plan: primary key from the cursor on; with an agent, its unique index. */
import type { Pool } from 'pg'

export interface SeriesRow {
  readonly seriesId: number
  readonly agentId: string
  readonly site: string
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly createdAt: Date
}

export interface SeriesFilter {
  readonly agentId?: string | undefined
  readonly device?: string | undefined
  readonly metric?: string | undefined
  /** Somewhere in device or metric, ignoring case. */
  readonly text?: string | undefined
  readonly afterId?: number | undefined
  readonly limit: number
}

export async function listSeries(pool: Pool, filter: SeriesFilter): Promise<SeriesRow[]> {
  const { rows } = await pool.query<SeriesRow>(
    `select s.series_id as "seriesId", a.agent_id as "agentId", a.site, s.device, s.metric, s.unit, s.created_at as "createdAt"
       from series s join agent a using (agent_no)
      where s.series_id > $1
        and ($2::text is null or a.agent_id = $2)
        and ($3::text is null or s.device = $3)
        and ($4::text is null or s.metric = $4)
        and ($5::text is null or position(lower($5) in lower(s.device || ' ' || s.metric)) > 0)
      order by s.series_id
      limit $6`,
    [
      filter.afterId ?? 0,
      filter.agentId ?? null,
      filter.device ?? null,
      filter.metric ?? null,
      filter.text ?? null,
      filter.limit,
    ],
  )
  return rows
}

/** One series, or null. */
export async function findSeries(pool: Pool, seriesId: number): Promise<SeriesRow | null> {
  const rows = await listSeries(pool, { afterId: seriesId - 1, limit: 1 })
  return rows[0]?.seriesId === seriesId ? rows[0] : null
}
