/**
 * The tables of the Postgres event log: made ahead of time, measured, and dropped when every group has passed them.
 *
 * A table covers `tableMs` of time. It is dropped when its time ended `retainMs` ago and every registered group is past its last
 * record; the record before a group's position is kept, because the consumer compares it on assignment. At the byte bound neither
 * is waited for: any table that every group has passed goes, so that a full log frees itself (a consumer that misses its last
 * record then reads from the log's start, which is its position). A group that is registered and no longer runs holds the log
 * until `forgetGroup`, or until the bound makes `append` refuse.
 */
import type pg from 'pg'
import type { Database } from '../database/database.ts'
import { isRetryableDatabaseError } from '../database/database-error.ts'
import { dropPartition, listPartitions, makePartition } from '../database/partitions.ts'

export interface LogTableOptions {
  readonly tableMs: number
  readonly retainMs: number
  readonly maxBytes: number
}

export class PostgresLogTables {
  private readonly database: Database
  private readonly options: LogTableOptions
  /** As last measured, plus what this process appended since. */
  sizeBytes = 0

  constructor(database: Database, options: LogTableOptions) {
    this.database = database
    this.options = options
  }

  get isFull(): boolean {
    return this.sizeBytes > this.options.maxBytes
  }

  /** The tables of now and of the next interval, by the database's clock. */
  async makeAhead(): Promise<void> {
    const { rows } = await this.database.pool.query<{ now: Date }>('select now() as now')
    const now = rows[0]?.now.getTime() ?? Date.now()
    const { tableMs } = this.options
    for (const start of [0, 1].map(ahead => (Math.floor(now / tableMs) + ahead) * tableMs)) {
      const name = `log_record_${new Date(start).toISOString().replace(/\D/g, '').slice(0, 14)}`
      await makePartition(this.database, 'log_record', { name, from: new Date(start), to: new Date(start + tableMs) })
    }
  }

  async measure(): Promise<void> {
    const { rows } = await this.database.pool.query<{ bytes: number }>(
      `select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::int8 as bytes from pg_inherits where inhparent = 'log_record'::regclass`,
    )
    this.sizeBytes = rows[0]?.bytes ?? 0
  }

  /** Returns the names dropped. */
  async dropPassed(): Promise<string[]> {
    const { pool } = this.database
    const dropped: string[] = []
    const { rows } = await pool.query<{ now: Date }>('select now() as now')
    const before = this.isFull
      ? Number.POSITIVE_INFINITY
      : (rows[0]?.now.getTime() ?? Date.now()) - this.options.retainMs
    const keepLast = !this.isFull
    for (const { name, to } of await listPartitions(this.database, 'log_record')) {
      if (to.getTime() > before || !(await isPassed(pool, name, keepLast))) continue
      try {
        // Asked again under the lock: an append that had not committed before counts now.
        if (await dropPartition(this.database, 'log_record', name, tx => isPassed(tx, name, keepLast)))
          dropped.push(name)
      } catch (error) {
        if (!isRetryableDatabaseError(error)) throw error // busy readers: the next round tries again
      }
    }
    return dropped
  }
}

/** Whether every registered group is past the table's last records. An empty table is passed. */
async function isPassed(db: pg.Pool | pg.PoolClient, table: string, keepLast: boolean): Promise<boolean> {
  const { rows } = await db.query<{ needed: boolean }>(
    `with held as (select topic, partition, max(log_offset) as last from ${table} group by topic, partition),
          groups as (select distinct topic, consumer from log_lease)
     select exists (
       select from held
       left join groups on groups.topic = held.topic
       left join log_lease l on l.topic = held.topic and l.consumer = groups.consumer and l.partition = held.partition
       where coalesce(l.next_offset, 0) - $1 <= held.last
     ) as needed`,
    [keepLast ? 1 : 0],
  )
  return rows[0]?.needed === false
}
