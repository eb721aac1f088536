/** Rollups, merging and retention on what the store effect wrote. */
import type { Quality, Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { listPartitions } from '../database/partitions.ts'
import { testDatabase } from '../database/test-database.ts'
import { column, makeAgents, makeBatch } from '../log/test-batches.ts'
import { mergeTable, minRun } from './merge-segments.ts'
import { applyRetention } from './retention.ts'
import { rollUpOnce } from './rollups.ts'
import { StoreEffect } from './store-effect.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const startUs = nowMs * 1000
const dayUs = 86_400_000_000

interface Given {
  readonly us: number
  readonly value: Value
  readonly quality?: Quality
}

let database: Database
let effect: StoreEffect
let seq = 0

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database)
  effect = new StoreEffect({ database, now: () => nowMs })
})
afterEach(() => database.close())

async function store(readings: readonly Given[], metric = 'temp'): Promise<void> {
  const columns = [
    column(
      metric,
      readings.map(({ us }) => us),
      readings.map(({ value }) => value),
      readings.map(({ quality }) => quality ?? 0),
    ),
  ]
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
  await database.transaction(tx => effect.apply(tx, [{ partition: 0, offset: BigInt(seq), envelope, batch }]))
}

async function rollUp(): Promise<void> {
  while ((await rollUpOnce(database, 0)) > 0);
}

const rollups = async () => (await database.pool.query('select * from rollup_1m order by series_id, bucket')).rows
const inOrder = async (series = 1) =>
  (await database.pool.query(`select ts, value, text, quality from readings($1, '-infinity', 'infinity')`, [series]))
    .rows

describe('rollups', () => {
  test('a minute holds count, sum, mean, m2, extremes, first and last of its numbers', async () => {
    await store([
      { us: startUs, value: 1 },
      { us: startUs + 59_999_999, value: 7 },
      { us: startUs + 10, value: 4 },
      { us: startUs + 20, value: 1000, quality: 2 },
      { us: startUs + 30, value: 'text' },
      { us: startUs + 60_000_000, value: 5 },
    ])
    await rollUp()
    expect(await rollups()).toEqual([
      {
        series_id: 1,
        bucket: new Date(nowMs),
        readings: 5,
        n: 3,
        sum: 12,
        mean: 4,
        m2: 18,
        min: 1,
        max: 7,
        first: 1,
        last: 7,
      },
      {
        series_id: 1,
        bucket: new Date(nowMs + 60_000),
        readings: 1,
        n: 1,
        sum: 5,
        mean: 5,
        m2: 0,
        min: 5,
        max: 5,
        first: 5,
        last: 5,
      },
    ])
  })

  test('late and shuffled readings give the same rollups as readings in order', async () => {
    const reading = fc.record({
      us: fc.integer({ min: startUs, max: startUs + 600_000_000 }),
      value: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    })
    const scene = fc.uniqueArray(reading, { selector: ({ us }) => us, minLength: 2, maxLength: 40 }).chain(ordered =>
      fc.record({
        ordered: fc.constant(ordered),
        shuffled: fc.shuffledSubarray(ordered, { minLength: ordered.length }),
        cut: fc.nat(ordered.length),
      }),
    )
    await fc.assert(
      fc.asyncProperty(scene, async ({ ordered, shuffled, cut }) => {
        await database.pool.query('truncate segment, rollup_dirty, rollup_1m')
        await store(
          ordered.toSorted((a, b) => a.us - b.us),
          'temp',
        )
        for (const part of [shuffled.slice(0, cut), shuffled.slice(cut)]) {
          if (part.length > 0) await store(part, 'late')
          await rollUp()
        }
        const bySeries = Map.groupBy(await rollups(), row => row.series_id)
        const [one, other] = [...bySeries.values()].map(rows => rows.map(row => ({ ...row, series_id: 0 })))
        expect(other).toEqual(one)
      }),
      { numRuns: 25 },
    )
  })

  test('a minute is left alone until it has settled', async () => {
    const recent = Date.now()
    await database.pool.query(
      `insert into rollup_dirty select 1, date_bin('1 minute', to_timestamp($1::float8 / 1000), 'epoch')`,
      [recent],
    )
    expect(await rollUpOnce(database, 0)).toBe(0)
    expect((await database.pool.query('select count(*) as n from rollup_dirty')).rows).toEqual([{ n: 1 }])
  })

  test('a transaction that was still open when its minute was taken is not forgotten', async () => {
    await store([{ us: startUs, value: 1 }])
    const late = await database.pool.connect()
    await late.query('begin')
    await late.query(
      `insert into segment (series_id, t0, t1, n, tick_us, booleans, v) values (1, to_timestamp($1), to_timestamp($1), 1, 0, false, '{5}')`,
      [nowMs / 1000 + 1],
    )
    await late.query(`insert into rollup_dirty values (1, to_timestamp($1))`, [nowMs / 1000])
    await rollUp()
    await late.query('commit')
    late.release()
    await rollUp()
    expect(await rollups()).toMatchObject([{ n: 2, sum: 6 }])
  })

  test('values that would overflow a sum leave it empty, and harm nothing else', async () => {
    await store([
      { us: startUs, value: 1e308 },
      { us: startUs + 1, value: 1.7e308 },
    ])
    await store([{ us: startUs, value: 3 }], 'other')
    await rollUp()
    expect(await rollups()).toMatchObject([
      { n: 2, sum: null, mean: null, m2: null, min: 1e308, max: 1.7e308 },
      { n: 1, sum: 3 },
    ])
  })
})

