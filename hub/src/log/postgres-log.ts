/**
 * The event log as Postgres tables.
 *
 * - Offsets are given out by updating the partition's head row inside the appending transaction: offset order is commit order.
 * - Concurrent appends to a partition share one transaction; while it runs the next group forms.
 * - Consumers poll; NOTIFY only wakes them sooner. Partitions of a group are leased (log-membership.ts).
 * - `append` refuses with `unavailable` above `maxBytes`, as long as the slowest group holds the log.
 *
 * Needs a direct connection for each consumer (LISTEN), so not through a pooler in transaction mode.
 */
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import { fullJitterMs } from '@tributary/shared/retry'
import pg from 'pg'
import type { Database } from '../database/database.ts'
import { asUnavailable, isRetryableDatabaseError } from '../database/database-error.ts'
import type { ConsumeOptions, EventLog, LogConsumer, LogLag, LogRecord, Topic } from './event-log.ts'
import { GroupCommit } from './group-commit.ts'
import { LogMembership, notifyChannel } from './log-membership.ts'
import { consumePartition } from './partition-consumer.ts'
import { PostgresLogTables } from './postgres-log-tables.ts'
import { waitMs } from './wait.ts'

export interface PostgresLogOptions {
  /** Partitions a topic; may grow, and partitions above a lowered number are still consumed. Default 4. */
  readonly partitions?: number
  /** `append` refuses above this. Default 8 GiB. */
  readonly maxBytes?: number
  /** What every group has passed is kept this long. Default 1 h. */
  readonly retainMs?: number
  /** Time covered by one table: the step in which the log is dropped. Default 1 h. */
  readonly tableMs?: number
  /** Default 250. */
  readonly pollMs?: number
  /** A frozen consumer loses its partitions after this. Default 10,000. */
  readonly leaseMs?: number
  /** What goes wrong and is tried again. */
  readonly onError?: (error: unknown) => void
}

interface Appended {
  readonly key: string
  readonly bytes: Uint8Array
}

type AppendResult = { partition: number; offset: bigint }

const groupBounds = { items: 512, bytes: 8 * 1024 * 1024 } as const
/** A delivery ends with the record that passes this. */
const deliveryBytes = 8 * 1024 * 1024
const housekeepingMs = 5000
/** SQLSTATE check_violation: no table for this time yet. */
const noPartition = '23514'

export class PostgresLog implements EventLog {
  private readonly database: Database
  private readonly options: Required<PostgresLogOptions>
  private readonly tables: PostgresLogTables
  private readonly groups = new Map<string, GroupCommit<Appended, AppendResult>>()
  private readonly timer: NodeJS.Timeout
  private housekeeping: Promise<void> | null = null
  private readonly closing = new AbortController()
  private readonly consuming = new Set<Promise<void>>()

  private constructor(database: Database, options: Required<PostgresLogOptions>) {
    this.database = database
    this.options = options
    this.tables = new PostgresLogTables(database, options)
    this.timer = setInterval(() => void this.keepHouse(), housekeepingMs)
    this.timer.unref()
  }

  /** The database stays the caller's: close the log first. */
  static async open(database: Database, options: PostgresLogOptions = {}): Promise<PostgresLog> {
    const log = new PostgresLog(database, {
      partitions: 4,
      maxBytes: 8 * 1024 ** 3,
      retainMs: 3_600_000,
      tableMs: 3_600_000,
      pollMs: 250,
      leaseMs: 10_000,
      onError: () => undefined,
      ...options,
    })
    await log.tables.makeAhead()
    await log.tables.measure()
    return log
  }

  async append(topic: Topic, key: string, bytes: Uint8Array): Promise<AppendResult> {
    if (this.closing.signal.aborted) throw new TributaryError('unavailable', 'the event log is closed')
    if (this.tables.isFull) {
      throw new TributaryError(
        'unavailable',
        `the event log holds ${this.tables.sizeBytes} bytes, its bound is ${this.options.maxBytes}`,
        {
          retryAfterS: 10,
          hint: 'a consumer is slow or stopped; see the lag of its group',
        },
      )
    }
    const partition = partitionOf(key, this.options.partitions)
    const result = await this.group(topic, partition).add({ key, bytes }, bytes.length)
    this.tables.sizeBytes += bytes.length
    return result
  }

