// What was stored since the last look: each reading once, none lost, or "it cannot be told".
import type { Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connectDatabase, type Database } from '../database/database.ts'
import { listPartitions } from '../database/partitions.ts'
import { testDatabase } from '../database/test-database.ts'
import { column, makeAgents, makeBatch } from '../log/test-batches.ts'
import { mergeTable, minRun } from '../store/merge-segments.ts'
import { StoreEffect } from '../store/store-effect.ts'
import { givenWithinMs, markSeries, maxPoints, readNewPoints, type SeriesMark } from './new-points.ts'

const nowMs = Date.UTC(2026, 3, 10, 12)

let database: Database
let effect: StoreEffect
let marks: SeriesMark[]
let seq = 0

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database, 2)
  effect = new StoreEffect({ database, now: () => nowMs })
  await store('temp', [nowMs - 10_000])
  await store('flow', [nowMs - 10_000])
  marks = await markSeries(database.pool, [1, 2, 3], nowMs)
})
afterEach(() => database.close())

type Columns = readonly [
  metric: string,
  timesMs: readonly number[],
  values?: readonly Value[],
  quality?: readonly number[],
]

/** `flow` is of another agent and partition than the rest. */
function judged([metric, timesMs, values = timesMs.map((_, i) => i), quality]: Columns) {
  seq += 1
  const us = timesMs.map(ms => ms * 1000)
  const agentNo = metric === 'flow' ? 2 : 1
  const batch = makeBatch({ agentNo, seq, columns: [column(metric, us, values, quality)] })
  return [
    { partition: agentNo, offset: 0n, batch, envelope: { agentNo, receivedAtMs: nowMs, rejected: new Map() } } as never,
  ]
}

async function store(...columns: Columns): Promise<void> {
  const batches = judged(columns)
  await database.transaction(tx => effect.apply(tx, batches))
  effect.committed(batches)
}

async function merge(): Promise<number> {
  let gone = 0
  for (const { name } of await listPartitions(database, 'segment'))
    gone += await mergeTable(database, name, new AbortController().signal)
  return gone
}

/** By series: times and values, or null. */
async function look() {
  const found = await readNewPoints(database.pool, marks, nowMs)
  const moved = new Map(found.map(({ mark }) => [mark.seriesId, mark]))
  marks = marks.map(mark => moved.get(mark.seriesId) ?? mark)
  return Object.fromEntries(found.map(({ mark, points }) => [mark.seriesId, points]))
}

test('before anything new there is nothing', async () => {
  expect(marks.map(({ seriesId, readings }) => [seriesId, readings])).toEqual([
    [1, 1],
    [2, 1],
    [3, 0],
  ])
  expect(await look()).toEqual({})
  expect(await readNewPoints(database.pool, [], nowMs)).toEqual([])
})

test('what was stored since comes once, by time, whatever its event time', async () => {
  await store('temp', [nowMs - 5000, nowMs - 7 * 86_400_000, nowMs - 9000.5], [1, 2, 3])
  await store('temp', [nowMs - 60_000], [4])
  expect(await look()).toEqual({
    1: { tsMs: [nowMs - 7 * 86_400_000, nowMs - 60_000, nowMs - 9000.5, nowMs - 5000], value: [2, 4, 3, 1] },
  })
  expect(await look()).toEqual({})
})

test('booleans are 0 and 1; strings and what is bad are left out', async () => {
  await store(
    'temp',
    [1, 2, 3, 4, 5].map(i => nowMs + i),
    [true, 'open', false, 7, 8],
    [0, 0, 1, 2, 0],
  )
  expect(await look()).toEqual({ 1: { tsMs: [nowMs + 1, nowMs + 3, nowMs + 5], value: [1, 0, 8] } })
  await store('flow', [nowMs], ['text'])
  expect(await look()).toEqual({ 2: { tsMs: [], value: [] } })
})

test('a series that was not there yet is found with its first reading', async () => {
  await store('fresh', [nowMs])
  expect(await look()).toEqual({ 3: { tsMs: [nowMs], value: [0] } })
})

test('as many as may be given are given, one more is not', async () => {
  const times = Array.from({ length: maxPoints }, (_, i) => nowMs - i)
  await store('temp', times)
  expect((await look())[1]?.tsMs).toHaveLength(maxPoints)
  await store('temp', [...times, nowMs + 1])
  expect(await look()).toEqual({ 1: null })
  await store('temp', [nowMs + 2])
  expect(await look()).toMatchObject({ 1: { tsMs: [nowMs + 2] } })
})

test('readings older than are looked for are counted, so that they are not missed in silence', async () => {
  await store('temp', [nowMs - givenWithinMs])
  expect(await look()).toMatchObject({ 1: { tsMs: [nowMs - givenWithinMs] } })
  await store('temp', [nowMs - givenWithinMs - 1])
  expect(await look()).toEqual({ 1: null })
  await store('temp', [nowMs])
  expect(await look()).toMatchObject({ 1: { tsMs: [nowMs] } })
})

