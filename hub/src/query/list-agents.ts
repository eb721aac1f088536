/**
 * Agents in the order of their enrolment, and how each stands. Plan: primary key from the cursor on; filters are checked on the way;
 * keys and losses by the agent's own index.
 */
import type { Pool } from 'pg'
import { type AgentStatus, agentStatus } from './agent-status.ts'
import { countSeqs, missingSeqs } from './settled-seqs.ts'

export interface AgentRow {
  readonly agentNo: number
  readonly agentId: string
  readonly site: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  readonly revokedAt: Date | null
  readonly lastSeenAt: Date | null
  /** Of the newest batch stored; null before the first. */
  readonly counters: Readonly<Record<string, unknown>> | null
  readonly bootId: string | null
  readonly epoch: number | null
  /** Keys that are valid now. */
  readonly keys: number
  readonly status: AgentStatus
  /** Newest event time stored; null before the first. */
  readonly lastReadingUs: number | null
  /** What it held for the hub when it sealed its newest batch, and the hub has not taken since; null before the first batch. */
  readonly backlogReadings: number | null
  /** What it reported as lost; upper bounds where the exact number cannot be known. */
  readonly lostReadings: number
  /** Neither here nor reported lost, and the agent holds them no longer. */
  readonly missingBatches: number
  /** Batches that came under an identity under which the hub has other contents, in the last 30 days. */
  readonly conflicts: number
}

export interface AgentFilter {
  readonly agentId?: string | undefined
  readonly site?: string | undefined
  readonly afterNo?: number | undefined
  readonly limit: number
  /** The hub's time. */
  readonly nowMs: number
}

export async function listAgents(pool: Pool, filter: AgentFilter): Promise<AgentRow[]> {
  const { rows } = await pool.query<AgentRow>(
    `select a.agent_no as "agentNo", a.agent_id as "agentId", a.site, a.name, a.labels, a.created_at as "createdAt",
            a.revoked_at as "revokedAt", a.last_seen_at as "lastSeenAt", a.counters, a.boot_id as "bootId", a.epoch,
            (select count(*)::int from agent_key k
              where k.agent_no = a.agent_no and (k.valid_until is null or k.valid_until > now())) as keys,
            ${agentStatus('a', '$5')} as status, a.last_reading_us as "lastReadingUs",
            case when a.counters is not null
                 then greatest(0, (a.counters ->> 'stored')::int8 - a.received_readings) end as "backlogReadings",
            (select coalesce(sum(l.readings), 0)::int8 from loss l where l.agent_no = a.agent_no) as "lostReadings",
            (select coalesce(sum(${countSeqs(missingSeqs('r'))}), 0)::int8 from received r
              where r.consumer = 'store' and r.agent_no = a.agent_no) as "missingBatches",
            (select count(*)::int from conflict c where c.agent_no = a.agent_no) as conflicts
       from agent a
      where a.agent_no > $1
        and ($2::text is null or a.agent_id = $2)
        and ($3::text is null or a.site = $3)
      order by a.agent_no
      limit $4`,
    [filter.afterNo ?? 0, filter.agentId ?? null, filter.site ?? null, filter.limit, filter.nowMs],
  )
  return rows
}
