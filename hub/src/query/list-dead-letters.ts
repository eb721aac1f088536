/** What was refused, the newest first. Plan: primary key backwards from the cursor. */
import type { Pool } from 'pg'

export interface DeadLetterRow {
  readonly deadLetterId: number
  readonly at: Date
  readonly agentId: string | null
  readonly stage: string
  readonly reason: string
  readonly epoch: number | null
  readonly seq: number | null
  readonly readings: number
  readonly detail: unknown
  /** Bytes kept to look at again. */
  readonly keptBytes: number
}

export interface DeadLetterFilter {
  readonly agentId?: string | undefined
  readonly stage?: string | undefined
  readonly reason?: string | undefined
  readonly beforeId?: number | undefined
  readonly limit: number
}

export async function listDeadLetters(pool: Pool, filter: DeadLetterFilter): Promise<DeadLetterRow[]> {
  const { rows } = await pool.query<DeadLetterRow>(
    `select d.dead_letter_id as "deadLetterId", d.at, a.agent_id as "agentId", d.stage, d.reason, d.epoch, d.seq, d.readings,
            d.detail, coalesce(octet_length(d.bytes), 0) as "keptBytes"
       from dead_letter d left join agent a using (agent_no)
      where ($1::int8 is null or d.dead_letter_id < $1)
        and ($2::text is null or a.agent_id = $2)
        and ($3::text is null or d.stage = $3)
        and ($4::text is null or d.reason = $4)
      order by d.dead_letter_id desc
      limit $5`,
    [filter.beforeId ?? null, filter.agentId ?? null, filter.stage ?? null, filter.reason ?? null, filter.limit],
  )
  return rows
}
