/** Anomalies, the newest first. Plan: `anomaly_time` backwards; with a series, `anomaly_series_time`. */
import type { Pool } from 'pg'

export interface AnomalyRow {
  readonly anomalyId: string
  readonly seriesId: number
  readonly agentId: string
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly detector: string
  readonly openedUs: number
  readonly closedUs: number | null
  readonly surprise: number
  readonly score: number
  readonly severity: 'warning' | 'critical'
  readonly stream: string
  readonly value: number | null
  readonly expected: number | null
  readonly seenBefore: number
  readonly learning: boolean
  readonly historic: boolean
}

export interface AnomalyFilter {
  readonly agentId?: string | undefined
  readonly seriesId?: number | undefined
  readonly severity?: string | undefined
  /** Not closed yet. */
  readonly open?: boolean | undefined
  readonly fromMs?: number | undefined
  /** From `fromMs` on also those that opened before it and had not closed by then. */
  readonly underWay?: boolean | undefined
  /** Exclusive. */
  readonly toMs?: number | undefined
  /** opened_us and id of the last one seen. */
  readonly after?: readonly [number, string] | undefined
  readonly limit: number
}

/** Rows of `AnomalyRow`; the anomaly is `n`. */
export const selectAnomalies = `
     select n.anomaly_id as "anomalyId", n.series_id as "seriesId", a.agent_id as "agentId", s.device, s.metric, s.unit,
            n.detector, n.opened_us as "openedUs", n.closed_us as "closedUs", n.surprise, n.score, n.severity, n.stream,
            n.value, n.expected, n.seen_before as "seenBefore", n.learning, n.historic
       from anomaly n join series s using (series_id) join agent a using (agent_no)`

export async function listAnomalies(pool: Pool, filter: AnomalyFilter): Promise<AnomalyRow[]> {
  const { rows } = await pool.query<AnomalyRow>(
    `${selectAnomalies}
      where ($1::text is null or a.agent_id = $1)
        and ($2::int is null or n.series_id = $2)
        and ($3::text is null or n.severity = $3)
        and ($4::bool is null or (n.closed_us is null) = $4)
        and ($5::int8 is null or n.opened_us >= $5 or $10 and coalesce(n.closed_us >= $5, true))
        and ($6::int8 is null or n.opened_us < $6)
        and ($7::int8 is null or (n.opened_us, n.anomaly_id) < ($7, $8::uuid))
      order by n.opened_us desc, n.anomaly_id desc
      limit $9`,
    [
      filter.agentId ?? null,
      filter.seriesId ?? null,
      filter.severity ?? null,
      filter.open ?? null,
      filter.fromMs === undefined ? null : filter.fromMs * 1000,
      filter.toMs === undefined ? null : filter.toMs * 1000,
      filter.after?.[0] ?? null,
      filter.after?.[1] ?? null,
      filter.limit,
      filter.underWay ?? false,
    ],
  )
  return rows
}
