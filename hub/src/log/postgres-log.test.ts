import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { consuming, eventLogSuite, type LogUnderTest, RecordingConsumer, until } from './event-log.suite.ts'
import { topics } from './event-log.ts'
import { PostgresLog, type PostgresLogOptions, partitionOf } from './postgres-log.ts'

const topic = topics.batches

interface PostgresUnderTest extends LogUnderTest {
  readonly log: PostgresLog
  readonly database: Database
}

async function open(options: PostgresLogOptions = {}): Promise<PostgresUnderTest> {
  const database = await testDatabase({ connections: 8 })
  const settings = { partitions: 4, pollMs: 50, leaseMs: 500, ...options }
  const log = await PostgresLog.open(database, settings)
  return {
    database,
    log,
    another: () => PostgresLog.open(database, settings),
    truncate: async (partition, offset) => {
      await database.pool.query('delete from log_record where partition = $1 and log_offset < $2', [
        partition,
        String(offset),
      ])
    },
    [Symbol.asyncDispose]: async () => {
      await log.close()
      await database.close()
    },
  }
}

eventLogSuite('postgres', open)

const append = (log: PostgresLog, key: string, value: string) => log.append(topic, key, Buffer.from(value))

test('an append that commits late is not skipped: later appends wait for it, and are delivered after it', async () => {
  await using under = await open({ partitions: 1 })
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  await append(under.log, 'key', 'before')
  await until(() => consumer.seen.length === 1)
  const slow = await under.database.pool.connect()
  await slow.query('begin')
  await slow.query(`update log_head set next_offset = next_offset + 1 where topic = $1 and partition = 0`, [topic])
  await slow.query(
    `insert into log_record (topic, partition, log_offset, key, bytes) values ($1, 0, 1, 'key', 'slow')`,
    [topic],
  )
  let later = false
  const appended = append(under.log, 'key', 'later').then(() => {
    later = true
  })
  await until(async () => (await waiting(under.database)) > 0)
  expect(later).toBe(false)
  expect(consumer.seen.map(record => record.text)).toEqual(['before'])
  await slow.query('commit')
  slow.release()
  await appended
  await until(() => consumer.seen.length === 3)
  expect(consumer.seen.map(record => record.text)).toEqual(['before', 'slow', 'later'])
  await run.stop()
})

test('the same scene with offsets from a sequence loses the late record: why offsets come from the head row', async () => {
  await using database = await testDatabase({ empty: true })
  await database.pool.query('create table naive (log_offset bigserial primary key, value text)')
  const slow = await database.pool.connect()
  await slow.query('begin')
  await slow.query(`insert into naive (value) values ('slow')`)
  await database.pool.query(`insert into naive (value) values ('later')`)
  const seen: string[] = []
  let next = 1
  const poll = async () => {
    const { rows } = await database.pool.query<{ log_offset: number; value: string }>(
      'select * from naive where log_offset >= $1 order by log_offset',
      [next],
    )
    for (const row of rows) {
      seen.push(row.value)
      next = row.log_offset + 1
    }
  }
  await poll()
  await slow.query('commit')
  slow.release()
  await poll()
  expect(seen).toEqual(['later'])
})

test('concurrent appends share commits', async () => {
  await using under = await open({ partitions: 1 })
  const commits = async () =>
    Number((await under.database.pool.query(`select pg_current_xact_id()::text as id`)).rows[0].id)
  const before = await commits()
  await Promise.all(Array.from({ length: 500 }, (_, index) => append(under.log, 'key', String(index))))
  expect((await commits()) - before).toBeLessThan(20)
})

test('above its byte bound the log refuses with a time to wait, and takes appends again once everybody has passed', async () => {
  await using under = await open({ partitions: 1, maxBytes: 400_000, tableMs: 1000, retainMs: 3_600_000 })
  const value = Buffer.alloc(20_000, 7)
  const fill = async () => {
    for (;;) await under.log.append(topic, 'key', value)
  }
  await expect(fill()).rejects.toMatchObject({ code: 'unavailable', retryable: true, retryAfterS: 10 })
  await under.log.keepHouse()
  await expect(under.log.append(topic, 'key', value)).rejects.toMatchObject({ code: 'unavailable' })
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  await until(async () =>
    (await under.log.lag(topic, 'test')).every(
      ({ nextOffset, endOffset }) => endOffset > 0n && nextOffset === endOffset,
    ),
  )
  await under.log.keepHouse()
  const { offset } = await append(under.log, 'key', 'small')
  await until(() => consumer.seen.at(-1)?.offset === offset)
  await run.stop()
})

