/**
 * Recalls that a batch tells as done are closed in the transaction of its readings: once, by the first batch that tells it, and only for
 * the agent that was asked.
 */
import type { PoolClient } from 'pg'
import type { JudgedBatch } from '../log/effect.ts'

/** Plan: primary key, a row each. */
export async function closeRecalls(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
  const told = batches.flatMap(({ envelope: { agentNo, receivedAtMs }, batch }) =>
    batch.header.recallsDone.map(done => ({ agentNo, receivedAtMs, ...done })),
  )
  if (told.length === 0) return
  await tx.query({
    name: 'close-recalls',
    text: `update recall r
           set done_at = 'epoch'::timestamptz + d.received_ms * interval '1 ms', readings = d.readings, complete = d.complete,
               sent_at = coalesce(r.sent_at, 'epoch'::timestamptz + d.received_ms * interval '1 ms')
           from (select distinct on (recall_id, agent_no) *
                 from unnest($1::int[], $2::int8[], $3::int8[], $4::int8[], $5::bool[]) with ordinality
                      as told (agent_no, recall_id, received_ms, readings, complete, place)
                 order by recall_id, agent_no, place) d
           where r.recall_id = d.recall_id and r.agent_no = d.agent_no and r.done_at is null`,
    values: [
      told.map(({ agentNo }) => agentNo),
      told.map(({ id }) => id),
      told.map(({ receivedAtMs }) => receivedAtMs),
      told.map(({ readings }) => readings),
      told.map(({ complete }) => complete),
    ],
  })
}