  async consume(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void> {
    await this.makeHeads(topic)
    const signal = AbortSignal.any([options.signal, this.closing.signal])
    const run = this.consumeUntil(topic, consumer, { ...options, signal })
    const settled = run.then(
      () => undefined,
      () => undefined,
    )
    this.consuming.add(settled)
    try {
      await run
    } finally {
      this.consuming.delete(settled)
    }
  }

  async read(topic: Topic, partition: number, offset: bigint): Promise<LogRecord | null> {
    const [record] = await this.readFrom(topic, partition, offset, 1)
    return record?.offset === offset ? record : null
  }

  async lag(topic: Topic, group: string): Promise<readonly LogLag[]> {
    const { rows } = await this.database.pool.query<{ partition: number; next: string; end: string }>(
      `select h.partition, coalesce(l.next_offset, 0)::text as next, h.next_offset::text as "end"
       from log_head h left join log_lease l on l.topic = h.topic and l.partition = h.partition and l.consumer = $2
       where h.topic = $1 order by h.partition`,
      [topic, group],
    )
    return rows.map(({ partition, next, end }) => ({ partition, nextOffset: BigInt(next), endOffset: BigInt(end) }))
  }

  /** A group that will not come back no longer holds the log. */
  async forgetGroup(topic: Topic, group: string): Promise<void> {
    await this.database.pool.query('delete from log_lease where topic = $1 and consumer = $2', [topic, group])
  }

  /** Make tables ahead, measure, drop what was passed. Runs by itself every 5 s. */
  async keepHouse(): Promise<void> {
    this.housekeeping ??= this.housekeepOnce().finally(() => {
      this.housekeeping = null
    })
    await this.housekeeping
  }

  async close(): Promise<void> {
    clearInterval(this.timer)
    this.closing.abort()
    await Promise.all([...this.groups.values()].map(group => group.idle()))
    await Promise.all(this.consuming)
    await this.housekeeping
  }

  private async housekeepOnce(): Promise<void> {
    try {
      await this.tables.makeAhead()
      await this.tables.measure()
      const dropped = await this.tables.dropPassed()
      if (dropped.length > 0) await this.tables.measure()
    } catch (error) {
      this.options.onError(error)
    }
  }

  private group(topic: Topic, partition: number): GroupCommit<Appended, AppendResult> {
    const name = `${topic}/${partition}`
    let group = this.groups.get(name)
    if (group === undefined) {
      group = new GroupCommit(items => this.writeGroup(topic, partition, items), groupBounds)
      this.groups.set(name, group)
    }
    return group
  }

  private async writeGroup(topic: Topic, partition: number, items: readonly Appended[]): Promise<AppendResult[]> {
    try {
      return await this.insertGroup(topic, partition, items)
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== noPartition) throw asUnavailable(error)
      await this.tables.makeAhead()
      return await this.insertGroup(topic, partition, items)
    }
  }

  /** One statement, so one transaction: head row, records, hint. The records travel as one binary value, cut by the server. */
  private async insertGroup(topic: Topic, partition: number, items: readonly Appended[]): Promise<AppendResult[]> {
    const { rows } = await this.database.pool.query<{ first: string }>({
      name: 'log-append',
      text: `with head as (
               insert into log_head (topic, partition, next_offset) values ($1, $2, $3)
               on conflict (topic, partition) do update set next_offset = log_head.next_offset + $3
               returning next_offset - $3 as first
             ), records as (
               insert into log_record (topic, partition, log_offset, key, bytes)
               select $1, $2, head.first + ord - 1, key, substring($6::bytea from start for length)
               from head, unnest($4::text[], $5::int[], $7::int[]) with ordinality as item (key, start, length, ord)
             )
             select first::text, pg_notify('${notifyChannel}', $1 || '/' || $2) from head`,
      values: [
        topic,
        partition,
        items.length,
        items.map(({ key }) => key),
        starts(items),
        Buffer.concat(items.map(({ bytes }) => bytes)),
        items.map(({ bytes }) => bytes.length),
      ],
    })
    const first = BigInt(rows[0]?.first ?? 0)
    return items.map((_, index) => ({ partition, offset: first + BigInt(index) }))
  }

