import { type Batch, noCounters, type SeriesColumns } from '@tributary/shared/batch/batch'
import { batchDigest, encodeBatch } from '@tributary/shared/batch/codec'
import type { RejectReason } from '@tributary/shared/protocol'
import pino from 'pino'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { resolveSeriesIds } from '../database/series-ids.ts'
import { testDatabase } from '../database/test-database.ts'
import type { JudgedBatch } from '../log/effect.ts'
import { encodeEnvelope } from '../log/envelope.ts'
import type { LogRecord, Topic } from '../log/event-log.ts'
import { DetectEffect, type DetectOptions } from './detect-effect.ts'

const minuteUs = 60e6
const startUs = Date.UTC(2026, 0, 1) * 1000
const partition = 3

/** A log of one partition whose records stay at hand. */
class TestLog {
  readonly records: JudgedBatch[] = []
  /** Offsets that are gone. */
  readonly dropped = new Set<bigint>()

  append(agentNo: number, columns: readonly SeriesColumns[], rejected = new Map<number, RejectReason>()): JudgedBatch {
    const seq = this.records.length + 1
    const header: Batch['header'] = {
      agentId: `ag-${agentNo}`,
      epoch: 7,
      seq,
      bootId: '7b4c2f5e-0d0a-4a55-9c43-0c2c94cf0a11',
      monotonicUs: 1,
      wallUs: startUs,
      counters: noCounters,
      losses: [],
      recallsDone: [],
    }
    const batch = { header, columns, aggregates: [] }
    const bytes = encodeBatch(batch)
    const envelope = {
      receivedAtMs: startUs / 1000,
      agentNo,
      lane: 'live' as const,
      floor: 0,
      ruleVersion: 1,
      rejected,
      digest: batchDigest(bytes),
      batch: bytes,
    }
    const judged = { partition, offset: BigInt(this.records.length), envelope, batch }
    this.records.push(judged)
    return judged
  }

  async read(_topic: Topic, partition: number, offset: bigint): Promise<LogRecord | null> {
    const record = this.records[Number(offset)]
    if (record === undefined || this.dropped.has(offset)) return null
    return { partition, offset, key: 'ag-1', bytes: encodeEnvelope(record.envelope) }
  }
}

function noise(i: number, salt: number): number {
  const x = Math.sin(i * 12.9898 + salt * 78.233) * 43758.5453
  return x - Math.floor(x)
}

const spikes = new Set([1700, 2500, 3100])

/** Reading i of device d: a wave, noise, and spikes at known places of device 0. */
function valueAt(device: number, i: number): number {
  const spike = device === 0 && spikes.has(i) ? 40 + i / 100 : 0
  return 20 + 3 * Math.sin(i / 90 + device) + noise(i, device) + spike
}

function column(device: number, from: number, length: number): SeriesColumns {
  const places = Array.from({ length }, (_, i) => from + i)
  return {
    series: { device: `pump-${device}`, metric: 'pressure', unit: 'bar' },
    tsUs: Float64Array.from(places, i => startUs + i * minuteUs),
    values: Float64Array.from(places, i => valueAt(device, i)),
    quality: null,
  }
}

const readingsABatch = 40

function fill(log: TestLog, agentNo: number, batches: number): void {
  for (let b = 0; b < batches; b++) {
    log.append(
      agentNo,
      [0, 1, 2].map(device => column(device, b * readingsABatch, readingsABatch)),
    )
  }
}

async function makeAgent(database: Database): Promise<number> {
  const { rows } = await database.pool.query<{ agent_no: number }>(
    `insert into agent (agent_id, site, name) values ('ag-1', 'site', 'one') returning agent_no`,
  )
  const agentNo = rows[0]?.agent_no ?? 0
  // Ids of series are part of the anomalies' ids, and a rolled back insert uses up numbers.
  const keys = [0, 1, 2].map(device => ({ agentNo, ...column(device, 0, 0).series }))
  await database.transaction(tx => resolveSeriesIds(tx, keys))
  return agentNo
}

function detector(database: Database, log: TestLog, options: Partial<DetectOptions> = {}): DetectEffect {
  return new DetectEffect({ database, log, logger: pino({ level: 'silent' }), nowMs: () => 0, ...options })
}

