import type { SeriesColumns } from '@tributary/shared/batch/batch'
import type { Quality, Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { listPartitions } from '../database/partitions.ts'
import { testDatabase } from '../database/test-database.ts'
import type { JudgedBatch } from '../log/effect.ts'
import { column, makeAgents, makeBatch, type TestBatch } from '../log/test-batches.ts'
import { DiskGuard } from './disk-guard.ts'
import { StoreEffect } from './store-effect.ts'

const startUs = Date.UTC(2026, 3, 1, 12) * 1000
const dayUs = 86_400_000_000
const startDate = new Date(startUs / 1000)

let database: Database
let effect: StoreEffect

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database, 2)
  effect = new StoreEffect({ database, now: () => startUs / 1000 })
})
afterEach(() => database.close())

function judged(test: TestBatch, envelope: Partial<JudgedBatch['envelope']> = {}): JudgedBatch {
  return {
    partition: 0,
    offset: BigInt(test.seq),
    batch: makeBatch(test),
    envelope: {
      receivedAtMs: 1_700_000_000_000 + test.seq,
      agentNo: test.agentNo,
      lane: 'live',
      floor: 1,
      ruleVersion: 1,
      rejected: test.rejected ?? new Map(),
      digest: new Uint8Array(32),
      batch: new Uint8Array(),
      ...envelope,
    },
  }
}

async function store(...batches: JudgedBatch[]): Promise<void> {
  await database.transaction(tx => effect.apply(tx, batches))
  effect.committed(batches)
}

const storeColumns = (...columns: SeriesColumns[]) => store(judged({ agentNo: 1, seq: 1, columns }))

interface Row {
  readonly metric: string
  readonly us: number
  readonly value: number | null
  readonly text: string | null
  readonly quality: number
}

async function rows(): Promise<Row[]> {
  const result = await database.pool.query<Row>(
    `select metric, (extract(epoch from ts) * 1000000)::int8 as us, value, text, quality from reading join series using (series_id)`,
  )
  return result.rows
}

describe('values', () => {
  test('numbers come back bit for bit', async () => {
    const values = [
      0,
      -0,
      5e-324,
      -5e-324,
      Number.MAX_VALUE,
      -Number.MAX_VALUE,
      0.1,
      1 / 3,
      2 ** 53 + 2,
      1e308,
      -1e-308,
    ]
    await storeColumns(
      column(
        'temp',
        values.map((_, i) => startUs + i),
        values,
      ),
    )
    const stored = (await rows()).sort((a, b) => a.us - b.us).map(({ value }) => value)
    expect(stored.map(value => (Object.is(value, -0) ? '-0' : value))).toEqual(
      values.map(value => (Object.is(value, -0) ? '-0' : value)),
    )
  })

  test('strings, booleans and mixtures keep their kind', async () => {
    const values: Value[] = [true, false, 'true', '', 'ü \\ " {} \u{1f600}', 1.5]
    await storeColumns(
      column(
        'mixed',
        values.map((_, i) => startUs + i),
        values,
      ),
      column('flags', [startUs, startUs + 1], [true, false]),
    )
    const stored = (await rows()).sort((a, b) => a.metric.localeCompare(b.metric) || a.us - b.us)
    expect(stored.map(({ metric, value, text }) => [metric, value, text])).toEqual([
      ['flags', 1, 'true'],
      ['flags', 0, 'false'],
      ['mixed', 1, 'true'],
      ['mixed', 0, 'false'],
      ['mixed', null, 'true'],
      ['mixed', null, ''],
      ['mixed', null, 'ü \\ " {} \u{1f600}'],
      ['mixed', 1.5, null],
    ])
  })

  test('a NUL in a string, which Postgres cannot hold, becomes the replacement character', async () => {
    await storeColumns(column('text', [startUs], ['a\0b']))
    expect((await rows())[0]?.text).toBe('a\ufffdb')
  })

  test('readings of equal time are both kept, in order of arrival, within a batch and across batches', async () => {
    await store(
      judged({ agentNo: 1, seq: 1, columns: [column('temp', [startUs, startUs, startUs - 5], [1, 2, 0])] }),
      judged({ agentNo: 1, seq: 2, columns: [column('temp', [startUs], [3])] }),
    )
    await store(judged({ agentNo: 1, seq: 3, columns: [column('temp', [startUs, startUs + 1], [4, 5])] }))
    const { rows } = await database.pool.query<{ value: number }>(
      `select value from readings(1, $1, $1::timestamptz + interval '1 s')`,
      [startDate],
    )
    expect(rows.map(({ value }) => value)).toEqual([1, 2, 3, 4, 5])
  })

  test('what is stored is exactly what was accepted, whatever the readings', async () => {
    const reading = fc.record({
      metric: fc.constantFrom('a', 'b', 'c'),
      us: fc.oneof(
        fc.integer({ min: startUs - 3 * dayUs, max: startUs + 3 * dayUs }),
        fc.integer({ min: -20, max: 20 }).map(i => startUs + i * 250_000),
      ),
      value: fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer(),
        fc.boolean(),
        fc.string({ maxLength: 8 }),
      ),
      quality: fc.constantFrom<Quality>(0, 0, 0, 1, 2),
      rejected: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(reading, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 4 }),
        async batches => {
          await database.pool.query('truncate segment, rollup_dirty, dead_letter')
          const parts = batches.map((readings, index) => {
            const bySeries = [...Map.groupBy(readings, ({ metric }) => metric)]
            const inOrder = bySeries.flatMap(([, part]) => part)
            return judged({
              agentNo: 1,
              seq: index + 1,
              columns: bySeries.map(([metric, part]) =>
                column(
                  metric,
                  part.map(({ us }) => us),
                  part.map(({ value }) => value),
                  part.map(({ quality }) => quality),
                ),
              ),
              rejected: new Map(
                inOrder.flatMap(({ rejected }, place) => (rejected ? [[place, 'future'] as const] : [])),
              ),
            })
          })
          await store(...parts)
          const expected = batches
            .flat()
            .filter(({ rejected }) => !rejected)
            .map(({ metric, us, value, quality }) => ({
              metric,
              us,
              value: typeof value === 'string' ? null : Number(value),
              text: typeof value === 'number' ? null : String(value).replaceAll('\0', '\ufffd'),
              quality,
            }))
          expect((await rows()).map(keyOf).sort()).toEqual(expected.map(keyOf).sort())
        },
      ),
      { numRuns: 40 },
    )
  })
})

