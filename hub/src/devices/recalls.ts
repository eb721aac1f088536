/**
 * Recalls: somebody asks an agent for readings that it folded into aggregates or kept back, while it still has them.
 *
 * A recall is open, then sent (it stood in an answer to the agent), then done, or partly gone when the agent no longer had all. It is done
 * once the hub has stored the readings, because the agent tells it in a batch behind them.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'

/** Recalls of one agent that may be under way. */
export const maxOpenRecalls = 64

export const recallStates = ['open', 'sent', 'partly-gone', 'done'] as const

export interface RecallAsked {
  readonly agentId: string
  readonly device: string
  readonly metric: string
  /** Microseconds, inclusive. */
  readonly fromUs: number
  /** Microseconds, exclusive. */
  readonly toUs: number
  /** Id of the API key. */
  readonly requestedBy: string | null
}

export interface RecallRow {
  readonly recallId: number
  readonly agentId: string
  readonly device: string
  readonly metric: string
  readonly fromUs: number
  readonly toUs: number
  readonly state: (typeof recallStates)[number]
  readonly requestedAt: Date
  readonly requestedBy: string | null
  readonly sentAt: Date | null
  readonly doneAt: Date | null
  /** That the agent still had and sent; null before. */
  readonly readings: number | null
}

export interface RecallFilter {
  readonly agentId: string
  readonly state?: RecallRow['state'] | undefined
  readonly recallId?: number | undefined
  /** Only older ones. */
  readonly beforeId?: number | undefined
  readonly limit: number
}

const stateSql = `case when r.done_at is null then case when r.sent_at is null then 'open' else 'sent' end
                       when r.complete then 'done' else 'partly-gone' end`

/** Throws `not-found` for a series that the agent never sent, `agent-revoked`, `conflict` when too many are under way. */
export async function requestRecall(pool: Pool, asked: RecallAsked): Promise<RecallRow> {
  const { agentId, device, metric, fromUs, toUs, requestedBy } = asked
  const { rows } = await pool.query<{ agentNo: number; revoked: boolean; known: boolean; open: number }>(
    `select agent_no as "agentNo", revoked_at is not null as revoked,
            exists (select from series s where s.agent_no = a.agent_no and s.device = $2 and s.metric = $3) as known,
            (select count(*) from recall r where r.agent_no = a.agent_no and r.done_at is null) as open
       from agent a where agent_id = $1`,
    [agentId, device, metric],
  )
  const [agent] = rows
  if (agent === undefined) throw unknownAgent(agentId)
  if (agent.revoked)
    throw new TributaryError('agent-revoked', `agent ${agentId} was revoked; it is not answered any more`)
  if (!agent.known) {
    throw new TributaryError('not-found', `agent ${agentId} never sent a series ${device} ${metric}`, {
      hint: `List them: GET /v1/series?agent=${agentId}`,
    })
  }
  if (agent.open >= maxOpenRecalls) {
    throw new TributaryError(
      'conflict',
      `agent ${agentId} has ${agent.open} recalls under way, at most ${maxOpenRecalls}`,
      {
        hint: 'wait until some are done',
      },
    )
  }
  const { rows: made } = await pool.query<{ recall_id: number }>(
    `insert into recall (agent_no, device, metric, from_us, to_us, requested_by) values ($1, $2, $3, $4, $5, $6) returning recall_id`,
    [agent.agentNo, device, metric, fromUs, toUs, requestedBy],
  )
  return findRecall(pool, agentId, made[0]!.recall_id)
}

/** Newest first. Plan: `recall_agent` from its end. Throws `not-found` for an agent that is not there. */
export async function listRecalls(pool: Pool, filter: RecallFilter): Promise<RecallRow[]> {
  const { rows: agents } = await pool.query('select from agent where agent_id = $1', [filter.agentId])
  if (agents.length === 0) throw unknownAgent(filter.agentId)
  const { rows } = await pool.query<RecallRow>(
    `select * from (
       select r.recall_id as "recallId", a.agent_id as "agentId", r.device, r.metric, r.from_us as "fromUs", r.to_us as "toUs",
              ${stateSql} as state, r.requested_at as "requestedAt", r.requested_by as "requestedBy", r.sent_at as "sentAt",
              r.done_at as "doneAt", r.readings
         from recall r join agent a using (agent_no)
        where a.agent_id = $1 and ($2::int8 is null or r.recall_id = $2) and ($3::int8 is null or r.recall_id < $3)
     ) recalls
     where $4::text is null or state = $4
     order by "recallId" desc
     limit $5`,
    [filter.agentId, filter.recallId ?? null, filter.beforeId ?? null, filter.state ?? null, filter.limit],
  )
  return rows
}

export async function findRecall(pool: Pool, agentId: string, recallId: number): Promise<RecallRow> {
  const [row] = await listRecalls(pool, { agentId, recallId, limit: 1 })
  if (row === undefined) throw new TributaryError('not-found', `agent ${agentId} has no recall ${recallId}`)
  return row
}

function unknownAgent(agentId: string): TributaryError {
  return new TributaryError('not-found', `no agent ${agentId}`, { hint: 'List them: tributary-hub agents list' })
}
