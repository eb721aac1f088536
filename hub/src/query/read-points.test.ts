// Points of a series against what plain JavaScript makes of the same readings.
import type { Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { column, makeAgents, makeBatch } from '../log/test-batches.ts'
import { applyRetention } from '../store/retention.ts'
import { rollUpOnce } from '../store/rollups.ts'
import { StoreEffect } from '../store/store-effect.ts'
import { bucketWidth } from './bucket-width.ts'
import { minutesSql } from './read-minutes.ts'
import { readPoints } from './read-points.ts'

const startMs = Date.UTC(2026, 3, 1, 12)
const dayMs = 86_400_000

interface Given {
  readonly ms: number
  readonly value: Value
  readonly quality?: number
}

let database: Database
let effect: StoreEffect
let seq = 0

beforeAll(async () => {
  database = await testDatabase()
  await makeAgents(database)
  effect = new StoreEffect({ database, now: () => startMs })
  await store([{ ms: startMs, value: 0 }])
})
afterAll(() => database.close())
beforeEach(() => database.pool.query('truncate segment, rollup_1m, rollup_dirty'))

async function store(readings: readonly Given[]): Promise<void> {
  seq += 1
  const columns = [
    column(
      'temp',
      readings.map(({ ms }) => ms * 1000),
      readings.map(({ value }) => value),
      readings.map(({ quality }) => quality ?? 0),
    ),
  ]
  const envelope = { agentNo: 1, receivedAtMs: startMs, rejected: new Map() }
  const judged = [{ partition: 0, offset: 0n, batch: makeBatch({ agentNo: 1, seq, columns }), envelope } as never]
  await database.transaction(tx => effect.apply(tx, judged))
  effect.committed(judged)
}

async function rollUp(): Promise<void> {
  while ((await rollUpOnce(database, 0)) > 0);
}

const ask = (fromMs: number, toMs: number, points: number) =>
  readPoints(database.pool, { seriesId: 1, fromMs, toMs, points })

/** Numbers and booleans that are not bad, in order of time. */
function countable(readings: readonly Given[], fromMs: number, toMs: number) {
  return readings
    .filter(({ ms, value, quality = 0 }) => ms >= fromMs && ms < toMs && typeof value !== 'string' && quality < 2)
    .map(({ ms, value }) => ({ ms, value: Number(value) }))
    .sort((a, b) => a.ms - b.ms)
}

function buckets(readings: readonly Given[], fromMs: number, toMs: number, width: number) {
  const groups = Map.groupBy(countable(readings, fromMs, toMs), ({ ms }) => Math.floor(ms / width) * width)
  return [...groups].map(([tsMs, of]) => {
    const values = of.map(({ value }) => value)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    return { tsMs, n: values.length, min: Math.min(...values), max: Math.max(...values), mean }
  })
}

const reading = fc.record({
  ms: fc.integer({ min: 0, max: 7_200_000 }).map(ms => startMs + ms),
  value: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: -50, max: 50 }) }, fc.boolean(), fc.constant('text')),
  quality: fc.constantFrom(0, 0, 0, 1, 2),
})
const parts = fc.array(fc.array(reading, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 3 })
const span = fc.tuple(fc.integer({ min: -60_000, max: 7_300_000 }), fc.integer({ min: 1, max: 7_300_000 }))

test('what fits comes raw, all else in buckets, never more than asked for, rolled up or not', async () => {
  await fc.assert(
    fc.asyncProperty(parts, span, fc.integer({ min: 1, max: 60 }), async (stored, [offset, length], points) => {
      await database.pool.query('truncate segment, rollup_1m, rollup_dirty')
      for (const [index, part] of stored.entries()) {
        await store(part)
        if (index === 0) await rollUp()
      }
      const [fromMs, toMs] = [startMs + offset, startMs + offset + length]
      const all = stored.flat()
      const found = await ask(fromMs, toMs, points)
      expect(found.points.length).toBeLessThanOrEqual(points)
      if (countable(all, fromMs, toMs).length <= points) {
        const raw = countable(all, fromMs, toMs)
        expect(found.kind).toBe('raw')
        expect(found.points.map(({ value }) => value).sort()).toEqual(raw.map(({ value }) => value).sort())
        expect(found.points.map(one => ('tsUs' in one ? one.tsUs : 0))).toEqual(raw.map(({ ms }) => ms * 1000))
        return
      }
      if (found.kind === 'raw') throw new Error('raw, although it does not fit')
      const fine = bucketWidth(fromMs, toMs, points) < 60_000
      const expected = buckets(
        all,
        fine ? fromMs : Math.floor(fromMs / 60_000) * 60_000,
        fine ? toMs : Math.ceil(toMs / 60_000) * 60_000,
        found.bucketMs,
      )
      expect(found.points.map(({ tsMs, n, min, max }) => ({ tsMs, n, min, max }))).toEqual(
        expected.map(({ mean: _, ...rest }) => rest),
      )
      for (const [index, { mean }] of expected.entries()) expect(found.points[index]!.value).toBeCloseTo(mean, 9)
    }),
    { numRuns: 60 },
  )
})