function keyOf(row: Row): string {
  return JSON.stringify([row.metric, row.us, Object.is(row.value, -0) ? '-0' : row.value, row.text, row.quality])
}

describe('tables', () => {
  test('any accepted time finds a table: days for what is recent, months for what is old', async () => {
    effect = new StoreEffect({ database })
    const times = [
      Date.UTC(2000, 0, 1),
      Date.UTC(2000, 0, 31, 23),
      Date.UTC(2011, 5, 15),
      Date.now() - 86_400_000,
      Date.now(),
    ]
    await storeColumns(
      column(
        'temp',
        times.map(ms => ms * 1000),
        [1, 2, 3, 4, 5],
      ),
    )
    expect((await rows()).map(({ value }) => value).sort()).toEqual([1, 2, 3, 4, 5])
    const names = (await listPartitions(database, 'segment')).map(({ name }) => name)
    expect(names.slice(0, 2)).toEqual(['segment_200001', 'segment_201106'])
    expect(names.slice(2).every(name => /^segment_\d{8}$/.test(name))).toBe(true)
  })

  test('a month that has days gets further days, so that tables never overlap', async () => {
    effect = new StoreEffect({ database })
    const then = Date.UTC(2020, 1, 10)
    await new StoreEffect({ database, now: () => then }).tables.ensure([then])
    await storeColumns(column('temp', [Date.UTC(2020, 1, 9) * 1000, then * 1000], [1, 2]))
    expect((await listPartitions(database, 'segment')).map(({ name }) => name)).toEqual([
      'segment_20200209',
      'segment_20200210',
    ])
  })

  test('two stores that need the same tables at once both get them', async () => {
    const times = Array.from({ length: 12 }, (_, month) => Date.UTC(2015, month, 3))
    const stores = [new StoreEffect({ database }), new StoreEffect({ database })]
    await Promise.all(stores.map(one => one.tables.ensure(times)))
    expect(await listPartitions(database, 'segment')).toHaveLength(12)
  })
})

