/** Figures of a running hub and agent, as anybody could ask for them. A program that is down for the moment gives null. */
import type { Pool } from 'pg'
import { agentStatus, hubMetric } from '../test/harness/drain.ts'
import type { RunningAgent, RunningHub } from '../test/harness/stack.ts'
import type { Alert } from './known-failures.ts'

export interface Progress {
  readonly stored: number
  readonly backlog: number | null
  readonly bytesPerReading: number | null
  readonly alerts: number
}

export async function readProgress(hub: RunningHub, agent: RunningAgent, pool: Pool): Promise<Progress> {
  const [counts, status, bytes] = await Promise.all([
    pool.query<{ stored: string; alerts: string }>(
      'select (select coalesce(sum(n), 0) from segment)::text as stored, (select count(*) from anomaly)::text as alerts',
    ),
    agentStatus(agent).catch(() => null),
    bytesPerReading(hub),
  ])
  const { stored, alerts } = counts.rows[0]!
  return {
    stored: Number(stored),
    alerts: Number(alerts),
    backlog: status?.buffer.backlogReadings ?? null,
    bytesPerReading: bytes,
  }
}

/** Id of a series by which the hub and its page know it; null before its first reading is stored. */
export async function findSeriesId(pool: Pool, device: string, metric: string): Promise<number | null> {
  const found = await pool.query<{ id: number }>(
    'select series_id as id from series where device = $1 and metric = $2',
    [device, metric],
  )
  return found.rows[0]?.id ?? null
}

/** Bytes of all batches that came in, repeats included, by the readings in them, repeats left out. */
export async function bytesPerReading(hub: RunningHub): Promise<number | null> {
  const text = await (await fetch(`${hub.url}/metrics`)).text()
  const bytes = hubMetric(text, 'tributary_ingest_bytes_total')
  const readings = hubMetric(text, 'tributary_ingest_readings_total')
  return bytes === null || !readings ? null : Math.round((bytes / readings) * 100) / 100
}

/** Every alert, by GET /v1/anomalies. */
export async function listAlerts(hub: RunningHub): Promise<Alert[]> {
  const alerts: Alert[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const url = `${hub.url}/v1/anomalies?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const answer = await fetch(url, { headers: { authorization: `Bearer ${hub.adminKey}` } })
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
    const page = (await answer.json()) as { items: Named[]; next: string | null }
    for (const { device, metric, openedAt, learning } of page.items)
      alerts.push({ device, metric, openedUs: Date.parse(openedAt) * 1000, learning })
    cursor = page.next
  }
  return alerts
}

interface Named {
  readonly device: string
  readonly metric: string
  readonly openedAt: string
  readonly learning: boolean
}
