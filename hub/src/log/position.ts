/**
 * The position row of a consumer in one partition. Its owner token is new at every assignment; whoever held the old one can move
 * nothing any more.
 */
import type pg from 'pg'
import type { Database } from '../database/database.ts'

export interface Position {
  readonly consumer: string
  readonly topic: string
  readonly partition: number
}

export interface Place {
  readonly nextOffset: bigint
  /** Identity of the record before it; null when nothing was consumed. */
  readonly lastRecord: Buffer | null
}

/** Become the owner; the row is made at offset 0 when it is not there. */
export async function takePosition(database: Database, position: Position, owner: string): Promise<Place> {
  const { rows } = await database.pool.query<{ next: string; last_record: Buffer | null }>(
    `insert into consumer_position (consumer, topic, partition, owner) values ($1, $2, $3, $4)
     on conflict (consumer, topic, partition) do update set owner = $4
     returning next_offset::text as next, last_record`,
    [position.consumer, position.topic, position.partition, owner],
  )
  return { nextOffset: BigInt(rows[0]?.next ?? 0), lastRecord: rows[0]?.last_record ?? null }
}

/** Inside the effect's transaction. False when the owner or the offset is another one: nothing may be written then. */
export async function movePosition(
  tx: pg.PoolClient,
  position: Position,
  owner: string,
  expected: bigint,
  to: { readonly nextOffset: bigint; readonly lastRecord: Buffer },
): Promise<boolean> {
  const { rowCount } = await tx.query({
    name: 'move-position',
    text: `update consumer_position set next_offset = $6, last_record = $7, moved_at = now()
           where consumer = $1 and topic = $2 and partition = $3 and owner = $4 and next_offset = $5`,
    values: [
      position.consumer,
      position.topic,
      position.partition,
      owner,
      String(expected),
      String(to.nextOffset),
      to.lastRecord,
    ],
  })
  return rowCount === 1
}

/** Start over from `nextOffset`; what was consumed before is told by identity. */
export async function rewindPosition(
  database: Database,
  position: Position,
  owner: string,
  nextOffset: bigint,
): Promise<void> {
  await database.pool.query(
    `update consumer_position set next_offset = $5, last_record = null
     where consumer = $1 and topic = $2 and partition = $3 and owner = $4`,
    [position.consumer, position.topic, position.partition, owner, String(nextOffset)],
  )
}
