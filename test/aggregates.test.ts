/** The path of an aggregate with real processes: folded at the gateway by a policy, stored at the hub over a killed agent and a killed hub; and a recall. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { enrollAgent, type RunningAgent, type RunningHub, startAgent, startHub } from './harness/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-aggregates-'))
const policies = `policies:
  - match: {device: fan}
    mode: aggregate
    window: {size: 10s, lateness: 1s, idle: 1s, quantiles: true}
  - match: {device: lathe}
    mode: ring
    window: {size: 10s, lateness: 1s, idle: 1s}
`
let hub: RunningHub
let agent: RunningAgent

beforeAll(async () => {
  hub = await startHub({ folder })
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  agent = await startAgent({ folder, hubUrl: hub.url, config: policies })
}, 120_000)

afterAll(async () => {
  await agent?.program.stop()
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

interface Aggregate {
  readonly start: string
  readonly sizeMs: number
  readonly n: number
  readonly sum: number
  readonly min: number
  readonly max: number
  readonly first: number
  readonly last: number
  readonly p50: number | null
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`${hub.url}${path}`, { headers: { authorization: `Bearer ${hub.adminKey}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}

async function eventually<T>(what: string, probe: () => Promise<T | null>): Promise<T> {
  const endMs = Date.now() + 60_000
  for (;;) {
    const found = await probe().catch(() => null)
    if (found !== null) return found
    if (Date.now() > endMs) throw new Error(`not seen within 60 s: ${what}`)
    await sleep(100)
  }
}

/** Readings of two windows a minute ago, and of one that closes them. */
const baseMs = Math.floor(Date.now() / 10_000) * 10_000 - 60_000
const speedAt = (i: number) => (i * 7) % 40

async function publish(from: number, to: number, device = 'fan'): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`, { clientId: `${device}-${from}` })
  for (let i = from; i < to; i++) {
    const payload = JSON.stringify({ value: speedAt(i), ts: (baseMs + i * 500) * 1000 })
    await client.publishAsync(`sensors/${device}/speed`, payload, { qos: 1 })
  }
  await client.endAsync()
}

test('readings folded at the gateway are windows at the hub, each once, over a kill of both', async () => {
  await publish(0, 15)
  await agent.program.stop('SIGKILL')
  await agent.program.start()
  await publish(15, 40)
  await hub.program.stop('SIGKILL')
  await publish(40, 60)
  await hub.program.start()
  const series = await eventually('the series', async () => {
    const { items } = await get<{ items: { seriesId: number }[] }>('/v1/series?device=fan&metric=speed&include=latest')
    return items[0] ?? null
  })
  const windows = await eventually('two closed windows', async () => {
    const { items } = await get<{ items: Aggregate[] }>(`/v1/series/${series.seriesId}/aggregates`)
    const whole = items.filter(({ n }) => n === 20)
    return whole.length >= 2 ? items : null
  })
  for (const [index, window] of windows.slice(0, 2).entries()) {
    const values = Array.from({ length: 20 }, (_, i) => speedAt(20 * index + i))
    expect(window).toMatchObject({
      start: new Date(baseMs + index * 10_000).toISOString().replace('Z', '000Z'),
      sizeMs: 10_000,
      n: 20,
      sum: values.reduce((sum, value) => sum + value, 0),
      min: Math.min(...values),
      max: Math.max(...values),
      first: values[0],
      last: values.at(-1),
    })
    expect(window.p50).toBeGreaterThan(0)
  }
  const points = await get<{ bucketMs: number; n: number[] }>(
    `/v1/series/${series.seriesId}/points?from=${baseMs}&to=${baseMs + 30_000}`,
  )
  expect(points.bucketMs).toBeGreaterThan(0)
  const raw = await get<{ items: unknown[] }>(
    `/v1/series/${series.seriesId}/readings?resolution=raw&from=${baseMs}&to=${baseMs + 30_000}`,
  )
  expect(raw.items).toEqual([])
}, 180_000)

test('readings that the gateway kept come back when somebody recalls them', async () => {
  await publish(0, 30, 'lathe')
  const series = await eventually('the series', async () => {
    const { items } = await get<{ items: { seriesId: number; agentId: string }[] }>('/v1/series?device=lathe')
    return items[0] ?? null
  })
  const span = { from: new Date(baseMs).toISOString(), to: new Date(baseMs + 10_000).toISOString() }
  const path = `/v1/agents/${series.agentId}/recalls`
  const asked = await fetch(`${hub.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${hub.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ device: 'lathe', metric: 'speed', ...span }),
  })
  expect(asked.status).toBe(201)
  const { recallId } = (await asked.json()) as { recallId: number }
  let next = 30
  const done = await eventually('the recall done', async () => {
    // Batches bring answers: something has to be sent.
    await publish(next, ++next, 'press')
    const recall = await get<{ state: string; readings: number }>(`${path}/${recallId}`)
    return ['done', 'partly-gone'].includes(recall.state) ? recall : null
  })
  expect(done).toMatchObject({ state: 'done', readings: 20 })
  const query = `resolution=raw&from=${baseMs}&to=${baseMs + 60_000}`
  const raw = await get<{ items: { value: number }[] }>(`/v1/series/${series.seriesId}/readings?${query}`)
  expect(raw.items.map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, i) => speedAt(i)))
}, 120_000)