  private async makeHeads(topic: Topic): Promise<void> {
    await this.database.pool.query(
      'insert into log_head (topic, partition) select $1, generate_series(0, $2::int - 1) on conflict do nothing',
      [topic, this.options.partitions],
    )
  }

  private async readFrom(topic: Topic, partition: number, offset: bigint, maxRecords: number): Promise<LogRecord[]> {
    const { rows } = await this.database.pool.query<{ log_offset: string; key: string; bytes: Buffer }>({
      name: 'log-read',
      text: `select log_offset::text, key, bytes
             from (
               select log_offset, key, bytes, sum(octet_length(bytes)) over (order by log_offset) - octet_length(bytes) as before
               from (
                 select log_offset, key, bytes from log_record
                 where topic = $1 and partition = $2 and log_offset >= $3
                 order by log_offset limit $4
               ) next
             ) sized
             where before < ${deliveryBytes}
             order by sized.log_offset`,
      values: [topic, partition, String(offset), maxRecords],
    })
    return rows.map(row => ({ partition, offset: BigInt(row.log_offset), key: row.key, bytes: row.bytes }))
  }

  /** The offset that the next append gets. */
  private async endOffset(topic: Topic, partition: number): Promise<bigint> {
    const { rows } = await this.database.pool.query<{ end: string }>(
      'select next_offset::text as "end" from log_head where topic = $1 and partition = $2',
      [topic, partition],
    )
    return BigInt(rows[0]?.end ?? 0)
  }

  /** Be a member of the group until the signal aborts; after a broken connection, become one again. */
  private async consumeUntil(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void> {
    for (let attempt = 0; !options.signal.aborted; attempt++) {
      try {
        await this.consumeAsMember(topic, consumer, options)
        attempt = 0
      } catch (error) {
        if (!isRetryableDatabaseError(error)) throw error
        this.options.onError(error)
      }
      if (!options.signal.aborted)
        await waitMs(50 + fullJitterMs({ baseMs: 100, capMs: 5000 }, attempt), options.signal)
    }
  }

  private async consumeAsMember(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void> {
    const running = new Map<number, { stop: () => Promise<void>; wake: () => void }>()
    const over = new AbortController()
    let failure: unknown
    const fail = (error: unknown) => {
      failure ??= error
      over.abort()
    }
    const membership = await LogMembership.join({
      connectionString: this.database.connectionString,
      topic,
      group: options.group,
      leaseMs: this.options.leaseMs,
      onNotify: partition => running.get(partition)?.wake(),
      onLost: error =>
        fail(
          new TributaryError('unavailable', `lost the connection of group ${options.group}: ${messageOf(error)}`, {
            cause: error,
          }),
        ),
    })
    const ended = AbortSignal.any([options.signal, over.signal])
    const stop = async (partition: number) => {
      await running.get(partition)?.stop()
      running.delete(partition)
    }
    const source = {
      read: (partition: number, offset: bigint) => this.readFrom(topic, partition, offset, options.maxRecords),
      endOffset: (partition: number) => this.endOffset(topic, partition),
      progress: (partition: number, nextOffset: bigint) => membership.progress(partition, nextOffset),
      mayDeliver: () => membership.fresh,
      onError: this.options.onError,
      pollMs: this.options.pollMs,
    }
    try {
      while (!ended.aborted) {
        const mine = await membership.heartbeat([...running.keys()], stop)
        for (const partition of mine) {
          if (!running.has(partition))
            running.set(partition, consumePartition(partition, consumer, source, ended, fail))
        }
        await waitMs(this.options.leaseMs / 5, ended)
      }
    } catch (error) {
      fail(error)
    } finally {
      over.abort()
      await Promise.all([...running.keys()].map(stop))
      await membership.leave().catch(error => this.options.onError(error))
    }
    if (failure !== undefined && !(isTributaryError(failure, 'aborted') && options.signal.aborted)) throw failure
  }
}

/** Where each item begins in the bytes of all; 1-based, as SQL's substring counts. */
function starts(items: readonly Appended[]): number[] {
  let next = 1
  return items.map(({ bytes }) => {
    const start = next
    next += bytes.length
    return start
  })
}

/** FNV-1a over the key's UTF-8. */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0) % partitions
}