/** Apply records in transactions of `together`, as the consumer does. */
async function consume(
  database: Database,
  effect: DetectEffect,
  records: readonly JudgedBatch[],
  together = 5,
): Promise<void> {
  for (let from = 0; from < records.length; from += together) {
    await database.transaction(tx => effect.apply(tx, records.slice(from, from + together)))
  }
}

async function anomalies(database: Database): Promise<Record<string, unknown>[]> {
  const { rows } = await database.pool.query(
    `select anomaly_id, series_id, detector, opened_us, closed_us, surprise, score, severity, stream, value, expected, seen_before,
       learning, historic from anomaly order by opened_us, anomaly_id`,
  )
  return rows
}

async function states(database: Database): Promise<Record<string, unknown>[]> {
  const { rows } = await database.pool.query(
    'select series_id, detector, state, frontier_us, readings, late from detector_state order by series_id',
  )
  return rows
}

/** What one run without any interruption leaves. */
async function uninterrupted(log: TestLog, options: Partial<DetectOptions> = {}) {
  await using database = await testDatabase()
  await makeAgent(database)
  await using effect = detector(database, log, options)
  await consume(database, effect, log.records)
  await effect.close()
  return { anomalies: await anomalies(database), states: await states(database) }
}

test('a spike in a periodic series opens one anomaly that explains itself, and closes it', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 50)
  await using effect = detector(database, log)
  await consume(database, effect, log.records)
  const { rows } = await database.pool.query(
    `select device, a.* from anomaly a join series using (series_id) where opened_us = $1`,
    [startUs + 1700 * minuteUs],
  )
  expect(rows).toEqual([
    expect.objectContaining({
      device: 'pump-0',
      detector: 'lite',
      severity: 'critical',
      value: valueAt(0, 1700),
      learning: false,
      historic: false,
      closed_us: expect.any(Number),
    }),
  ])
  const [row] = rows
  expect(row.seen_before).toBeLessThan(0.5)
  expect(row.surprise).toBeGreaterThan(2.5)
  expect(row.score).toBeCloseTo(1 - 10 ** -row.surprise, 12)
  expect(Math.abs(row.expected - 20)).toBeLessThan(6)
  expect(row.closed_us).toBeGreaterThan(row.opened_us)
})

test('an anomaly during the soft warm-up says that the detector is learning', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  const agentNo = await makeAgent(database)
  fill(log, agentNo, 5)
  log.append(agentNo, [{ ...column(0, 200, 1), values: Float64Array.of(500) }])
  await using effect = detector(database, log)
  await consume(database, effect, log.records)
  const found = await anomalies(database)
  expect(found).toContainEqual(expect.objectContaining({ value: 500, severity: 'critical', closed_us: null }))
  expect(found.every(row => row.learning)).toBe(true)
})

test('a replay of the whole log with fresh detectors adds no row and changes none', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 90)
  await using first = detector(database, log)
  await consume(database, first, log.records)
  const before = await anomalies(database)
  expect(before.length).toBeGreaterThan(0)
  await database.pool.query('truncate detector_state, detector_checkpoint')
  await using second = detector(database, log)
  await consume(database, second, log.records, 7)
  expect(await anomalies(database)).toEqual(before)
})

test.each([
  { name: 'snapshots by count', options: { snapshotEveryReadings: 1300 } },
  { name: 'no snapshot', options: {} },
  { name: 'a snapshot in every transaction', options: { snapshotEveryReadings: 1 } },
  { name: 'room for two series', options: { maxSeries: 2, snapshotEveryReadings: 500 } },
])('a run killed at any point and taken over gives the same anomalies and states: $name', async ({ options }) => {
  const log = new TestLog()
  fill(log, 1, 90)
  const expected = await uninterrupted(log)
  expect(expected.anomalies.length).toBeGreaterThanOrEqual(2)
  await using database = await testDatabase()
  await makeAgent(database)
  let at = 0
  for (const [turn, size] of [11, 1, 17, 23, 8, 30].entries()) {
    const effect = detector(database, log, options)
    if (turn % 2 === 0) await effect.assigned(partition)
    await consume(database, effect, log.records.slice(at, at + size), 1 + (turn % 4))
    at += size
  }
  await using last = detector(database, log, options)
  await last.assigned(partition)
  await consume(database, last, log.records.slice(at))
  await last.close()
  expect(at).toBe(90)
  expect(await anomalies(database)).toEqual(expected.anomalies)
  expect(await states(database)).toEqual(expected.states)
})