test('a minute that reaches beyond the span does not stand in for readings that are there, after it', async () => {
  await store([{ ms: startMs + 1, value: 1 }])
  await rollUp()
  expect(await ask(startMs - 1, startMs + 1, 1)).toEqual({ kind: 'raw', points: [] })
})

test('microseconds survive in raw points', async () => {
  await store([{ ms: startMs + 0.123, value: 1 }])
  expect(await ask(startMs, startMs + 1, 5)).toEqual({
    kind: 'raw',
    points: [{ tsUs: startMs * 1000 + 123, value: 1 }],
  })
})

test('values too great for a mean have their middle, and nothing is null', async () => {
  const values = [1e308, 1.7e308, -1.7e308]
  await store(values.map((value, index) => ({ ms: startMs + index, value })))
  const expected = [{ n: 3, min: -1.7e308, max: 1.7e308, value: 0 }]
  expect((await ask(startMs, startMs + 1000, 1)).points).toMatchObject(expected)
  expect((await ask(startMs, startMs + 3_600_000, 1)).points).toMatchObject(expected)
  await rollUp()
  expect((await ask(startMs, startMs + 3_600_000, 1)).points).toMatchObject(expected)
})

describe('spans that hold much', () => {
  /** 1 Hz, as merged segments of 8,000. */
  async function storeMany(readings: number, tickUs: number): Promise<void> {
    await effect.tables.ensure(Array.from({ length: 8 }, (_, day) => startMs - day * dayMs))
    await database.pool.query(
      `insert into segment (series_id, t0, t1, n, tick_us, booleans, v)
       select 1, t0, t0 + 7999 * $3 * interval '1 microsecond', 8000, $3, false, v
         from generate_series(0, $2::int8 / 8000 - 1) i,
              lateral (select to_timestamp($1) - (i + 1) * 8000 * $3 * interval '1 microsecond' as t0) at,
              (select array_agg(i::float8) as v from generate_series(1, 8000) i) one`,
      [startMs / 1000, readings, tickUs],
    )
    await database.pool.query(
      `insert into rollup_1m (series_id, bucket, readings, n, mean, min, max)
       select 1, to_timestamp($1) - i * interval '1 minute', 60, 60, 4000, 1, 8000 from generate_series(1, $2::int8) i`,
      [startMs / 1000, Math.ceil((readings * tickUs) / 60_000_000)],
    )
  }

  test('two hundred thousand readings in a quarter of an hour are read themselves', async () => {
    await storeMany(200_000, 4000)
    const found = await ask(startMs - 800_000, startMs, 1000)
    expect(found).toMatchObject({ kind: 'buckets', bucketMs: 1000 })
    expect(found.points).toHaveLength(800)
    expect(found.points.every(one => 'n' in one && one.n === 250)).toBe(true)
  })

  test('above what may be unpacked the minutes stand in', async () => {
    await storeMany(520_000, 1000)
    const found = await ask(startMs - 520_000, startMs, 1000)
    expect(found).toMatchObject({ kind: 'buckets', bucketMs: 60_000 })
    expect(found.points.length).toBeGreaterThanOrEqual(8)
  })
})

test('minutes whose readings retention took away are still shown', async () => {
  await store([0, 1, 2].map(i => ({ ms: startMs - 100 * dayMs + i * 60_000, value: i })))
  await store([{ ms: startMs, value: 9 }])
  await rollUp()
  await applyRetention(database, { days: 30, now: () => startMs })
  const found = await ask(startMs - 200 * dayMs, startMs + dayMs, 5000)
  expect(found.kind).toBe('buckets')
  expect(found.points.reduce((sum, one) => sum + ('n' in one ? one.n : 0), 0)).toBe(4)
  expect((await ask(startMs - dayMs, startMs + dayMs, 5000)).kind).toBe('raw')
  effect.tables.forget()
})

test('a marked minute of long ago and one of now are computed without what lies between', async () => {
  await store([
    { ms: startMs - 100 * dayMs, value: 1 },
    { ms: startMs, value: 3 },
  ])
  const client = await database.pool.connect()
  try {
    for (let day = 1; day < 100; day += 9) await store([{ ms: startMs - day * dayMs, value: 2 }])
    await database.pool.query(`delete from rollup_dirty where bucket between to_timestamp($1) and to_timestamp($2)`, [
      startMs / 1000 - 99 * 86_400,
      startMs / 1000 - 3600,
    ])
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off) ${minutesSql}`, [
      1,
      (startMs - 200 * dayMs) * 1000,
      (startMs + dayMs) * 1000,
    ])
    const plan = rows.map(row => row['QUERY PLAN']).join('\n')
    const opened = plan
      .split('\n')
      .filter(line => /Scan .*on segment_\d+ /.test(line) && !line.includes('never executed'))
    expect(opened.length).toBeLessThanOrEqual(6)
  } finally {
    client.release()
  }
})
