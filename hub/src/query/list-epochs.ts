/**
 * What is here of each epoch of an agent, as runs of seqs. Plan: rows of `received` by their primary key, one for each start of the
 * agent.
 */
import type { Pool } from 'pg'
import { missingSeqs, seqsOnTheirWay } from './settled-seqs.ts'

/** First and last seq of each unbroken run. */
export type Runs = [number, number][]

export interface EpochRow {
  readonly epoch: number
  readonly floor: number
  readonly readings: number | null
  readonly received: Runs
  readonly lost: Runs
  readonly missing: Runs
  readonly onItsWay: Runs
}

export interface EpochFilter {
  readonly agentId: string
  readonly after?: number | undefined
  readonly limit: number
}

export async function listEpochs(pool: Pool, filter: EpochFilter): Promise<EpochRow[]> {
  const { rows } = await pool.query<EpochRow>(
    `select r.epoch, r.floor, r.readings, ${runs('r.seqs')} as received, ${runs('r.lost')} as lost,
            ${runs(missingSeqs('r'))} as missing, ${runs(seqsOnTheirWay('r'))} as "onItsWay"
       from received r join agent a using (agent_no)
      where r.consumer = 'store' and a.agent_id = $1 and ($2::int8 is null or r.epoch > $2)
      order by r.epoch
      limit $3`,
    [filter.agentId, filter.after ?? null, filter.limit],
  )
  return rows
}

function runs(seqs: string): string {
  return `(select coalesce(jsonb_agg(jsonb_build_array(lower(run), upper(run) - 1) order by lower(run)), '[]') from unnest(${seqs}) as run)`
}