test('an append under way while its table is passed and dropped at the bound is not lost', async () => {
  await using under = await open({ partitions: 1, maxBytes: 1 })
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  await until(() => consumer.assignments.length === 1)
  const slow = await under.database.pool.connect()
  await slow.query('begin')
  await slow.query('update log_head set next_offset = next_offset + 1')
  await slow.query(
    `insert into log_record (topic, partition, log_offset, key, bytes) values ($1, 0, 0, 'key', 'slow')`,
    [topic],
  )
  const dropping = under.log.keepHouse()
  await until(async () => (await waiting(under.database)) > 0)
  await slow.query('commit')
  slow.release()
  await dropping
  await until(() => consumer.seen.length === 1)
  await run.stop()
})

test('a table goes only when every registered group has passed it, and the last record of each stays', async () => {
  await using under = await open({ partitions: 1, tableMs: 1000, retainMs: 0 })
  const fast = new RecordingConsumer()
  const slow = new RecordingConsumer()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  slow.before = () => released
  const runs = [consuming(under.log, fast, 'fast'), consuming(under.log, slow, 'slow')]
  await until(async () => (await registered(under.database)) === 2)
  const { offset } = await append(under.log, 'key', 'old')
  await sleep(2100)
  await append(under.log, 'key', 'new')
  await until(() => fast.seen.length === 2)
  await sleep(600)
  await under.log.keepHouse()
  expect(await under.log.read(topic, 0, offset)).not.toBe(null)
  release()
  await until(() => slow.seen.length === 2)
  await until(async () => {
    await under.log.keepHouse()
    return (await under.log.read(topic, 0, offset)) === null
  })
  expect(await under.log.read(topic, 0, offset + 1n)).not.toBe(null)
  await Promise.all(runs.map(run => run.stop()))
})

test('a member whose connection dies loses its partitions to the other one, and comes back', async () => {
  await using under = await open({ leaseMs: 60_000 })
  const errors: unknown[] = []
  const other = await PostgresLog.open(under.database, {
    pollMs: 50,
    leaseMs: 1000,
    onError: error => errors.push(error),
  })
  const mine = new RecordingConsumer()
  const run = consuming(other, mine)
  await until(() => mine.assignments.length === 4)
  await under.database.pool.query(`select pg_terminate_backend(backend_pid) from log_member`)
  await until(() => mine.assignments.length >= 8)
  await append(under.log, 'key', 'after')
  await until(() => mine.seen.length === 1)
  expect(errors.length).toBeGreaterThan(0)
  await run.stop()
  await other.close()
})

test('a member that does not renew its lease is replaced, and delivers nothing while its lease may have run out', async () => {
  await using under = await open({ leaseMs: 500 })
  const stuck = new pg.Client({ connectionString: under.database.connectionString })
  await stuck.connect()
  const member = '00000000-0000-4000-8000-000000000001'
  await stuck.query(
    `insert into log_member select $1, $2, 'test', pid, backend_start, now() + interval '1 s' from pg_stat_activity where pid = pg_backend_pid()`,
    [member, topic],
  )
  await stuck.query(
    `insert into log_lease (topic, consumer, partition, member) select $1, 'test', generate_series(0, 3), $2`,
    [topic, member],
  )
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  await until(() => consumer.assignments.length === 4)
  const { rows } = await under.database.pool.query('select count(*) as n from log_member_alive where member = $1', [
    member,
  ])
  expect(rows).toEqual([{ n: 0 }])
  await run.stop()
  const ended = once(stuck, 'end')
  await stuck.end()
  await ended
})

test('a topic that gets more partitions later has them consumed', async () => {
  await using under = await open({ partitions: 1 })
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  const wider = await PostgresLog.open(under.database, { partitions: 4 })
  for (let index = 0; index < 8; index++) await append(wider, `key ${index}`, String(index))
  await until(() => consumer.seen.length === 8)
  await run.stop()
  await wider.close()
})

test('keys spread over the partitions', () => {
  const counts = [0, 0, 0, 0]
  for (let index = 0; index < 4000; index++) counts[partitionOf(`ag-${index}`, 4)]! += 1
  for (const count of counts) expect(count).toBeGreaterThan(800)
})

async function waiting(database: Database): Promise<number> {
  const { rows } = await database.pool.query<{ n: number }>(
    `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows[0]?.n ?? 0
}

async function registered(database: Database): Promise<number> {
  const { rows } = await database.pool.query<{ n: number }>('select count(distinct consumer) as n from log_lease')
  return rows[0]?.n ?? 0
}
