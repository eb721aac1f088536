// What the store keeps beside the readings: the newest of each series, and how many there are.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { migrate, readMigrations } from '../database/migrate.ts'
import { listPartitions } from '../database/partitions.ts'
import { testDatabase } from '../database/test-database.ts'
import { column, makeAgents, makeBatch } from '../log/test-batches.ts'
import { readOverview } from '../query/read-overview.ts'
import { mergeTable, minRun } from './merge-segments.ts'
import { applyRetention } from './retention.ts'
import { StoreEffect } from './store-effect.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const startUs = nowMs * 1000
const dayUs = 86_400_000_000

let database: Database
let effect: StoreEffect
let seq = 0

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database)
  effect = new StoreEffect({ database, now: () => nowMs })
})
afterEach(() => database.close())

interface Given {
  readonly metric: string
  readonly us: number
  readonly value: Value
  readonly quality: number
}

/** One transaction. */
async function store(readings: readonly Given[], partition = 0): Promise<void> {
  const columns = [...Map.groupBy(readings, ({ metric }) => metric)].map(([metric, of]) =>
    column(
      metric,
      of.map(({ us }) => us),
      of.map(({ value }) => value),
      of.map(({ quality }) => quality),
    ),
  )
  seq += 1
  const envelope = {
    receivedAtMs: nowMs,
    agentNo: 1,
    lane: 'live' as const,
    floor: 1,
    ruleVersion: 1,
    rejected: new Map(),
    digest: new Uint8Array(32),
    batch: new Uint8Array(),
  }
  const batch = makeBatch({ agentNo: 1, seq, columns })
  const judged = [{ partition, offset: BigInt(seq), envelope, batch }]
  await database.transaction(tx => effect.apply(tx, judged))
  effect.committed(judged)
}

const reading = (us: number, value: Value = 1, metric = 'temp', quality = 0): Given => ({ metric, us, value, quality })

async function latest() {
  const { rows } = await database.pool.query(
    `select metric, ts_us, value, text, quality, readings from series_latest join series using (series_id) order by metric`,
  )
  return rows
}

/** The same, from the segments. */
async function latestOfSegments() {
  const { rows } = await database.pool.query(
    `select distinct on (metric) metric, (extract(epoch from ts) * 1000000)::int8 as ts_us, value, text, quality,
            count(*) over (partition by metric) as readings
       from series, lateral readings(series_id, '2000-01-01', '2100-01-01') with ordinality
      order by metric, ordinality desc`,
  )
  return rows
}

const storedCount = async () => (await readOverview(database.pool, nowMs)).readings

describe('the newest reading of a series', () => {
  const given = fc.record({
    metric: fc.constantFrom('a', 'b'),
    us: fc.integer({ min: 0, max: 30 }).map(step => startUs + step * 7_200_000_000),
    value: fc.oneof(fc.constantFrom<Value>(1.5, 5e-324, true, false, '', 'on'), fc.double({ noNaN: true, min: 1 })),
    quality: fc.constantFrom(0, 1, 2),
  })

  test('is that of the newest time, and of several the one that came last, in whatever order they come', async () => {
    const transactions = fc.array(fc.array(given, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(transactions, async all => {
        await database.pool.query('truncate series_latest, segment')
        for (const readings of all) await store(readings)
        expect(await latest()).toEqual(await latestOfSegments())
      }),
      { numRuns: 30 },
    )
  })

  test('a transaction that is rolled back leaves it as it was', async () => {
    await store([reading(startUs, 1)])
    const batch = makeBatch({ agentNo: 1, seq: 99, columns: [column('temp', [startUs + 1], [2])] })
    const judged = { partition: 0, offset: 9n, batch, envelope: { agentNo: 1, receivedAtMs: 0, rejected: new Map() } }
    const undone = database.transaction(async tx => {
      await effect.apply(tx, [judged as never])
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await latest()).toMatchObject([{ value: 1, readings: 1 }])
    expect(await storedCount()).toBe(1)
  })
})

describe('how much is stored', () => {
  test('is counted over partitions, and a merge changes nothing', async () => {
    for (let i = 0; i < minRun; i++) await store([reading(startUs + i), reading(startUs + i, 'x', 'text')], i % 3)
    expect(await storedCount()).toBe(2 * minRun)
    for (const { name } of await listPartitions(database, 'segment'))
      await mergeTable(database, name, new AbortController().signal)
    const { rows } = await database.pool.query('select count(*) as segments, sum(n)::int8 as n from segment')
    expect(rows).toEqual([{ segments: 2, n: 2 * minRun }])
    expect(await storedCount()).toBe(2 * minRun)
  })

  test('retention takes off what it takes away, by table and by metric', async () => {
    for (const age of [0, 10, 100]) {
      await store([reading(startUs - age * dayUs), reading(startUs - age * dayUs, 2, 'short')])
    }
    expect(await storedCount()).toBe(6)
    const retention = { days: 50, rules: [{ metric: 'short', days: 5 }], now: () => nowMs }
    await applyRetention(database, retention)
    expect(await storedCount()).toBe(3)
    await applyRetention(database, retention)
    expect(await storedCount()).toBe(3)
    expect(await latest()).toMatchObject([
      { metric: 'short', readings: 3 },
      { metric: 'temp', readings: 3 },
    ])
  })

  test('the rate is that of the last whole seconds', async () => {
    for (let i = 0; i < 40; i++) await store([reading(startUs + i)])
    let rate = 0
    while (rate === 0) {
      await sleep(50)
      rate = (await readOverview(database.pool, nowMs)).readingsPerSecond
    }
    expect(rate).toBeLessThanOrEqual(8)
    await database.pool.query('update stored_pace set second = second - 60')
    expect((await readOverview(database.pool, nowMs)).readingsPerSecond).toBe(0)
    await store([reading(startUs)])
    const { rows } = await database.pool.query('select max(readings) as readings from stored_pace where second > 0')
    expect(rows[0].readings).toBeLessThanOrEqual(40)
  })
})

test('a database with readings from before all this was kept learns it by the migration', async () => {
  await store([reading(startUs, 1), reading(startUs + 5, true, 'flag'), reading(startUs + 9, 'on', 'word', 1)])
  await store([reading(startUs - 9, 2), reading(startUs + 4, false, 'flag')])
  const kept = { latest: await latest(), count: await storedCount() }
  const { rows } = await database.pool.query('select last_reading_us from agent')

  const migrations = readMigrations()
  const at = migrations.findIndex(({ name }) => name === 'standing')
  await database.pool.query(
    `drop table series_latest, stored_count, stored_pace;
     drop index anomaly_open, anomaly_updated;
     alter table agent drop column header_seq, drop column header_wall_us, drop column received_readings, drop column last_reading_us;
     delete from schema_migration where version >= ${migrations[at]!.version}`,
  )
  await migrate(database.connectionString, migrations.slice(0, at + 1))
  expect({ latest: await latest(), count: await storedCount() }).toEqual(kept)
  expect((await database.pool.query('select last_reading_us from agent')).rows).toEqual(rows)
})
