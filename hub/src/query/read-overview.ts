/**
 * The fleet at a glance, in one round trip. Plan: agents, losses and open anomalies are small tables or partial indexes; what is
 * stored is a row a partition (`stored_count`, `stored_pace`), never a count of segments. Series are counted in their primary key.
 */
import type { Pool } from 'pg'
import { agentStatus } from './agent-status.ts'

export interface Overview {
  readonly agents: {
    /** The three below, and those that never sent anything. */
    readonly total: number
    readonly online: number
    readonly offline: number
    readonly revoked: number
  }
  readonly series: number
  readonly readings: number
  readonly readingsPerSecond: number
  readonly anomalies: { readonly open: number; readonly lastDay: number; readonly critical: number }
  readonly lost: number
}

/** Whole seconds before this one that the rate is taken over; fewer than `stored_pace` has slots. */
const paceSeconds = 5
const dayUs = 86_400_000_000

export async function readOverview(pool: Pool, nowMs: number): Promise<Overview> {
  const { rows } = await pool.query<Overview>(
    `select (select jsonb_build_object('total', count(*), 'online', count(*) filter (where status = 'online'),
                                       'offline', count(*) filter (where status = 'offline'),
                                       'revoked', count(*) filter (where status = 'revoked'))
               from (select ${agentStatus('a', '$1')} as status from agent a) standing) as agents,
            (select count(*) from series) as series,
            (select greatest(0, coalesce(sum(readings), 0))::int8 from stored_count) as readings,
            (select coalesce(sum(readings), 0)::float8 / $2
               from stored_pace, (select extract(epoch from clock_timestamp())::int8 as this) clock
              where second >= this - $2::int8 and second < this) as "readingsPerSecond",
            (select jsonb_build_object(
                      'open', count(*),
                      'lastDay', (select count(*) from anomaly where opened_us >= $1::int8 * 1000 - ${dayUs}),
                      'critical', count(*) filter (where severity = 'critical'))
               from anomaly where closed_us is null) as anomalies,
            (select coalesce(sum(readings), 0)::int8 from loss) as lost`,
    [nowMs, paceSeconds],
  )
  return rows[0]!
}
