/** The whole path over real services: agent → hub with Kafka and Debian's Postgres → rows, while the broker is killed. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { enrollAgent, freePort, startAgent, startHub } from '../harness/stack.ts'
import { PostgresService } from './postgres.ts'
import { startTestKafka } from './test-kafka.ts'

let cleanup = new AsyncDisposableStack()
afterEach(async () => {
  await cleanup.disposeAsync()
  cleanup = new AsyncDisposableStack()
})

const silent = () => undefined

async function startAll() {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-services-'))
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }))
  const postgres = new PostgresService({ folder: join(folder, 'postgres'), port: await freePort() })
  cleanup.defer(() => rmSync(postgres.status().folder, { recursive: true, force: true }))
  cleanup.defer(() => postgres.stop())
  await postgres.start(silent)
  const { service: kafka } = cleanup.use(await startTestKafka())
  const config = `kafka:\n  brokers: ${JSON.stringify(kafka.brokers)}\n  replication: 1\n`
  const hub = await startHub({ folder, config, env: { DATABASE_URL: postgres.url } })
  cleanup.defer(() => hub.program.stop())
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  const agent = await startAgent({ folder, hubUrl: hub.url })
  cleanup.defer(() => agent.program.stop())
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 })
  cleanup.defer(() => pool.end())
  return { folder, kafka, hub, agent, pool }
}

test('a broker that is killed and comes back costs nothing acknowledged, and doubles nothing', async () => {
  const { folder, kafka, hub, agent, pool } = await startAll()
  const stored = async () => {
    const { rows } = await pool.query<{ value: number }>(
      `select value from reading join series using (series_id) where device = 'press-1' order by value`,
    )
    return rows.map(({ value }) => value)
  }
  const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
  let published = 0
  const publish = async (count: number) => {
    for (const end = published + count; published < end; published++) {
      const payload = JSON.stringify({ value: published, ts: Date.now() * 1000 })
      await client.publishAsync('sensors/press-1/n', payload, { qos: 1 })
      await sleep(10)
    }
  }
  await publish(200)
  await expect.poll(async () => (await stored()).length, { timeout: 30_000 }).toBeGreaterThan(0)
  await Promise.all([publish(200), kafka.stopNode(0)])
  const whileAway = await (await fetch(`${hub.url}/metrics`)).text()
  expect(whileAway).toContain('tributary_ingest_batches_total')
  expect(whileAway).not.toMatch(/tributary_log_lag_records\{/)
  await publish(100)
  await Promise.all([publish(200), kafka.start(silent)])
  await client.endAsync()
  const all = Array.from({ length: published }, (_, n) => n)
  await expect.poll(async () => (await stored()).length, { timeout: 60_000 }).toBe(published)
  expect(await stored()).toEqual(all)
  const metrics = await (await fetch(`${hub.url}/metrics`)).text()
  expect(metrics).toMatch(/tributary_log_lag_records\{consumer="store"\} 0/)
  await kafka.stopNode(0)
  await hub.program.stop()
  expect(readFileSync(join(folder, 'hub.log'), 'utf8')).not.toContain('stopping takes too long')
}, 180_000)