describe('queries', () => {
  test('readings() includes its start and excludes its end', async () => {
    await storeColumns(
      column(
        'temp',
        [0, 1, 2, 3].map(i => startUs + i * 1_000_000),
        [0, 1, 2, 3],
      ),
    )
    const { rows } = await database.pool.query<{ value: number }>(`select value from readings(1, $1, $2)`, [
      new Date(startUs / 1000 + 1000),
      new Date(startUs / 1000 + 3000),
    ])
    expect(rows.map(({ value }) => value)).toEqual([1, 2])
  })

  test('readings() is inlined, opens only the tables of its span, and finds segments by the primary key', async () => {
    for (let day = 0; day < 20; day++) {
      const t = startUs + day * dayUs
      await storeColumns(column('temp', [t, t + 1000], [1, 2]), column('other', [t], [1]))
    }
    const text = `explain (analyze, format text, timing off, summary off) select * from readings(1, $1, $2)`
    const from = new Date(startUs / 1000 + 10 * 86_400_000 - 1000)
    const to = new Date(startUs / 1000 + 10 * 86_400_000 + 1000)
    const client = await database.pool.connect()
    try {
      await client.query('set enable_seqscan = off')
      for (const mode of ['force_custom_plan', 'force_generic_plan']) {
        await client.query(`set plan_cache_mode = ${mode}`)
        const { rows } = await client.query<{ 'QUERY PLAN': string }>({
          name: `plan-${mode}`,
          text,
          values: [from, to],
        })
        const plan = rows.map(row => row['QUERY PLAN']).join('\n')
        expect(plan).not.toContain('Function Scan on readings')
        expect([...new Set(plan.match(/segment_\d{8}(?= g)/g))]).toEqual(['segment_20260410', 'segment_20260411'])
        expect(plan).toMatch(/Index Cond: \(\(series_id = 1\) AND \(t0 >= /)
      }
    } finally {
      client.release(true)
    }
  })
})

describe('beside the readings', () => {
  test('rejected readings become one dead letter a reason, which shows the first of them; a replay adds none', async () => {
    const rejected = new Map([
      [1, 'non-finite'],
      [2, 'future'],
      ...Array.from({ length: 12 }, (_, i) => [i + 4, 'future'] as const),
    ] as const)
    const values = Array.from({ length: 16 }, (_, i) => (i === 1 ? Number.NaN : i))
    const batch = judged({
      agentNo: 1,
      seq: 7,
      rejected,
      columns: [
        column(
          'temp',
          values.map((_, i) => startUs + i),
          values,
        ),
      ],
    })
    await store(batch)
    await store(batch)
    const letters = await database.pool.query(
      'select stage, reason, agent_no, epoch, seq, readings, detail from dead_letter order by reason',
    )
    expect(letters.rows).toMatchObject([
      { stage: 'ingest', reason: 'future', agent_no: 1, epoch: 1, seq: 7, readings: 13 },
      {
        reason: 'non-finite',
        readings: 1,
        detail: { readings: [{ index: 1, metric: 'temp', value: 'NaN', tsUs: startUs + 1, quality: 'good' }] },
      },
    ])
    expect(letters.rows[0].detail.readings).toHaveLength(10)
    expect((await rows()).filter(({ us }) => us === startUs + 1)).toEqual([])
  })

  test("the agent's row follows the header sealed last; a batch that comes late never turns it back", async () => {
    const agent = async () =>
      (await database.pool.query('select counters, epoch, boot_id, last_seen_at from agent where agent_no = 1')).rows[0]
    await store(judged({ agentNo: 1, seq: 9, epoch: 2 }))
    await store(judged({ agentNo: 1, seq: 3, epoch: 1 }, { lane: 'backlog', receivedAtMs: 1_700_000_001_000 }))
    expect(await agent()).toMatchObject({
      epoch: 2,
      counters: { accepted: 9 },
      last_seen_at: new Date(1_700_000_001_000),
    })
    await store(judged({ agentNo: 1, seq: 8, epoch: 2 }))
    expect(await agent()).toMatchObject({ epoch: 2, counters: { accepted: 9 } })
    const { wallUs } = makeBatch({ agentNo: 1, seq: 10 }).header
    await store(judged({ agentNo: 1, seq: 1, epoch: 3, header: { wallUs } }))
    expect(await agent()).toMatchObject({
      epoch: 3,
      counters: { accepted: 1 },
      last_seen_at: new Date(1_700_000_001_000),
    })
  })

  test('series made in a transaction that was rolled back are made again', async () => {
    const batch = judged({ agentNo: 1, seq: 1 })
    const failing = database.transaction(async tx => {
      await effect.apply(tx, [batch])
      throw new Error('stop')
    })
    await expect(failing).rejects.toThrow('stop')
    await effect.rolledBack(0)
    await store(batch)
    expect(await rows()).toHaveLength(1)
  })

  test('below the bound of free disk the store pauses with a retryable error, and nothing is written', async () => {
    const guard = new DiskGuard({ path: process.cwd(), minFreeBytes: Number.MAX_SAFE_INTEGER })
    const full = new StoreEffect({ database, diskGuard: guard })
    const storing = database.transaction(tx => full.apply(tx, [judged({ agentNo: 1, seq: 1 })]))
    await expect(storing).rejects.toMatchObject({ code: 'storage-full', retryable: true })
    expect(await new DiskGuard({ path: process.cwd(), minFreeBytes: 1 }).isOk()).toBe(true)
    expect(await new DiskGuard({ path: null, minFreeBytes: Number.MAX_SAFE_INTEGER }).isOk()).toBe(true)
  })
})
