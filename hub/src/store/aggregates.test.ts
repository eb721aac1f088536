/** Aggregates that agents send: stored once, in rollups, in points, until retention takes them. */
import type { SeriesAggregates, SeriesColumns } from '@tributary/shared/batch/batch'
import { aggregateBytes, type TimedValue } from '@tributary/shared/batch/test-aggregates'
import { addReading } from '@tributary/shared/window/aggregate'
import { encodeAggregate, hasSketch } from '@tributary/shared/window/aggregate-codec'
import { allocate, createAggregateStore } from '@tributary/shared/window/aggregate-store'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { listPartitions } from '../database/partitions.ts'
import { testDatabase } from '../database/test-database.ts'
import type { JudgedBatch } from '../log/effect.ts'
import { column, makeAgents, makeBatch, type TestBatch, windows } from '../log/test-batches.ts'
import { markSeries, readNewPoints } from '../query/new-points.ts'
import { readMinutes } from '../query/read-minutes.ts'
import { readPoints } from '../query/read-points.ts'
import { numbersOf } from './aggregates.ts'
import { applyRetention } from './retention.ts'
import { rollUpOnce } from './rollups.ts'
import { StoreEffect } from './store-effect.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const startUs = nowMs * 1000
const secondUs = 1_000_000
const minuteUs = 60 * secondUs

let database: Database
let effect: StoreEffect
let seq = 0

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database)
  effect = new StoreEffect({ database, now: () => nowMs })
  seq = 0
})
afterEach(() => database.close())

function judged({ rejected = new Map(), ...batch }: Partial<TestBatch>): JudgedBatch {
  seq += 1
  const envelope = {
    receivedAtMs: nowMs + seq,
    agentNo: 1,
    lane: 'live' as const,
    floor: 1,
    ruleVersion: 2,
    rejected,
    digest: new Uint8Array(32),
    batch: new Uint8Array(),
  }
  return { partition: 0, offset: BigInt(seq), envelope, batch: makeBatch({ agentNo: 1, seq, ...batch }) }
}

async function store(...batches: JudgedBatch[]): Promise<void> {
  await database.transaction(tx => effect.apply(tx, batches))
  effect.committed(batches)
}

const storeAggregates = (...aggregates: SeriesAggregates[]) => store(judged({ aggregates, columns: [] }))
const storeReadings = (...columns: SeriesColumns[]) => store(judged({ columns }))

async function rollUp(): Promise<void> {
  while ((await rollUpOnce(database, 0)) > 0);
}

async function select(sql: string): Promise<Record<string, unknown>[]> {
  return (await database.pool.query(sql)).rows
}

/** `n` readings a second apart from `fromUs` on, in hundredths that are no exact doubles. */
function readings(fromUs: number, n: number, shift = 0): TimedValue[] {
  return Array.from({ length: n }, (_, i) => ({
    tsUs: fromUs + i * secondUs,
    value: (((i * 37) % 100) + shift) / 100 + 0.1,
  }))
}

/** What the parts merge to, each with arrival numbers of its own. */
function mergedBytes(parts: readonly TimedValue[][], buckets: number): Uint8Array {
  const store = createAggregateStore(buckets)
  const slot = allocate(store)
  for (const part of parts) {
    part.forEach(({ tsUs, value }, order) => {
      addReading(store, slot, tsUs, order, value)
    })
  }
  return encodeAggregate(store, slot)
}

const minuteRows = () => select('select * from rollup_1m order by series_id, bucket')

