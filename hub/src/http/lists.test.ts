// What people read over REST, a page after a page.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHub } from './test-hub.ts'

let hub: TestHub
let agentId: string
let seriesIds: number[]

beforeAll(async () => {
  hub = await TestHub.start()
  agentId = (await hub.gateway()).agentId
  await hub.gateway()
  const { rows } = await hub.database.pool.query<{ series_id: number }>(
    `insert into series (agent_no, device, metric, unit)
     select 1, 'Pump-' || i, case when i % 2 = 0 then 'flow' else 'temp_in' end, 'Cel' from generate_series(1, 7) i returning series_id`,
  )
  seriesIds = rows.map(row => row.series_id)
  await hub.database.pool.query(
    `insert into anomaly (anomaly_id, series_id, detector, opened_us, closed_us, surprise, score, severity, stream, value, expected,
                          seen_before, learning)
     select gen_random_uuid(), $1, 'lite', 1767225600000000 + (i / 3) * 60000000, case when i % 2 = 0 then 1767229200000000 end, 9, 0.99,
            case when i % 3 = 0 then 'critical' else 'warning' end, 'value', 1, 0, 0.01, false
     from generate_series(0, 9) i`,
    [seriesIds[0]],
  )
})
afterAll(() => hub[Symbol.asyncDispose]())

interface Page {
  readonly items: Record<string, unknown>[]
  readonly next: string | null
}

async function page(path: string): Promise<Page> {
  const response = await hub.get(path)
  expect(response.status).toBe(200)
  return (await response.json()) as Page
}

/** Every item, three a page. */
async function all(path: string): Promise<Record<string, unknown>[]> {
  const items = []
  let next: string | null = null
  do {
    const url: string = `${path}${path.includes('?') ? '&' : '?'}limit=3${next === null ? '' : `&cursor=${next}`}`
    const one: Page = await page(url)
    expect(one.items.length).toBeLessThanOrEqual(3)
    items.push(...one.items)
    next = one.next
  } while (next !== null)
  return items
}

test('agents are listed, and one is looked at, without secrets', async () => {
  expect(await all('/v1/agents')).toHaveLength(2)
  const one = (await (await hub.get(`/v1/agents/${agentId}`)).json()) as object
  expect(one).toMatchObject({ agentId, site: 'mill', name: 'gateway', keys: 1, revokedAt: null, lastSeenAt: null })
  expect(await all('/v1/agents?site=elsewhere')).toEqual([])
})

test('an agent that is not there is 404, an id that is none is 400', async () => {
  expect((await hub.get('/v1/agents/ag-aaaaaaaaaaaaaaaaaaaa')).status).toBe(404)
  expect((await hub.get('/v1/agents/press')).status).toBe(400)
  expect((await hub.get('/v1/series/999999/readings')).status).toBe(404)
})

test('series are found by agent, device, metric, and a part of their name whatever its case', async () => {
  expect((await all('/v1/series')).map(item => item.seriesId)).toEqual(seriesIds)
  expect(await all(`/v1/series?agent=${agentId}&metric=flow`)).toHaveLength(3)
  expect(await all('/v1/series?device=Pump-1')).toMatchObject([{ device: 'Pump-1', unit: 'Cel', agentId }])
  expect(await all('/v1/series?q=pump-7')).toHaveLength(1)
  expect(await all('/v1/series?q=p_in')).toHaveLength(4)
  expect(await all('/v1/series?q=%25')).toEqual([])
})

test('anomalies come newest first, over equal times too, and by severity, state and time', async () => {
  const found = await all('/v1/anomalies')
  expect(new Set(found.map(item => item.anomalyId)).size).toBe(10)
  const times = found.map(item => String(item.openedAt))
  expect(times).toEqual([...times].sort().reverse())
  expect(await all('/v1/anomalies?severity=critical')).toHaveLength(4)
  expect(await all('/v1/anomalies?open=true')).toHaveLength(5)
  expect(await all(`/v1/anomalies?series=${seriesIds[1]}`)).toEqual([])
  expect(await all('/v1/anomalies?from=2026-01-01T00:02:00Z')).toHaveLength(4)
  expect(await all('/v1/anomalies?to=1767225660000')).toHaveLength(3)
  // The even ones closed at 01:00, the odd ones have not closed.
  expect(await all('/v1/anomalies?from=2026-01-01T00:30:00Z')).toHaveLength(0)
  expect(await all('/v1/anomalies?from=2026-01-01T00:30:00Z&underWay=true')).toHaveLength(10)
  expect(await all('/v1/anomalies?from=2026-01-01T01:00:01Z&underWay=true')).toHaveLength(5)
  expect(await all('/v1/anomalies?from=2026-01-01T00:02:00Z&to=2026-01-01T00:02:01Z&underWay=true')).toHaveLength(9)
})

test('dead letters come newest first and by reason', async () => {
  await hub.database.pool.query(
    `insert into dead_letter (agent_no, stage, reason, epoch, seq, readings, detail)
     select 1, 'ingest', case when i % 2 = 0 then 'future' else 'name' end, 1, i, 1, '{"a": 1}' from generate_series(1, 8) i`,
  )
  const found = await all('/v1/dead-letters')
  expect(found.map(item => item.seq)).toEqual([8, 7, 6, 5, 4, 3, 2, 1])
  expect(found[0]).toMatchObject({ agentId, stage: 'ingest', epoch: 1, detail: { a: 1 }, keptBytes: 0 })
  expect(await all('/v1/dead-letters?reason=future&stage=ingest')).toHaveLength(4)
})

test('tokens are made with bounds, listed and revoked', async () => {
  const make = (body: object) =>
    hub.get('/v1/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const made = await make({ site: 'mill', uses: 3, expiresInS: 600 })
  expect(made.status).toBe(201)
  const { tokenId } = (await made.json()) as { tokenId: string }
  for (const bad of [
    {},
    { site: 'a b' },
    { site: 'x', uses: 0 },
    { site: 'x', uses: 100_001 },
    { site: 'x', typo: 1 },
  ]) {
    expect((await make(bad)).status).toBe(400)
  }
  expect((await hub.get(`/v1/tokens/${tokenId}`, { method: 'DELETE' })).status).toBe(204)
  const [newest] = (await page('/v1/tokens')).items
  expect(newest).toMatchObject({ tokenId, uses: 3, used: 0, agentId: null, revokedAt: expect.any(String) })
  expect((await hub.get('/v1/tokens/aaaaaaaaaaaa', { method: 'DELETE' })).status).toBe(404)
})

test('every answer names its request and forbids what a browser could do with it', async () => {
  const { headers } = await hub.send('/healthz')
  expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('content-security-policy')).toContain("default-src 'none'")
})
