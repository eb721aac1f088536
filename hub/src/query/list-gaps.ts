/**
 * What did not arrive, by agent and epoch: seqs that are neither stored nor in the agent's ledger, below its floor (`missing`: the
 * agent holds them no longer, they are lost without a word) or above (`on-its-way`: the agent still has them), and what the agent
 * itself reported as lost (`lost`).
 *
 * Plan: a row of `received` holds a whole epoch as a few ranges; an epoch without holes yields nothing. Both tables are small.
 */
import type { Pool } from 'pg'
import { missingSeqs, seqsOnTheirWay } from './settled-seqs.ts'

export const gapKinds = ['missing', 'on-its-way', 'lost'] as const
export type GapKind = (typeof gapKinds)[number]

export interface GapRow {
  readonly agentNo: number
  readonly agentId: string
  readonly epoch: number
  readonly kind: GapKind
  readonly fromSeq: number
  /** Inclusive. */
  readonly toSeq: number
  /** Of a reported loss. */
  readonly readings: number | null
  /** Whether `readings` is exact or an upper bound. */
  readonly exact: boolean | null
  readonly reason: string | null
}

export interface GapFilter {
  readonly agentId?: string | undefined
  /** agent_no, epoch, from_seq, kind and reason of the last one seen. */
  readonly after?: readonly [number, number, number, string, string] | undefined
  readonly limit: number
}

export async function listGaps(pool: Pool, filter: GapFilter): Promise<GapRow[]> {
  const { rows } = await pool.query<GapRow>(
    `with gap as (
       select agent_no, epoch, kind, lower(hole) as from_seq, upper(hole) - 1 as to_seq,
              null::int8 as readings, null::bool as exact, null::text as reason
         from received r
         cross join lateral (values ('missing', ${missingSeqs('r')}), ('on-its-way', ${seqsOnTheirWay('r')})) as found (kind, holes)
         cross join unnest(holes) as hole
        where consumer = 'store'
       union all
       select agent_no, epoch, 'lost', from_seq, to_seq, readings, exact, reason from loss
     )
     select agent_no as "agentNo", agent_id as "agentId", gap.epoch, kind, from_seq as "fromSeq", to_seq as "toSeq",
            readings, exact, reason
       from gap join agent using (agent_no)
      where ($1::text is null or agent_id = $1)
        and ($2::int is null or (agent_no, gap.epoch, from_seq, kind, coalesce(reason, '')) > ($2, $3::int8, $4::int8, $5::text, $6::text))
      order by agent_no, gap.epoch, from_seq, kind, coalesce(reason, '')
      limit $7`,
    [filter.agentId ?? null, ...(filter.after ?? [null, null, null, null, null]), filter.limit],
  )
  return rows
}