describe('the table', () => {
  test('holds the numbers and the exact bytes of a window', async () => {
    const given = readings(startUs, 60)
    await storeAggregates(windows('temp', minuteUs, [{ startUs, readings: given, revision: 3 }], { buckets: 64 }))
    const [row] = await select('select * from aggregate')
    const data = aggregateBytes(given, 64)
    const { firstUs, lastUs, ...numbers } = numbersOf(data)
    expect(row).toMatchObject({ series_id: 1, size_us: minuteUs, hop_us: minuteUs, revisions: ['3'], ...numbers })
    expect(row).toMatchObject({ first_us: firstUs, last_us: lastUs, data: Buffer.from(data) })
    expect(row?.start).toEqual(new Date(nowMs))
  })

  test('keeps windows of several lengths and hops apart', async () => {
    const one = [{ startUs, readings: readings(startUs, 5) }]
    await storeAggregates(
      windows('temp', minuteUs, one),
      windows('temp', minuteUs, one, { hopUs: 20 * secondUs }),
      windows('temp', 10 * secondUs, one),
    )
    expect(await select('select size_us, hop_us from aggregate order by 1, 2')).toEqual([
      { size_us: 10 * secondUs, hop_us: 10 * secondUs },
      { size_us: minuteUs, hop_us: 20 * secondUs },
      { size_us: minuteUs, hop_us: minuteUs },
    ])
  })

  test('merges the parts of a window exactly, and keeps its sketch while every part has one', async () => {
    const [early, late, later] = [readings(startUs, 5), readings(startUs + 10 * secondUs, 7), readings(startUs, 2, 9)]
    const whole = (parts: TimedValue[][]) => Buffer.from(mergedBytes(parts, 512))
    await storeAggregates(windows('temp', minuteUs, [{ startUs, revision: 7, readings: late }], { buckets: 512 }))
    await storeAggregates(windows('temp', minuteUs, [{ startUs, revision: 2, readings: early }], { buckets: 512 }))
    expect(await select('select revisions, n, data from aggregate')).toEqual([
      { revisions: ['2', '7'], n: 12, data: whole([early, late]) },
    ])
    await storeAggregates(
      windows('temp', minuteUs, [
        { startUs, revision: 9, readings: later.map(one => ({ ...one, tsUs: one.tsUs + 5 })) },
      ]),
    )
    const [row] = await select('select revisions, n, data from aggregate')
    expect(row).toMatchObject({ revisions: ['2', '7', '9'], n: 14 })
    expect(hasSketch(row?.data as Buffer)).toBe(false)
  })

  test('takes no refused aggregate; the dead letters show it', async () => {
    const column1 = column('temp', [startUs], [1])
    const aggregates = [
      windows('temp', minuteUs, [
        { startUs, readings: readings(startUs, 2) },
        { startUs: startUs + minuteUs, readings: readings(startUs + minuteUs, 3) },
      ]),
    ]
    await store(judged({ columns: [column1], aggregates, rejected: new Map([[1, 'window']]) }))
    expect(await select('select n from aggregate')).toEqual([{ n: 3 }])
    const [letter] = await select('select stage, reason, readings, detail from dead_letter')
    expect(letter).toMatchObject({ stage: 'ingest', reason: 'window', readings: 1 })
    expect(letter?.detail).toMatchObject({ readings: [{ index: 1, metric: 'temp', startUs, sizeUs: minuteUs }] })
  })

  test('has a table a month, however far back a window lies', async () => {
    const old = Date.UTC(2009, 6, 14) * 1000
    await storeAggregates(windows('temp', minuteUs, [{ startUs: old, readings: readings(old, 1) }]))
    const names = (await listPartitions(database, 'aggregate')).map(({ name }) => name)
    expect(names).toContain('aggregate_200907')
  })

  test('aggregates() is inlined, opens only the tables of its span, and finds windows by the primary key', async () => {
    const months = [0, 1, 2].map(month => Date.UTC(2026, month, 10) * 1000)
    await storeAggregates(
      windows(
        'temp',
        minuteUs,
        months.flatMap(first =>
          Array.from({ length: 3000 }, (_, i) => ({
            startUs: first + i * minuteUs,
            readings: readings(first + i * minuteUs, 1),
          })),
        ),
      ),
    )
    await database.pool.query('analyze aggregate')
    const span = [new Date(Date.UTC(2026, 1, 10)), new Date(Date.UTC(2026, 1, 10, 1))]
    const { rows } = await database.pool.query<{ 'QUERY PLAN': string }>(
      'explain (analyze, format text, timing off, summary off) select * from aggregates(1, $1, $2)',
      span,
    )
    const plan = rows.map(row => row['QUERY PLAN']).join('\n')
    expect(plan).not.toContain('Function Scan')
    expect(plan).not.toMatch(/Scan.*aggregate_20260[13]/)
    expect(plan).toMatch(/Index.*aggregate_202602/)
    const found = await database.pool.query('select start, size, n from aggregates(1, $1, $2)', span)
    expect(found.rows.length).toBe(60)
  })
})

