// How the fleet stands: overview, agents, series with their newest reading.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { StoreEffect } from '../store/store-effect.ts'
import { type TestGateway, TestHub } from './test-hub.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const nowUs = nowMs * 1000

let hub: TestHub
let live: TestGateway
let silent: TestGateway
let revoked: TestGateway
let unheard: TestGateway

beforeAll(async () => {
  hub = await TestHub.start({ now: () => nowMs })
  ;[live, silent, revoked, unheard] = await Promise.all(Array.from({ length: 4 }, () => hub.gateway()))
  await store(live, [1, 2.5, true], [nowUs - 3_000_000, nowUs - 2_000_000, nowUs - 2_000_000])
  await store(silent, ['open'], [nowUs + 1_000_000])
  await hub.database.pool.query(`update agent set last_seen_at = to_timestamp($2) where agent_id = $1`, [
    silent.agentId,
    nowMs / 1000 - 120,
  ])
  await hub.database.pool.query(`update agent set revoked_at = now() where agent_id = $1`, [revoked.agentId])
  await hub.database.pool.query(
    `insert into loss select agent_no, 1, 1, 2, 40, true, 'evicted' from agent where agent_id = $1`,
    [live.agentId],
  )
  await hub.database.pool.query(
    `insert into anomaly (anomaly_id, series_id, detector, opened_us, closed_us, surprise, score, severity, stream, seen_before, learning)
     select gen_random_uuid(), s.series_id, 'lite', opened, closed, 9, 0.9, severity, 'value', 0, false
       from series s join agent using (agent_no),
            (values ($2::int8, null::int8, 'critical'), ($2 - 2 * 86400000000, null, 'warning'), ($2 - 1, $2, 'critical')) n (opened, closed, severity)
      where agent_id = $1`,
    [live.agentId, nowUs],
  )
})
afterAll(() => hub[Symbol.asyncDispose]())

/** As if the log and the store had passed it on. */
async function store(gateway: TestGateway, values: readonly (number | boolean | string)[], tsUs: readonly number[]) {
  const batch = gateway.batch(1, values, tsUs)
  const agentNo = (await hub.services.agents.find(gateway.agentId))!.agentNo
  const envelope = {
    receivedAtMs: nowMs,
    agentNo,
    lane: 'live' as const,
    floor: 1,
    ruleVersion: 1,
    rejected: new Map(),
    digest: new Uint8Array(32),
    batch: new Uint8Array(),
  }
  const effect = new StoreEffect({ database: hub.database, now: () => nowMs })
  await hub.database.transaction(tx => effect.apply(tx, [{ partition: 0, offset: 0n, envelope, batch }]))
}

async function json(path: string) {
  const response = await hub.get(path)
  expect(response.status).toBe(200)
  // biome-ignore lint/suspicious/noExplicitAny: whatever the hub answers is what is tested.
  return (await response.json()) as any
}

test('the overview counts agents by how they stand, series, readings, anomalies and losses', async () => {
  expect(await json('/v1/overview')).toEqual({
    hub: { version: '1.2.3', now: '2026-04-01T12:00:00.000Z' },
    agents: { total: 4, online: 1, offline: 1, revoked: 1 },
    series: 2,
    readings: 4,
    readingsPerSecond: expect.any(Number),
    anomalies: { open: 2, lastDay: 2, critical: 1 },
    lost: 40,
  })
})

test('an overview of nothing is made of zeros', async () => {
  await using empty = await TestHub.start()
  const found = (await (await empty.get('/v1/overview')).json()) as object
  expect(found).toMatchObject({
    agents: { total: 0, online: 0, offline: 0, revoked: 0 },
    series: 0,
    readings: 0,
    readingsPerSecond: 0,
    anomalies: { open: 0, lastDay: 0, critical: 0 },
    lost: 0,
  })
})

test('an agent says how it stands, how far its readings are behind, what it still holds and what it lost', async () => {
  const { items } = await json('/v1/agents')
  const of = (gateway: TestGateway) => items.find((item: { agentId: string }) => item.agentId === gateway.agentId)
  expect(of(live)).toMatchObject({
    status: 'online',
    lastReadingAt: '2026-04-01T11:59:58.000000Z',
    lagMs: 2000,
    backlogReadings: 0,
    lostReadings: 40,
  })
  // Ahead of the hub's clock: no lag, and none below zero.
  expect(of(silent)).toMatchObject({ status: 'offline', lagMs: 0, backlogReadings: 2, lostReadings: 0 })
  expect(of(revoked)).toMatchObject({ status: 'revoked' })
  expect(of(unheard)).toMatchObject({ status: 'never', lastReadingAt: null, lagMs: null, backlogReadings: null })
  expect(await json(`/v1/agents/${live.agentId}`)).toEqual(of(live))
})

test('series come with their newest reading and open anomalies when asked, else as ever', async () => {
  const { items } = await json(`/v1/series?include=latest&agent=${live.agentId}`)
  expect(items).toMatchObject([
    { latest: { ts: '2026-04-01T11:59:58.000000Z', value: true, quality: 'good' }, openAnomalies: 2 },
  ])
  const text = await json(`/v1/series?include=latest&agent=${silent.agentId}`)
  expect(text.items).toMatchObject([{ latest: { value: 'open' }, openAnomalies: 0 }])
  await hub.database.pool.query(`insert into series (agent_no, device, metric) values (1, 'bare', 'x')`)
  expect((await json('/v1/series?include=latest&device=bare')).items).toMatchObject([
    { latest: null, openAnomalies: 0 },
  ])
  const plain = (await json('/v1/series')).items
  for (const item of plain) expect(item).not.toHaveProperty('latest')
})

test('series are found by their ids', async () => {
  const all = (await json('/v1/series')).items.map((item: { seriesId: number }) => item.seriesId)
  const [first, second] = all
  const of = async (ids: string) =>
    (await json(`/v1/series?ids=${ids}`)).items.map((item: { seriesId: number }) => item.seriesId)
  expect(await of(`${second},${first},${second},2147483647`)).toEqual([first, second])
  expect(await of('')).toEqual([])
  expect(await of(Array.from({ length: 50 }, (_, i) => i + 1_000_000).join())).toEqual([])
})

test.each([
  ['ids=0', /^ids: /],
  ['ids=2147483648', /^ids: /],
  ['ids=1,,2', /^ids: /],
  ['ids=1;2', /^ids: /],
  ['ids=-1', /^ids: /],
  ['ids=1.5', /^ids: /],
  ['ids=1e3', /^ids: /],
  [`ids=${Array.from({ length: 51 }, (_, i) => i + 1)}`, /^ids: .*50/],
  ['include=everything', /^include: /],
  ['include=', /^include: /],
])('series?%s is refused by the parameter’s name', async (query, detail) => {
  const response = await hub.get(`/v1/series?${query}`)
  expect(response.status).toBe(400)
  expect(((await response.json()) as { detail: string }).detail).toMatch(detail)
})
