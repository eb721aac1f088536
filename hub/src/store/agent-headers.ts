/**
 * What the agents' newest batches say of the agents: the row `agent` follows their headers, and counts what was received, in the
 * transaction of the readings.
 *
 * The newest header of an agent is the one sealed last: within an epoch the highest seq; of another epoch the one that had accepted
 * more, or, where a gateway's buffer began anew, the one with the later clock. A batch that comes late never turns the row back.
 *
 * `counters.stored − received_readings` is what the agent held for the hub when it sealed that batch: `stored` counts what its buffer
 * holds or the hub acknowledged, less every loss in its ledger (agent/src/buffer/state.ts), and what was received stands in batches
 * sealed before. Two things make the difference too small, never too large: a batch that the hub took and whose copy the agent then
 * lost before it heard so, and an upper bound in its ledger. Once the agent has drained the difference would be negative, and
 * `received_readings` is set back to `stored`: from then on it is exact again. So it is when the count has no known beginning: a
 * buffer that began anew, and agents that were there before this was counted, start as if they had drained.
 */
import type { BatchHeader } from '@tributary/shared/batch/batch'
import type { PoolClient } from 'pg'
import type { JudgedBatch } from '../log/effect.ts'
import { lastReadingOf, type SeriesAggregateRows } from './aggregates.ts'
import type { SeriesSegments } from './series-latest.ts'

interface AgentNews {
  newest: BatchHeader
  seenMs: number
  received: number
  lastReadingUs: number | null
}

export async function updateAgents(
  tx: PoolClient,
  batches: readonly JudgedBatch[],
  stored: readonly SeriesSegments[],
  folded: readonly SeriesAggregateRows[],
): Promise<void> {
  const news = [...gatherNews(batches, stored, folded)].sort(([a], [b]) => a - b)
  const column = <T>(of: (news: AgentNews) => T) => news.map(([, one]) => of(one))
  await tx.query({
    name: 'update-agents',
    text: `update agent a
           set last_seen_at = greatest(a.last_seen_at, 'epoch'::timestamptz + h.seen_ms * interval '1 ms'),
               last_reading_us = greatest(a.last_reading_us, h.last_reading_us),
               counters = case when ${headerIsNewer} then h.counters else a.counters end,
               boot_id = case when ${headerIsNewer} then h.boot_id else a.boot_id end,
               epoch = case when ${headerIsNewer} then h.epoch else a.epoch end,
               header_seq = case when ${headerIsNewer} then h.seq else a.header_seq end,
               header_wall_us = case when ${headerIsNewer} then h.wall_us else a.header_wall_us end,
               received_readings = case
                 when not ${headerIsNewer} then least(a.received_readings + h.received, ${storedOf('a')})
                 when ${acceptedOf('h')} < ${acceptedOf('a')} then ${storedOf('h')}
                 else least(a.received_readings + h.received, ${storedOf('h')})
               end
           from unnest($1::int[], $2::int8[], $3::jsonb[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[])
                  as h (agent_no, seen_ms, counters, boot_id, epoch, seq, wall_us, received, last_reading_us)
           where a.agent_no = h.agent_no`,
    values: [
      news.map(([agentNo]) => agentNo),
      column(({ seenMs }) => seenMs),
      column(({ newest }) => JSON.stringify(newest.counters)),
      column(({ newest }) => newest.bootId),
      column(({ newest }) => newest.epoch),
      column(({ newest }) => newest.seq),
      column(({ newest }) => newest.wallUs),
      column(({ received }) => received),
      column(({ lastReadingUs }) => lastReadingUs),
    ],
  })
}

/** Batches that are taken without being applied are received all the same. */
export async function countReceived(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
  await tx.query(
    `update agent a set received_readings = a.received_readings + h.received
       from (select agent_no, sum(received)::int8 as received from unnest($1::int8[], $2::int8[]) as h (agent_no, received) group by 1) h
      where a.agent_no = h.agent_no`,
    [batches.map(({ envelope }) => envelope.agentNo), batches.map(readingsIn)],
  )
}

const acceptedOf = (row: 'a' | 'h') => `(${row}.counters ->> 'accepted')::int8`
const storedOf = (row: 'a' | 'h') => `(${row}.counters ->> 'stored')::int8`

/** As `isNewer`, on rows. */
const headerIsNewer = `(a.counters is null or case when h.epoch = a.epoch then h.seq > coalesce(a.header_seq, 0)
                         else ${acceptedOf('h')} > ${acceptedOf('a')} or h.wall_us > coalesce(a.header_wall_us, 0) end)`

function isNewer(header: BatchHeader, than: BatchHeader): boolean {
  if (header.epoch === than.epoch) return header.seq > than.seq
  return header.counters.accepted > than.counters.accepted || header.wallUs > than.wallUs
}

/** By agent_no. */
function gatherNews(
  batches: readonly JudgedBatch[],
  stored: readonly SeriesSegments[],
  folded: readonly SeriesAggregateRows[],
): Map<number, AgentNews> {
  const all = new Map<number, AgentNews>()
  for (const judged of batches) {
    const { header } = judged.batch
    const { agentNo, receivedAtMs: seenMs } = judged.envelope
    const known = all.get(agentNo)
    const received = (known?.received ?? 0) + readingsIn(judged)
    const newest = known === undefined || isNewer(header, known.newest) ? header : known.newest
    all.set(agentNo, { newest, seenMs: Math.max(seenMs, known?.seenMs ?? 0), received, lastReadingUs: null })
  }
  for (const { agentNo, segments } of stored) {
    const of = all.get(agentNo)
    if (of)
      of.lastReadingUs = segments.reduce((newest, { t1Us }) => Math.max(newest, t1Us), of.lastReadingUs ?? -Infinity)
  }
  for (const { agentNo, aggregates } of folded) {
    const of = all.get(agentNo)
    if (of) of.lastReadingUs = Math.max(of.lastReadingUs ?? -Infinity, lastReadingOf(aggregates).tsUs)
  }
  return all
}

/** Those that were rejected count too: the agent holds them no longer. */
function readingsIn({ batch }: JudgedBatch): number {
  return batch.columns.reduce((sum, { tsUs }) => sum + tsUs.length, 0)
}