const windowArbitrary = fc.record({
  metric: fc.constantFrom('temp', 'flow'),
  window: fc.integer({ min: 0, max: 5 }),
  sizeUs: fc.constantFrom(10 * secondUs, minuteUs, 5 * minuteUs),
  revision: fc.integer({ min: 0, max: 3 }),
})

test('batches in any order, repeated, with windows in parts, give the same rows', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(windowArbitrary, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 5 }),
      fc.infiniteStream(fc.nat()),
      async (batches, order) => {
        const all = batches.map(list =>
          list.map(({ metric, window, sizeUs, revision }) => {
            const n = 1 + ((window + revision) % 4)
            const from = startUs + window * sizeUs
            const part = readings(from + 1000 * revision, n, revision)
            return windows(metric, sizeUs, [{ startUs: from, revision, readings: part }], {
              buckets: revision === 3 ? 0 : 16,
            })
          }),
        )
        const outcomes: unknown[] = []
        const shuffled = [...all, ...all].sort(() => (order.next().value % 2) - 0.5)
        for (const attempt of [all, shuffled]) {
          await database.pool.query('truncate aggregate, rollup_1m, rollup_dirty, series_latest')
          for (const aggregates of attempt) {
            await storeAggregates(...aggregates)
            if (attempt === shuffled && order.next().value % 3 === 0) await rollUp()
          }
          await rollUp()
          outcomes.push([
            await select(
              `select metric, a.* from aggregate a join series using (series_id) order by metric, start, size_us, hop_us`,
            ),
            await minuteRows(),
            await select(
              'select series_id, readings, ts_us, value, text, quality from series_latest order by series_id',
            ),
          ])
        }
        expect(outcomes[1]).toEqual(outcomes[0])
      },
    ),
    { numRuns: 15 },
  )
})

describe('rollups', () => {
  const tenSeconds = (n: number, shift = 0, revision = 0) =>
    Array.from({ length: n }, (_, i) => {
      const from = startUs + i * 10 * secondUs
      return { startUs: from, revision, readings: readings(from, 10, shift + 7 * i) }
    })

  test('a minute is merged exactly from the windows that make it up', async () => {
    const parts = tenSeconds(6)
    await storeAggregates(windows('temp', 10 * secondUs, parts))
    await rollUp()
    const { firstUs: _, lastUs: __, ...numbers } = numbersOf(aggregateBytes(parts.flatMap(part => part.readings)))
    expect(await minuteRows()).toEqual([{ series_id: 1, bucket: new Date(nowMs), readings: 60, ...numbers }])
  })

  test('a late part changes its minute, once', async () => {
    const [early, late] = [readings(startUs, 5), readings(startUs + 10 * secondUs, 7, 3)]
    await storeAggregates(windows('temp', minuteUs, [{ startUs, revision: 40, readings: early }]))
    await rollUp()
    for (let time = 0; time < 2; time++) {
      await storeAggregates(windows('temp', minuteUs, [{ startUs, revision: 90, readings: late }]))
      await rollUp()
      const { firstUs: _, lastUs: __, ...numbers } = numbersOf(aggregateBytes([...early, ...late]))
      expect(await minuteRows()).toEqual([{ series_id: 1, bucket: new Date(nowMs), readings: 12, ...numbers }])
    }
  })

  test('a minute with aggregates has no other source, whichever came first; its raw readings are stored all the same', async () => {
    const raw = column('temp', [startUs + secondUs, startUs + minuteUs, startUs + 2 * minuteUs], [1000, 2000, 3000])
    const folded = windows('temp', minuteUs, [{ startUs, readings: readings(startUs, 5) }])
    await storeReadings(raw)
    await rollUp()
    await storeAggregates(folded)
    await rollUp()
    expect(await minuteRows()).toMatchObject([{ n: 5 }, { n: 1, mean: 2000 }, { n: 1, mean: 3000 }])
    // Late raw readings of other minutes of that hour, as a recall brings them.
    await storeReadings(column('temp', [startUs + 2 * secondUs, startUs + 3 * minuteUs], [7, 8]))
    await rollUp()
    expect((await minuteRows()).map(row => row.n)).toEqual([5, 1, 1, 1])
    const { rows } = await database.pool.query(`select value from readings(1, $1, $2)`, [
      new Date(nowMs),
      new Date(nowMs + 60_000),
    ])
    expect(rows).toEqual([{ value: 1000 }, { value: 7 }])
  })

  test('of windows of two lengths in one minute those that know of more readings are taken', async () => {
    await storeAggregates(
      windows('temp', 10 * secondUs, tenSeconds(3)),
      windows('temp', minuteUs, [{ startUs, readings: readings(startUs, 40) }]),
    )
    await rollUp()
    expect(await minuteRows()).toMatchObject([{ n: 40 }])
  })

  test('windows that overlap, or are longer than a minute, make no minutes', async () => {
    const one = [{ startUs: startUs + 20 * secondUs, readings: readings(startUs + 20 * secondUs, 5) }]
    await storeAggregates(
      windows('temp', minuteUs, one, { hopUs: 20 * secondUs }),
      windows('temp', 5 * minuteUs, [{ startUs, readings: readings(startUs, 60) }]),
    )
    await rollUp()
    expect(await minuteRows()).toEqual([])
    expect(await select('select * from rollup_dirty')).toEqual([])
  })

  test('minutes that are not rolled up yet are read from the aggregates', async () => {
    await storeAggregates(windows('temp', 10 * secondUs, tenSeconds(6)))
    await storeReadings(column('temp', [startUs + secondUs], [1000]))
    const span = { seriesId: 1, fromUs: startUs, toUs: startUs + minuteUs, limit: 10 }
    const [before] = await readMinutes(database.pool, span)
    await rollUp()
    const [after] = await readMinutes(database.pool, span)
    expect(before).toMatchObject({ n: 60, min: after!.min, max: after!.max, first: after!.first, last: after!.last })
    expect(before!.mean).toBeCloseTo(after!.mean!, 12)
  })
})

