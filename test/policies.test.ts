/** A gateway that keeps a ring, against a real hub: windows arrive merged, with what came late, and readings that are asked back arrive once. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Value } from '@tributary/shared/reading'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Policy } from '../agent/src/aggregate/policy.ts'
import type { Buffer as ReadingBuffer } from '../agent/src/buffer/buffer.ts'
import { openBuffer } from '../agent/src/buffer/sqlite-buffer.ts'
import { type Identity, loadIdentity } from '../agent/src/identity/identity.ts'
import { Uplink } from '../agent/src/uplink/uplink.ts'
import { uplinkConfig } from '../agent/src/uplink/uplink-config.ts'
import { enrollAgent, hubPool, type RunningHub, startHub } from './harness/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-policies-'))
const second = 1e6
/** A whole second some time ago: what is sent is no longer live, and not in the future. */
const startUs = (Math.floor(Date.now() / 1000) - 60) * second
const ring: Policy = {
  device: 'press',
  metric: '*',
  mode: 'ring',
  class: 'raw',
  window: { sizeUs: second, hopUs: second, latenessUs: 0, idleMs: 500, quantiles: true },
  reduce: null,
}
let hub: RunningHub
let identity: Identity
let buffer: ReadingBuffer
let uplink: Uplink
let pool: pg.Pool

beforeAll(async () => {
  hub = await startHub({ folder })
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  identity = (await loadIdentity(join(folder, 'agent')))!
  const { agentId } = identity
  buffer = await openBuffer({ folder: join(folder, 'buffer'), worker: false, agentId: () => agentId, policies: [ring] })
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  uplink = new Uplink({ buffer, identity, config: uplinkConfig(), log })
  uplink.start()
  pool = hubPool(hub.dataDir)
}, 120_000)

afterAll(async () => {
  await uplink?.stop()
  await buffer?.close()
  await pool?.end()
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

function accept(device: string, tsUs: number, value: Value): Promise<void> {
  const reading = { series: { device, metric: 'force', unit: 'N' }, tsUs, value, quality: 0 as const }
  const message = { readings: [reading], deadLetter: null, receipt: null, maybeDuplicate: false }
  return new Promise((resolve, reject) => buffer.accept(message, error => (error ? reject(error) : resolve())))
}

async function rows<Row extends object>(sql: string, enough: (found: readonly Row[]) => boolean): Promise<Row[]> {
  for (;;) {
    const found = await pool.query<Row>(sql)
    if (enough(found.rows)) return found.rows
    await sleep(50)
  }
}

async function api(path: string, body?: object): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${hub.adminKey}`, 'content-type': 'application/json' }
  const given = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
  const answer = await fetch(`${hub.url}/v1/agents/${identity.agentId}/recalls${path}`, { headers, ...given })
  expect(answer.ok).toBe(true)
  return (await answer.json()) as Record<string, unknown>
}

test('every window is what its readings make, the late one among them, and no reading is sent', async () => {
  for (let n = 0; n < 50; n++) await accept('press', startUs + n * 100_000, n / 10)
  await accept('press', startUs + 50_000, 100)
  const windows = await rows<{ start: Date; n: string; sum: number; min: number; max: number }>(
    'select start, n, sum, min, max from aggregate order by start',
    found => found.reduce((sum, { n }) => sum + Number(n), 0) === 51,
  )
  const expected = [0, 1, 2, 3, 4].map(at => ({
    start: new Date(startUs / 1000 + at * 1000),
    n: '10',
    sum: 10 * at + 4.5,
    min: at,
    max: at + 0.9,
  }))
  const [first] = expected
  expected[0] = { ...first!, n: '11', sum: 104.5, max: 100 }
  expect(windows).toEqual(expected)
  expect((await pool.query('select from reading')).rowCount).toBe(0)
  expect((await buffer.stats()).counters).toMatchObject({ accepted: 51, folded: 51, stored: 0, evicted: 0 })
})

test('readings that somebody asks back are sent, once, and the recall is done', async () => {
  const instantAt = (seconds: number) => new Date(startUs / 1000 + seconds * 1000).toISOString()
  const asked = { device: 'press', metric: 'force', from: instantAt(1), to: instantAt(3) }
  const made = await api('', asked)
  let recall = made
  for (let n = 0; recall.state !== 'done'; n++) {
    await accept('clock', startUs + n, 'tick')
    await sleep(100)
    recall = await api(`/${made.recallId}`)
  }
  expect(recall).toMatchObject({ readings: 20, state: 'done' })
  const stored = await rows<{ value: number }>(
    "select value from reading join series using (series_id) where device = 'press' order by ts",
    found => found.length >= 20,
  )
  expect(stored.map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, n) => (n + 10) / 10))
  const { counters } = await buffer.stats()
  expect(counters.folded).toBe(31)
  expect(counters.accepted).toBe(counters.stored + counters.folded)
})
