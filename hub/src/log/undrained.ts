/**
 * Moving from the log in Postgres to Kafka: what consumers have not read there yet would never be read. Refused, with what to do.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Database } from '../database/database.ts'

/** Throws `conflict` when a group has not come to the end of the log in Postgres. */
export async function refuseUndrained(database: Database): Promise<void> {
  const { rows } = await database.pool.query<{ consumer: string; behind: number }>(
    `select l.consumer, sum(h.next_offset - l.next_offset)::int8 as behind
     from log_head h join log_lease l using (topic, partition)
     group by l.consumer having sum(h.next_offset - l.next_offset) > 0 order by l.consumer`,
  )
  if (rows.length === 0) return
  const behind = rows.map(row => `${row.consumer} ${row.behind}`).join(', ')
  throw new TributaryError('conflict', `the event log in Postgres holds records that are not done yet: ${behind}`, {
    hint: 'Start the hub once more without the section `kafka`, until tributary_log_lag_records is 0, and stop it',
  })
}