describe('points', () => {
  const ask = (minutes: number, points: number) =>
    readPoints(database.pool, { seriesId: 1, fromMs: nowMs, toMs: nowMs + minutes * 60_000, points })
  const everyMinute = (n: number) =>
    Array.from({ length: n }, (_, i) => {
      const from = startUs + i * minuteUs
      return { startUs: from, readings: readings(from, 10, i) }
    })

  test('a series that has aggregates alone is shown in minutes, with least and greatest', async () => {
    await storeAggregates(windows('temp', minuteUs, everyMinute(30)))
    for (const rolledUp of [false, true]) {
      if (rolledUp) await rollUp()
      const found = await ask(30, 100)
      expect(found).toMatchObject({ kind: 'buckets', bucketMs: 60_000 })
      expect(found.points.length).toBe(30)
      expect(found.points[3]).toMatchObject({ tsMs: nowMs + 180_000, n: 10 })
    }
  })

  test('windows longer than a minute are buckets of at least their length', async () => {
    const long = Array.from({ length: 12 }, (_, i) => {
      const from = startUs + i * 5 * minuteUs
      return { startUs: from, readings: readings(from, 300, i) }
    })
    await storeAggregates(windows('temp', 5 * minuteUs, long))
    await rollUp()
    const found = await ask(60, 1000)
    expect(found).toMatchObject({ kind: 'buckets', bucketMs: 300_000 })
    const { n, mean, min, max } = numbersOf(aggregateBytes(long[2]!.readings))
    expect(found.points.length).toBe(12)
    expect(found.points[2]).toEqual({ tsMs: nowMs + 600_000, n, value: mean, min, max })
    const coarse = await ask(60, 4)
    expect(coarse.points.reduce((sum, point) => sum + ('n' in point ? point.n : 0), 0)).toBe(3600)
  })

  test('minutes before and windows after a change of policy stand side by side', async () => {
    await storeAggregates(
      windows('temp', minuteUs, everyMinute(10)),
      windows('temp', 5 * minuteUs, [
        { startUs: startUs + 10 * minuteUs, readings: readings(startUs + 10 * minuteUs, 300) },
      ]),
    )
    const found = await ask(20, 100)
    expect(found.points.map(point => ('n' in point ? point.n : 0))).toEqual([...Array<number>(10).fill(10), 300])
  })

  test('readings that a recall brought are shown raw where they fill the span', async () => {
    await storeAggregates(windows('temp', minuteUs, everyMinute(3)))
    await storeReadings(
      column(
        'temp',
        Array.from({ length: 60 }, (_, i) => startUs + i * secondUs),
        Array.from({ length: 60 }, (_, i) => i),
      ),
    )
    expect(await ask(1, 1000)).toMatchObject({ kind: 'raw' })
  })
})

