/** What a person does to a hub's data while it is down: copies it, puts an older copy back, cuts the tail off the event log. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { hubPool, type RunningHub, stopHub } from '../../harness/stack.ts'

/** A copy of the stopped database, as a backup has it; the hub runs again when it resolves. */
export async function backUp(hub: RunningHub, to: string): Promise<void> {
  await hub.program.stop()
  copyFolder(postgresData(hub), to)
  await hub.program.start()
}

/** The hub comes back with the database of then. */
export async function restore(hub: RunningHub, from: string): Promise<void> {
  await stopHub(hub)
  rmSync(postgresData(hub), { recursive: true })
  copyFolder(from, postgresData(hub))
  await hub.program.start()
}

/** With owners and times: Postgres runs as another account when the hub is root. */
export function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', '--', from, to])
}

function postgresData({ dataDir }: RunningHub): string {
  return join(dataDir, 'postgres', 'data')
}

/** Appends go on, consumers stand still: no position can be moved until it is let go. */
export async function holdConsumers(pool: pg.Pool): Promise<() => Promise<void>> {
  const client = await pool.connect()
  await client.query('begin')
  await client.query('lock table consumer_position in share mode')
  return async () => {
    await client.query('rollback')
    client.release()
  }
}

/**
 * The log loses its newest records, as one does whose last writes were never on a disk: in each partition everything that the store has
 * not consumed, and `consumed` records more. The hub is killed for it; its Postgres lives on. Returns how many records are gone.
 */
export async function cutLog(hub: RunningHub, consumed: number, letGo?: () => Promise<void>): Promise<number> {
  await hub.program.stop('SIGKILL')
  await letGo?.()
  const pool = hubPool(hub.dataDir)
  try {
    const { rows } = await pool.query<{ topic: string; partition: number; head: number }>(
      `update log_head h set next_offset = least(h.next_offset, greatest(0, p.next_offset - $1))
         from consumer_position p
        where p.consumer = 'store' and p.topic = h.topic and p.partition = h.partition
       returning h.topic, h.partition, h.next_offset as head`,
      [consumed],
    )
    let gone = 0
    for (const { topic, partition, head } of rows) {
      const { rowCount } = await pool.query(
        'delete from log_record where topic = $1 and partition = $2 and log_offset >= $3',
        [topic, partition, head],
      )
      gone += rowCount ?? 0
    }
    return gone
  } finally {
    await pool.end()
    await hub.program.start()
  }
}