test('a transaction that is rolled back leaves no trace in memory, with or without the hook', async () => {
  const log = new TestLog()
  fill(log, 1, 70)
  const expected = await uninterrupted(log)
  await using database = await testDatabase()
  await makeAgent(database)
  await using effect = detector(database, log, { snapshotEveryReadings: 1000 })
  for (let from = 0; from < 70; from += 7) {
    const records = log.records.slice(from, from + 7)
    const failing = database.transaction(async tx => {
      await effect.apply(tx, records)
      throw new Error('the database went away')
    })
    await expect(failing).rejects.toThrow('went away')
    if (from % 2 === 0) await effect.rolledBack(partition)
    await database.transaction(tx => effect.apply(tx, records))
  }
  await effect.close()
  expect(await anomalies(database)).toEqual(expected.anomalies)
  expect(await states(database)).toEqual(expected.states)
})

test('part of a transaction rolled back to a savepoint leaves no trace in memory', async () => {
  const log = new TestLog()
  fill(log, 1, 70)
  const expected = await uninterrupted(log)
  await using database = await testDatabase()
  await makeAgent(database)
  await using effect = detector(database, log)
  await consume(database, effect, log.records.slice(0, 20))
  await database.transaction(async tx => {
    await effect.apply(tx, log.records.slice(20, 30))
    await tx.query('savepoint s')
    await effect.apply(tx, log.records.slice(30, 50))
    await tx.query('rollback to savepoint s')
    await effect.apply(tx, log.records.slice(30, 40))
    await effect.apply(tx, log.records.slice(40, 70))
  })
  await effect.close()
  expect(await anomalies(database)).toEqual(expected.anomalies)
  expect(await states(database)).toEqual(expected.states)
})

test('records that the consumer left out as repeats are left out again after a restart', async () => {
  const log = new TestLog()
  fill(log, 1, 60)
  const expected = await uninterrupted(log)
  await using database = await testDatabase()
  await makeAgent(database)
  const doubled = new TestLog()
  for (const record of log.records) {
    doubled.append(1, record.batch.columns)
    doubled.append(1, record.batch.columns)
  }
  const originals = doubled.records.filter((_, i) => i % 2 === 0)
  const effect = detector(database, doubled)
  await consume(database, effect, originals.slice(0, 45))
  await using next = detector(database, doubled)
  await consume(database, next, originals.slice(45))
  expect(next.counters.readings).toBe(15 * 3 * readingsABatch)
  await next.close()
  expect(await anomalies(database)).toEqual(expected.anomalies)
  expect(await states(database)).toEqual(expected.states)
})

test('a rival that took the partition over is noticed, and its progress is taken in', async () => {
  const log = new TestLog()
  fill(log, 1, 60)
  const expected = await uninterrupted(log)
  await using database = await testDatabase()
  await makeAgent(database)
  await using one = detector(database, log)
  await using other = detector(database, log)
  await consume(database, one, log.records.slice(0, 20))
  await consume(database, other, log.records.slice(20, 40))
  await consume(database, one, log.records.slice(40))
  await other.close()
  await one.close()
  expect(await anomalies(database)).toEqual(expected.anomalies)
  expect(await states(database)).toEqual(expected.states)
})

test('readings behind the frontier are counted and change nothing else', async () => {
  const log = new TestLog()
  fill(log, 1, 50)
  const expected = await uninterrupted(log)
  await using database = await testDatabase()
  await makeAgent(database)
  const late = new TestLog()
  for (const [i, record] of log.records.entries()) {
    late.append(1, record.batch.columns)
    if (i === 30) late.append(1, [{ ...column(0, 100, 25), values: new Float64Array(25).fill(1e9) }])
  }
  await using effect = detector(database, late)
  await consume(database, effect, late.records)
  await effect.close()
  expect(effect.counters.late).toBe(25)
  expect(await anomalies(database)).toEqual(expected.anomalies)
  const { rows } = await database.pool.query('select late from detector_state order by series_id')
  expect(rows).toEqual([{ late: 25 }, { late: 0 }, { late: 0 }])
})