describe('merging', () => {
  const merge = async () => {
    let gone = 0
    for (const { name } of await listPartitions(database, 'segment'))
      gone += await mergeTable(database, name, new AbortController().signal)
    return gone
  }
  const segments = async () => (await database.pool.query('select count(*) as n from segment')).rows[0].n

  test('small segments become one, with the same readings in the same order', async () => {
    const kinds: Value[] = [1.5, true, 'text', -0, 5e-324, false, '']
    for (let index = 0; index < 40; index++) {
      const us = startUs + (index % 5) * 1_000_000
      await store([
        { us, value: kinds[index % kinds.length] as Value, quality: (index % 3) as Quality },
        { us, value: index },
      ])
    }
    const before = await inOrder()
    expect(await merge()).toBe(39)
    expect(await segments()).toBe(1)
    expect(await inOrder()).toEqual(before)
    expect(await merge()).toBe(0)
  })

  test('segments of booleans stay booleans, and other days and series stay apart', async () => {
    for (let index = 0; index < minRun; index++) {
      await store([{ us: startUs + index, value: index % 2 === 0 }], 'flag')
      await store([{ us: startUs - dayUs + index, value: index }], 'temp')
    }
    await store([{ us: startUs, value: 1 }], 'temp')
    const before = [await inOrder(1), await inOrder(2)]
    await merge()
    expect(await segments()).toBe(3)
    expect([await inOrder(1), await inOrder(2)]).toEqual(before)
    expect((await database.pool.query('select booleans, s from segment where series_id = 1')).rows).toEqual([
      { booleans: true, s: null },
    ])
  })

  test('fewer than a run are left alone', async () => {
    for (let index = 0; index < minRun - 1; index++) await store([{ us: startUs + index, value: index }])
    expect(await merge()).toBe(0)
  })
})

describe('retention', () => {
  test('tables past every retention are dropped, shorter metrics lose their segments, the rest stays', async () => {
    for (const age of [0, 20, 40, 400]) {
      for (const metric of ['temp', 'debug.noise', 'debug.kept'])
        await store([{ us: startUs - age * dayUs, value: age }], metric)
    }
    const result = await applyRetention(database, {
      now: () => nowMs,
      days: 365,
      rules: [
        { metric: 'debug.kept', days: 30 },
        { metric: 'debug.*', days: 10 },
      ],
    })
    expect(result).toMatchObject({ segments: 3 })
    expect(result.tables).toEqual(['segment_202502'])
    const { rows } = await database.pool.query(
      `select metric, value from reading join series using (series_id) order by metric, value`,
    )
    expect(rows.map(({ metric, value }) => `${metric} ${value}`)).toEqual([
      'debug.kept 0',
      'debug.kept 20',
      'debug.noise 0',
      'temp 0',
      'temp 20',
      'temp 40',
    ])
  })

  test('a pattern stands for names, not for LIKE', async () => {
    for (const metric of ['a_b', 'axb', 'a%b']) await store([{ us: startUs - 5 * dayUs, value: 1 }], metric)
    await applyRetention(database, { now: () => nowMs, rules: [{ metric: 'a_b', days: 1 }] })
    const { rows } = await database.pool.query(
      'select metric from reading join series using (series_id) order by metric',
    )
    expect(rows.map(({ metric }) => metric)).toEqual(['a%b', 'axb'])
  })

  test('rollups have a retention of their own', async () => {
    await store([{ us: startUs - 40 * dayUs, value: 1 }])
    await store([{ us: startUs, value: 1 }])
    await rollUp()
    expect(await applyRetention(database, { now: () => nowMs, rollupDays: 30 })).toMatchObject({ rollups: 1 })
    expect(await rollups()).toHaveLength(1)
  })

  test('the store makes a dropped table again when a reading of that time comes', async () => {
    await store([{ us: startUs - 400 * dayUs, value: 1 }])
    await applyRetention(database, { now: () => nowMs })
    const again = () => store([{ us: startUs - 400 * dayUs, value: 2 }])
    await expect(again()).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    await again()
    expect(await inOrder()).toMatchObject([{ value: 2 }])
  })
})
