/**
 * The books of each agent: what it says became of its readings, against what is here.
 *
 * Of its batches: those below its floor that are neither stored nor in its ledger are `missing`; those above are on their way, as
 * far as a later one came. Of its readings: `stored` of its newest header is what its buffer held for the hub or the hub had
 * acknowledged, so what is less than that here is on its way, with what the missing batches held. Three things make that number of
 * readings too small, never too large: readings sent twice after damage to the buffer (at most `maybeDuplicate`), a buffer that
 * began anew, and a batch that came although the agent had given it up, unless its ledger names it by itself.
 * What came last and vanished shows as on its way until the next batch of the same epoch raises the floor.
 *
 * Plan: primary key from the cursor on; a row of `received` for each start of the agent, a row of `loss` for each loss.
 */
import type { Pool } from 'pg'
import { type AgentStatus, agentStatus } from './agent-status.ts'
import { countSeqs, missingSeqs, seqsOnTheirWay } from './settled-seqs.ts'

export const verdicts = ['balanced', 'on-its-way', 'missing', 'never'] as const
/** `never`: nothing came of this agent. */
export type Verdict = (typeof verdicts)[number]

export interface BalanceRow {
  readonly agentNo: number
  readonly agentId: string
  readonly site: string
  readonly name: string
  readonly status: AgentStatus
  readonly lastSeenAt: Date | null
  /** Of its newest header. */
  readonly counters: Readonly<Record<string, unknown>> | null
  readonly receivedBatches: number
  /** Refused ones included; null where the count has no known beginning. */
  readonly receivedReadings: number | null
  /** Refused by the judge. */
  readonly rejectedReadings: number
  /** In its ledger as far as it has told. */
  readonly lostReadings: number
  readonly missingBatches: number
  readonly batchesOnTheirWay: number
  /** Not here, with what the missing batches held; null where `receivedReadings` is. */
  readonly readingsOnTheirWay: number | null
  /** In its ledger, by its counters, and not told yet. */
  readonly lossesToTell: number
  readonly verdict: Verdict
}

export interface BalanceFilter {
  readonly agentId?: string | undefined
  readonly site?: string | undefined
  readonly afterNo?: number | undefined
  readonly limit: number
  /** The hub's time. */
  readonly nowMs: number
}

export async function listBalances(pool: Pool, filter: BalanceFilter): Promise<BalanceRow[]> {
  const { rows } = await pool.query<BalanceRow>(
    `with books as (
       select a.agent_no, a.agent_id, a.site, a.name, ${agentStatus('a', '$5')} as status, a.last_seen_at, a.counters, came.*, losses.*,
              coalesce((select sum(d.readings) from dead_letter d
                         where d.agent_no = a.agent_no and d.stage = 'ingest'), 0)::int8 as rejected
         from agent a
        cross join lateral (
              select coalesce(sum(${countSeqs('r.seqs')}), 0)::int8 as batches,
                     case when bool_or(r.readings is null) then null else coalesce(sum(r.readings), 0)::int8 end as readings,
                     coalesce(sum(${countSeqs(missingSeqs('r'))}), 0)::int8 as missing,
                     coalesce(sum(${countSeqs(seqsOnTheirWay('r'))}), 0)::int8 as on_their_way
                from received r where r.consumer = 'store' and r.agent_no = a.agent_no) came
        cross join lateral (
              select coalesce(sum(l.readings), 0)::int8 as lost,
                     coalesce(sum(l.readings) filter (where l.from_seq <= l.to_seq and r.seqs @> int8range(l.from_seq, l.to_seq, '[]')), 0)::int8
                       as came_all_the_same
                from loss l left join received r
                  on r.consumer = 'store' and r.agent_no = l.agent_no and r.epoch = l.epoch
               where l.agent_no = a.agent_no) losses
        where a.agent_no > $1
          and ($2::text is null or a.agent_id = $2)
          and ($3::text is null or a.site = $3)
        order by a.agent_no
        limit $4
     ), counted as (
       select *, greatest(0, (counters ->> 'stored')::int8 - readings + came_all_the_same) as unstored,
              greatest(0, coalesce((counters ->> 'evicted')::int8, 0) - lost) as to_tell
         from books
     )
     select agent_no as "agentNo", agent_id as "agentId", site, name, status, last_seen_at as "lastSeenAt", counters,
            batches as "receivedBatches", readings as "receivedReadings", rejected as "rejectedReadings", lost as "lostReadings",
            missing as "missingBatches", on_their_way as "batchesOnTheirWay", unstored as "readingsOnTheirWay",
            to_tell as "lossesToTell",
            case when missing > 0 then 'missing'
                 when counters is null then 'never'
                 when on_their_way > 0 or unstored > 0 or to_tell > 0 then 'on-its-way'
                 else 'balanced' end as verdict
       from counted order by agent_no`,
    [filter.afterNo ?? 0, filter.agentId ?? null, filter.site ?? null, filter.limit, filter.nowMs],
  )
  return rows
}