test('rejected readings, bad quality, booleans and strings are not fed', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  const agentNo = await makeAgent(database)
  log.append(
    agentNo,
    [
      { ...column(0, 0, 4), quality: Uint8Array.of(0, 1, 2, 0) },
      { ...column(1, 0, 3), values: [1, true, 'on'] },
      { ...column(2, 0, 2), values: ['a', 'b'] },
    ],
    new Map([[0, 'future']]),
  )
  await using effect = detector(database, log)
  await consume(database, effect, log.records)
  await effect.close()
  expect(effect.counters.readings).toBe(3)
  const { rows } = await database.pool.query(
    `select device, readings from detector_state join series using (series_id) order by device`,
  )
  expect(rows).toEqual([
    { device: 'pump-0', readings: 2 },
    { device: 'pump-1', readings: 1 },
  ])
})

test('where the log lost records since the snapshot, detectors go on from it, learning', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 60)
  const effect = detector(database, log, { snapshotEveryReadings: 4000 })
  await consume(database, effect, log.records.slice(0, 40))
  for (let offset = 0n; offset < 38n; offset++) log.dropped.add(offset)
  await using next = detector(database, log)
  await consume(database, next, log.records.slice(40))
  expect(next.counters.missing).toBe(3)
  await next.close()
  const { rows } = await database.pool.query('select readings from detector_state')
  expect(rows).toEqual(Array.from({ length: 3 }, () => ({ readings: 57 * readingsABatch })))
})

test('a log made anew is not mistaken for the one before', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 10)
  await consume(database, detector(database, log), log.records)
  const anew = new TestLog()
  for (let b = 10; b < 30; b++) anew.append(1, [column(0, b * readingsABatch, readingsABatch)])
  await using effect = detector(database, anew)
  await consume(database, effect, anew.records)
  expect(effect.counters.missing).toBe(10)
  await effect.close()
  const { rows } = await database.pool.query('select last_offset, pending::text from detector_checkpoint')
  expect(rows).toEqual([{ last_offset: 19, pending: '{}' }])
  const { rows: kept } = await database.pool.query('select readings from detector_state')
  expect(kept).toEqual([{ readings: 20 * readingsABatch }])
})

test('a log made anew under a running detector does not mix with what is pending', async () => {
  await using database = await testDatabase()
  const old = new TestLog()
  fill(old, await makeAgent(database), 10)
  const anew = new TestLog()
  for (let b = 10; b < 30; b++) anew.append(1, [column(0, b * readingsABatch, readingsABatch)])
  let log = old
  const running = detector(database, old, { log: { read: (...where) => log.read(...where) } })
  await consume(database, running, old.records)
  log = anew
  await consume(database, running, anew.records.slice(0, 15))
  await using next = detector(database, anew)
  await consume(database, next, anew.records.slice(15))
  expect(next.counters.missing).toBe(0)
  await next.close()
  const { rows } = await database.pool.query('select readings from detector_state order by series_id')
  expect(rows.map(row => row.readings)).toEqual([30, 10, 10].map(batches => batches * readingsABatch))
})

test('a stored state that cannot be read starts that series anew and harms no other', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 20)
  await using effect = detector(database, log)
  await consume(database, effect, log.records.slice(0, 10))
  await effect.close()
  await database.pool.query(
    `update detector_state set state = '\\x00' where series_id = (select min(series_id) from series)`,
  )
  await using next = detector(database, log)
  await consume(database, next, log.records.slice(10))
  await next.close()
  expect(next.counters.restarted).toBe(1)
  const { rows } = await database.pool.query('select readings from detector_state order by series_id')
  expect(rows.map(row => row.readings)).toEqual([400, 800, 800])
})

test('a partition that went quiet gets its snapshot by the clock', async () => {
  await using database = await testDatabase()
  const log = new TestLog()
  fill(log, await makeAgent(database), 3)
  let nowMs = 0
  await using effect = detector(database, log, { snapshotEveryMs: 20, nowMs: () => nowMs })
  effect.start()
  await consume(database, effect, log.records)
  nowMs = 1000
  await expect
    .poll(async () => (await database.pool.query('select pending::text from detector_checkpoint')).rows)
    .toEqual([{ pending: '{}' }])
  expect(await states(database)).toHaveLength(3)
})
