// The detect consumer on the Postgres event log, applied by the exactly-once consumer.
import pino from 'pino'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { resolveSeriesIds } from '../database/series-ids.ts'
import { testDatabase } from '../database/test-database.ts'
import { until } from '../log/event-log.suite.ts'
import { runEffect } from '../log/exactly-once.ts'
import { PostgresLog } from '../log/postgres-log.ts'
import { appendBatch, column, makeAgents } from '../log/test-batches.ts'
import { DetectEffect } from './detect-effect.ts'

const agents = [1, 2, 3]
const batches = 40
const readingsABatch = 50

/** A wave with a little noise; agent 2 has a spike, agent 3 a step. */
function valueAt(agentNo: number, i: number): number {
  const spike = agentNo === 2 && i === 1234 ? 30 : 0
  const step = agentNo === 3 && i > 1600 ? 9 : 0
  return 10 + Math.sin(i / 40) + ((i * 7919 * agentNo) % 97) / 200 + spike + step
}

async function append(log: PostgresLog, agentNo: number, seq: number): Promise<void> {
  const places = Array.from({ length: readingsABatch }, (_, i) => (seq - 1) * readingsABatch + i)
  await appendBatch(log, {
    agentNo,
    seq,
    columns: [
      column(
        'temp',
        places.map(i => 1_700_000_000_000_000 + i * 60e6),
        places.map(i => valueAt(agentNo, i)),
      ),
    ],
  })
}

/** A database with its log, agents and series. */
async function hub() {
  const database = await testDatabase({ connections: 8 })
  await makeAgents(database, agents.length)
  const keys = agents.map(agentNo => ({ agentNo, device: 'pump', metric: 'temp', unit: '' }))
  await resolveSeriesIds(database.pool, keys)
  const log = await PostgresLog.open(database, { partitions: 2, pollMs: 20, leaseMs: 1000 })
  return {
    database,
    log,
    async [Symbol.asyncDispose]() {
      await log.close()
      await database.close()
    },
  }
}

/** Run the consumer until `enough` readings were applied, or all; leaves without a snapshot, as a killed process does. */
async function run(database: Database, log: PostgresLog, enough = Number.POSITIVE_INFINITY): Promise<void> {
  const effect = new DetectEffect({
    database,
    log,
    logger: pino({ level: 'silent' }),
    snapshotEveryReadings: 1200,
  })
  const stop = new AbortController()
  let applied = 0
  const onApplied = ({ readings }: { readings: number }) => {
    applied += readings
    if (applied >= enough) stop.abort()
  }
  const done = runEffect({ log, database, effect, signal: stop.signal, maxRecords: 7, onApplied })
  await until(async () => stop.signal.aborted || (await isCaughtUp(database)))
  stop.abort()
  await done
}

async function isCaughtUp(database: Database): Promise<boolean> {
  const { rows } = await database.pool.query<{ behind: number }>(
    `select coalesce(sum(h.next_offset - coalesce(p.next_offset, 0)), 0)::int8 as behind
     from log_head h left join consumer_position p using (topic, partition)`,
  )
  return rows[0]?.behind === 0
}

async function anomalies(database: Database) {
  const { rows } = await database.pool.query(
    `select anomaly_id, series_id, opened_us, closed_us, surprise, severity, stream, value, expected, seen_before, learning
     from anomaly order by series_id, opened_us`,
  )
  return rows
}

test('interrupted runs over a log full of repeats leave the anomalies of one undisturbed run', async () => {
  await using calm = await hub()
  await using rough = await hub()
  for (let seq = 1; seq <= batches; seq++) {
    for (const agentNo of agents) {
      await append(calm.log, agentNo, seq)
      await append(rough.log, agentNo, seq)
      if ((seq * agentNo) % 3 === 0) await append(rough.log, agentNo, seq)
      if (seq > 5 && seq % 4 === 0) await append(rough.log, agentNo, seq - 5)
    }
  }
  await run(calm.database, calm.log)
  for (const enough of [300, 900, 2000, 1]) await run(rough.database, rough.log, enough)
  await run(rough.database, rough.log)

  const expected = await anomalies(calm.database)
  expect(expected).toContainEqual(expect.objectContaining({ value: valueAt(2, 1234), learning: true }))
  expect(await anomalies(rough.database)).toEqual(expected)
})
