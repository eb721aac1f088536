/**
 * How many readings are stored, and how many came in each of the last seconds, without counting segments. A row a partition of the
 * event log, and a ring of seconds beside it: consumers of different partitions never wait for each other.
 */
import type { PoolClient } from 'pg'

/** Slots of the ring; a rate is taken over fewer seconds than that. */
const slots = 16

/** In the transaction that stores them. */
export async function countStored(tx: PoolClient, partition: number, readings: number): Promise<void> {
  if (readings === 0) return
  await tx.query({
    name: 'count-stored',
    text: `with total as (
             insert into stored_count as c (partition, readings) values ($1, $2)
             on conflict (partition) do update set readings = c.readings + excluded.readings
           )
           insert into stored_pace as p (partition, slot, second, readings)
           select $1, second % ${slots}, second, $2 from (select extract(epoch from clock_timestamp())::int8 as second) now
           on conflict (partition, slot) do update set
             readings = excluded.readings + case when p.second = excluded.second then p.readings else 0 end,
             second = excluded.second`,
    values: [partition, readings],
  })
}

/** Row of `stored_count` that retention takes from. */
export const retentionPartition = -1