test('who looks at a series hears that aggregates came', async () => {
  await storeReadings(column('temp', [startUs], [1]))
  const marks = await markSeries(database.pool, [1], nowMs)
  expect(await readNewPoints(database.pool, marks, nowMs)).toEqual([])
  await storeAggregates(windows('temp', minuteUs, [{ startUs, readings: readings(startUs, 2) }]))
  const [news] = await readNewPoints(database.pool, marks, nowMs)
  expect(news).toMatchObject({ points: null, mark: { seriesId: 1, readings: 1, aggregates: 1 } })
  expect(await readNewPoints(database.pool, [news!.mark], nowMs)).toEqual([])
})

test('a series is known by the last reading of its newest aggregate, and its agent by that time', async () => {
  const given = readings(startUs, 10)
  await storeAggregates(windows('temp', minuteUs, [{ startUs, readings: given }]))
  const { tsUs, value } = given.at(-1)!
  expect(await select('select * from series_latest')).toEqual([
    { series_id: 1, readings: 0, ts_us: tsUs, value, text: null, quality: 0, aggregates: 1 },
  ])
  expect(await select('select last_reading_us from agent')).toEqual([{ last_reading_us: tsUs }])
  await storeReadings(column('temp', [tsUs], [77], [1]))
  await storeAggregates(windows('temp', minuteUs, [{ startUs, revision: 1, readings: given }]))
  expect(await select('select value, quality, readings from series_latest')).toEqual([
    { value: 77, quality: 1, readings: 1 },
  ])
})

test('retention takes aggregates with the rollups, whole months at once', async () => {
  const ages = [100, 25, 1].map(days => startUs - days * 1440 * minuteUs)
  await storeAggregates(
    windows(
      'temp',
      minuteUs,
      ages.map(from => ({ startUs: from, readings: readings(from, 1) })),
    ),
  )
  const { tables, aggregates } = await applyRetention(database, { days: 5, rollupDays: 20, now: () => nowMs })
  expect(tables).toContain('aggregate_202512')
  expect(aggregates).toBe(1)
  expect((await select('select start from aggregate')).length).toBe(1)
})

describe('recalls', () => {
  const done = (id: number, readings: number, complete: boolean) =>
    judged({ header: { recallsDone: [{ id, readings, complete }] } })

  beforeEach(async () => {
    await makeAgents(database, 0)
    await database.pool.query(
      `insert into recall (agent_no, device, metric, from_us, to_us) values (1, 'pump', 'temp', 0, 1), (1, 'pump', 'temp', 1, 2)`,
    )
  })

  test('a recall is closed once, by the first batch that tells it', async () => {
    await store(done(1, 600, true), done(1, 0, false))
    await store(done(1, 5, false), done(2, 0, false))
    expect(await select('select recall_id, readings, complete from recall order by 1')).toEqual([
      { recall_id: 1, readings: 600, complete: true },
      { recall_id: 2, readings: 0, complete: false },
    ])
  })

  test('a batch that is taken without being applied closes it too', async () => {
    const batch = done(2, 3, true)
    await database.transaction(tx => effect.leftOut(tx, [batch]))
    expect(await select('select readings from recall where recall_id = 2')).toEqual([{ readings: 3 }])
  })

  test('no other agent closes it, and a recall that nobody asked for is passed over', async () => {
    await database.pool.query(`insert into agent (agent_id, site, name) values ('ag-2', 'site', 'two')`)
    const other = done(1, 9, true)
    await store({ ...other, envelope: { ...other.envelope, agentNo: 2 } }, done(99, 1, true))
    expect(await select('select recall_id from recall where done_at is not null')).toEqual([])
  })
})
