/** The whole path with real processes: from a sensor's publish to a row that REST and SQL find, over a killed agent and a killed hub. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { enrollAgent, hubPool, type RunningAgent, type RunningHub, startAgent, startHub } from './harness/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-path-'))
let hub: RunningHub
let agent: RunningAgent

beforeAll(async () => {
  hub = await startHub({ folder })
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  agent = await startAgent({ folder, hubUrl: hub.url })
}, 120_000)

afterAll(async () => {
  await agent?.program.stop()
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

interface Series {
  readonly seriesId: number
  readonly device: string
  readonly metric: string
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`${hub.url}${path}`, { headers: { authorization: `Bearer ${hub.adminKey}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}

async function eventually<T>(what: string, probe: () => Promise<T | null>): Promise<T> {
  const endMs = Date.now() + 30_000
  for (;;) {
    const found = await probe()
    if (found !== null) return found
    if (Date.now() > endMs) throw new Error(`not seen within 30 s: ${what}`)
    await sleep(50)
  }
}

async function rowsOf(
  device: string,
  metric: string,
  atLeast: number,
): Promise<{ ts: string; value: number | null; text: string | null }[]> {
  const pool = hubPool(hub.dataDir)
  try {
    return await eventually(`${atLeast} rows of ${device}/${metric}`, async () => {
      const { rows } = await pool.query(
        `select (extract(epoch from ts) * 1000000)::bigint::text as ts, value, text from reading join series using (series_id)
         where device = $1 and metric = $2 order by ts`,
        [device, metric],
      )
      return rows.length >= atLeast ? rows : null
    })
  } finally {
    await pool.end()
  }
}

describe('a reading', () => {
  test('published at QoS 0, 1 and 2 is a row with its own time and value', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`, { clientId: 'path-1' })
    const base = Date.now() * 1000
    for (const qos of [0, 1, 2] as const) {
      await client.publishAsync('sensors/press-1/temp', JSON.stringify({ value: 20.5 + qos, ts: base + qos }), { qos })
    }
    await client.endAsync()
    expect(await rowsOf('press-1', 'temp', 3)).toEqual(
      [0, 1, 2].map(n => ({ ts: String(base + n), value: 20.5 + n, text: null })),
    )
  })

  test('of an object of metrics is one row a metric; strings and booleans keep their type', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    await client.publishAsync(
      'sensors/pump-2',
      JSON.stringify({ flow: { value: 3.25, unit: 'l/s' }, state: 'run', open: true }),
      { qos: 1 },
    )
    await client.endAsync()
    expect(await rowsOf('pump-2', 'flow', 1)).toMatchObject([{ value: 3.25, text: null }])
    expect(await rowsOf('pump-2', 'state', 1)).toMatchObject([{ value: null, text: 'run' }])
    expect(await rowsOf('pump-2', 'open', 1)).toMatchObject([{ value: 1, text: 'true' }])
  })

  test('is found through REST, raw and as a 1-minute rollup', async () => {
    const { items } = await eventually('the series', async () => {
      const page = await get<{ items: Series[] }>('/v1/series?device=press-1')
      return page.items.length > 0 ? page : null
    })
    const id = items.find(series => series.metric === 'temp')!.seriesId
    const from = new Date(Date.now() - 3_600_000).toISOString()
    const raw = await get<{ items: unknown[] }>(`/v1/series/${id}/readings?from=${from}&resolution=raw`)
    expect(raw.items.length).toBe(3)
    const rolled = await eventually('the rollup', async () => {
      const page = await get<{ items: { n: number }[] }>(`/v1/series/${id}/readings?from=${from}&resolution=1m`)
      return page.items.length > 0 ? page : null
    })
    expect(rolled.items.reduce((sum, bucket) => sum + bucket.n, 0)).toBe(3)
  })

  test('acknowledged before the agent is killed is stored once after it came back', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    const base = Date.now() * 1000
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        client.publishAsync('sensors/press-1/kill', JSON.stringify({ value: n, ts: base + n }), { qos: 1 }),
      ),
    )
    await agent.program.stop('SIGKILL')
    client.end(true)
    await agent.program.start()
    const rows = await rowsOf('press-1', 'kill', 50)
    expect(rows.map(row => row.value)).toEqual(Array.from({ length: 50 }, (_, n) => n))
  })

  test('acknowledged while the hub is dead is stored when it came back, and its Postgres is adopted', async () => {
    const pool = hubPool(hub.dataDir)
    const started = (await pool.query('select pg_postmaster_start_time()::text as at')).rows[0].at
    await pool.end()
    await hub.program.stop('SIGKILL')
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    await client.publishAsync('sensors/press-1/while-down', '42', { qos: 1 })
    await client.endAsync()
    await hub.program.start()
    expect(await rowsOf('press-1', 'while-down', 1)).toMatchObject([{ value: 42 }])
    const again = hubPool(hub.dataDir)
    expect((await again.query('select pg_postmaster_start_time()::text as at')).rows[0].at).toBe(started)
    await again.end()
  })
})

describe('bad input harms nothing else', () => {
  test('malformed JSON, an unmapped topic and an oversized payload become dead letters; a good reading beside them is stored', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    await client.publishAsync('sensors/press-1/bad', '{"value": ', { qos: 1 })
    await client.publishAsync('elsewhere/press-1', '1', { qos: 1 })
    await client.publishAsync('sensors/press-1/big', `"${'x'.repeat(100_000)}"`, { qos: 1 })
    await client.publishAsync('sensors/press-1/good', '7', { qos: 1 })
    await client.endAsync()
    expect(await rowsOf('press-1', 'good', 1)).toMatchObject([{ value: 7 }])
    const status = (await (await fetch(`${agent.healthUrl}/status`)).json()) as { buffer: { deadLetters: number } }
    expect(status.buffer.deadLetters).toBe(3)
  })

  test('reading times 1970 and 2099 are quarantined at the hub with their reason; the reading beside them is stored', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    await client.publishAsync('sensors/clock/t', JSON.stringify({ value: 1, ts: '1970-01-01T00:00:10Z' }), { qos: 1 })
    await client.publishAsync('sensors/clock/t', JSON.stringify({ value: 2, ts: '2099-01-01T00:00:00Z' }), { qos: 1 })
    await client.publishAsync('sensors/clock/t', '3', { qos: 1 })
    await client.endAsync()
    expect(await rowsOf('clock', 't', 1)).toMatchObject([{ value: 3 }])
    const letters = await eventually('two dead letters', async () => {
      const { items } = await get<{ items: { reason: string }[] }>('/v1/dead-letters')
      return items.length >= 2 ? items : null
    })
    expect(letters.map(letter => letter.reason).sort()).toEqual(['before-2000', 'future'])
  })
})
