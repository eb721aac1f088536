/**
 * The whole path on one machine: from a sensor's publish to a row that a query finds. No other side: nobody else's path is the same.
 *
 * Real agent, real hub with its own Postgres, detection and rollups on, each a process of its own; the load shares their cores.
 * Rate: clients with messages in flight for a fixed time; readings that are queryable, divided by the time from the first
 * publish until the last acknowledged one is. Latency: in a second phase, at a paced rate, a probe publishes a reading every 50 ms and asks SQL for
 * it every 2 ms until the row is there.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { MqttDevice } from '../firmware-sim/src/transports/mqtt-device.ts'
import { enrollAgent, hubPool, startAgent, startHub } from '../test/harness/stack.ts'
import { type Bench, type BenchContext, type BenchResult, spread } from './bench.ts'
import { spawnLoad } from './load/spawn-load.ts'

export const e2e: Bench = {
  name: 'e2e',
  summary: 'readings a second from publish to queryable row, and the latency of one',
  options: {
    seconds: { type: 'string', value: 'S', default: '4', help: 'load of each run' },
    probes: { type: 'string', value: 'N', default: '100', help: 'latency probes of each run' },
    paced: { type: 'string', value: 'N', default: '1000', help: 'readings a second beside the probes' },
  },
  run,
}

async function run({ values, runs, progress }: BenchContext): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-e2e-'))
  const hub = await startHub({ folder })
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  const agent = await startAgent({ folder, hubUrl: hub.url })
  const pool = hubPool(hub.dataDir)
  try {
    const rates: number[] = []
    const latenciesMs: number[] = []
    for (let i = 0; i < runs; i++) {
      rates.push(await measureRate(agent.mqttPort, pool, Number(values.seconds)))
      latenciesMs.push(...(await measureLatency(agent.mqttPort, pool, Number(values.probes), Number(values.paced))))
      progress(`run ${i + 1}/${runs}: ${Math.round(rates.at(-1)!)} readings/s`)
    }
    latenciesMs.sort((a, b) => a - b)
    const quantile = (q: number) => Number(latenciesMs[Math.floor(q * (latenciesMs.length - 1))]!.toFixed(1))
    const latency = {
      p50: quantile(0.5),
      p99: quantile(0.99),
      probes: latenciesMs.length,
      besideReadingsPerS: Number(values.paced),
    }
    return {
      ours: spread(rates.map(Math.round)),
      other: null,
      ratio: null,
      unit: 'readings/s',
      runs,
      figures: { latencyMs: latency },
    }
  } finally {
    await pool.end()
    await agent.program.stop()
    await hub.program.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureRate(port: number, pool: Pool, seconds: number): Promise<number> {
  const before = await countStored(pool)
  const startMs = performance.now()
  const { published } = await spawnLoad({ port, clients: 50, inFlight: 40, seconds })
  for (;;) {
    const stored = (await countStored(pool)) - before
    if (stored >= published) return stored / ((performance.now() - startMs) / 1000)
    if (performance.now() - startMs > (seconds + 120) * 1000)
      throw new Error(`${published - stored} acknowledged readings are not queryable after two minutes`)
    await sleep(20)
  }
}

async function countStored(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ n: string }>('select coalesce(sum(n), 0)::text as n from segment')
  return Number(rows[0]!.n)
}

async function measureLatency(port: number, pool: Pool, probes: number, perSecond: number): Promise<number[]> {
  const device = new MqttDevice({ port, clientId: 'probe' })
  const pace = setInterval(() => {
    for (let i = 0; i < perSecond / 50; i++)
      void device.publish(`sensors/pace${i}/x`, `{"value":${i},"ts":${Date.now() * 1000 + i}}`, 1)
  }, 20)
  const latenciesMs: number[] = []
  try {
    await device.publish('sensors/probe/x', `{"value":0,"ts":${Date.now() * 1000}}`, 1)
    const seriesId = await probeSeries(pool)
    for (let i = 0; i < probes; i++) {
      const tsUs = Date.now() * 1000 + 1
      const startMs = performance.now()
      void device.publish('sensors/probe/x', `{"value":${i},"ts":${tsUs}}`, 1)
      await untilQueryable(pool, seriesId, tsUs)
      latenciesMs.push(performance.now() - startMs)
      await sleep(50)
    }
  } finally {
    clearInterval(pace)
    await device.close()
  }
  return latenciesMs
}

async function probeSeries(pool: Pool): Promise<number> {
  for (;;) {
    const { rows } = await pool.query<{ series_id: number }>(`select series_id from series where device = 'probe'`)
    if (rows[0]) return rows[0].series_id
    await sleep(20)
  }
}

async function untilQueryable(pool: Pool, seriesId: number, tsUs: number): Promise<void> {
  const at = `to_timestamp($2::float8 / 1000000)`
  for (;;) {
    const { rowCount } = await pool.query(
      `select 1 from readings($1, ${at} - interval '1 ms', ${at} + interval '1 ms') limit 1`,
      [seriesId, tsUs],
    )
    if (rowCount) return
    await sleep(2)
  }
}