describe('merges', () => {
  const fill = async (count: number) => {
    for (let i = 0; i < count; i++) await store('temp', [nowMs - 5000 + i])
  }

  test('of old readings are not taken for new ones', async () => {
    await fill(minRun)
    await look()
    expect(await merge()).toBeGreaterThan(0)
    expect(await look()).toEqual({})
    await store('temp', [nowMs])
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs] } })
  })

  test('that take new readings in with old ones leave it open which are new', async () => {
    await fill(minRun)
    await look()
    await store('temp', [nowMs])
    expect(await merge()).toBeGreaterThan(0)
    expect(await look()).toEqual({ 1: null })
    await store('temp', [nowMs + 1])
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs + 1] } })
  })

  test('that take some of the new readings in leave it open too, although the rest are found', async () => {
    await fill(minRun)
    await look()
    await store('temp', [nowMs])
    expect(await merge()).toBeGreaterThan(0)
    await store('temp', [nowMs + 1])
    expect(await look()).toEqual({ 1: null })
    await store('temp', [nowMs + 2])
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs + 2] } })
  })

  test('whatever is stored and merged between two looks, what is told is exactly what came', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 3 }) },
      { weight: 1, arbitrary: fc.constant('merge' as const) },
      { weight: 2, arbitrary: fc.constant('look' as const) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
        let since: number[] = []
        marks = await markSeries(database.pool, [1], nowMs)
        for (const one of [...steps, 'look' as const]) {
          if (one === 'merge') await merge()
          else if (one !== 'look') {
            await store(
              'temp',
              one.map(offset => nowMs - 20_000 + offset),
            )
            since.push(...one.map(offset => nowMs - 20_000 + offset))
          } else {
            const found = await look()
            if (since.length === 0) expect(found).toEqual({})
            else if (found[1] !== null) expect(found[1]?.tsMs).toEqual(since.sort((a, b) => a - b))
            since = []
          }
        }
      }),
      { numRuns: 15 },
    )
  })
})

describe('transactions that overtake each other', () => {
  /** Stores on a connection of another pool, and commits when told. */
  async function held(other: Database, ...columns: Columns) {
    const applied = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const committed = other.transaction(async tx => {
      await new StoreEffect({ database: other, now: () => nowMs }).apply(tx, judged(columns))
      applied.resolve()
      await released.promise
    })
    committed.catch(applied.reject)
    await applied.promise
    const commit = () => {
      released.resolve()
      return committed
    }
    return { commit }
  }

  test('a transaction held open while one of another series commits loses no points', async () => {
    await using other = connectDatabase(database.connectionString)
    const early = await held(other, 'temp', [nowMs - 1])
    await store('flow', [nowMs])
    expect(await look()).toMatchObject({ 2: { tsMs: [nowMs] } })
    await early.commit()
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs - 1] } })
  })

  test('one that was open already when the watch began is not lost either', async () => {
    await using other = connectDatabase(database.connectionString)
    const early = await held(other, 'temp', [nowMs - 1])
    marks = await markSeries(database.pool, [1, 2], nowMs)
    await store('flow', [nowMs])
    expect(await look()).toMatchObject({ 2: { tsMs: [nowMs] } })
    await early.commit()
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs - 1] } })
  })

  test('of one series the later waits for the earlier, and both are found', async () => {
    await using other = connectDatabase(database.connectionString)
    const early = await held(other, 'temp', [nowMs - 1])
    const later = store('temp', [nowMs])
    const waiting = async () => {
      const { rows } = await database.pool.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)
      return rows.length > 0
    }
    while (!(await waiting()));
    expect(await look()).toEqual({})
    await early.commit()
    await later
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs - 1, nowMs] } })
  })

  test('one that is rolled back leaves nothing', async () => {
    const failing = database.transaction(async tx => {
      await effect.apply(tx, judged(['temp', [nowMs]]))
      throw new Error('undone')
    })
    await expect(failing).rejects.toThrow('undone')
    await effect.rolledBack(0)
    expect(await look()).toEqual({})
    await store('temp', [nowMs])
    expect(await look()).toMatchObject({ 1: { tsMs: [nowMs] } })
  })
})

test('marks and new segments are looked up by primary key, in the tables of the last days alone', async () => {
  await effect.tables.ensure(Array.from({ length: 60 }, (_, day) => nowMs - day * 86_400_000))
  await database.pool.query(
    `insert into segment (series_id, t0, t1, n, tick_us, booleans, v)
     select s, t0, t0, 1, 0, false, '{1}' from generate_series(1, 40) s, (select to_timestamp($1) - i * interval '6 minutes' as t0 from generate_series(1, 1000) i) at`,
    [nowMs / 1000],
  )
  await database.pool.query('analyze segment')
  const { rows } = await database.pool.query<{ 'QUERY PLAN': string }>(
    `explain select max(g.segment_id) from unnest('{1,2}'::int[]) as w (series_id),
       lateral (select segment_id from segment g where g.series_id = w.series_id and g.t0 >= $1 and g.segment_id > 10) g`,
    [new Date(nowMs - givenWithinMs)],
  )
  const plan = rows.map(row => row['QUERY PLAN']).join('\n')
  expect(new Set(plan.match(/segment_\d{8}(?=_pkey)/g)).size).toBeLessThanOrEqual(givenWithinMs / 86_400_000 + 4)
  expect(plan).toMatch(/Index Cond: \(\(series_id = w.series_id\) AND \(t0 >= .*\) AND \(segment_id > 10\)\)/)
})
