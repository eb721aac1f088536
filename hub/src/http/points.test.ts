// GET /v1/series/{id}/points: its form, and its parameters at their edges.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHub } from './test-hub.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)

let hub: TestHub
beforeAll(async () => {
  hub = await TestHub.start({ now: () => nowMs })
  const { pool } = hub.database
  await hub.gateway()
  await pool.query(`insert into series (agent_no, device, metric, unit) values (1, 'press', 'temp', 'Cel')`)
  await pool.query(
    `create table segment_20260401 partition of segment for values from ('2026-04-01') to ('2026-04-02')`,
  )
  await pool.query(
    `insert into segment (series_id, t0, t1, n, tick_us, booleans, v, q)
     values (1, '2026-04-01T11:30:00Z', '2026-04-01T11:30:03.000003Z', 4, 1000001, false, '{1,2,3,9}', '{0,1,0,2}')`,
  )
  await pool.query(`insert into rollup_dirty values (1, '2026-04-01T11:30:00Z')`)
})
afterAll(() => hub[Symbol.asyncDispose]())

async function points(query: string) {
  const response = await hub.get(`/v1/series/1/points${query}`)
  expect(response.status).toBe(200)
  return await response.json()
}

const first = nowMs - 1_800_000
const raw = {
  seriesId: 1,
  unit: 'Cel',
  bucketMs: 0,
  tsMs: [first, first + 1000.001, first + 2000.002],
  value: [1, 2, 3],
}

test('the last hour comes raw when it fits, without what is bad', async () => {
  expect(await points('')).toEqual({ ...raw, fromMs: nowMs - 3600_000, toMs: nowMs })
})

test('what does not fit comes in buckets', async () => {
  expect(await points('?points=2&from=2026-04-01T11:30:00Z&to=2026-04-01T11:30:04Z')).toEqual({
    seriesId: 1,
    unit: 'Cel',
    fromMs: first,
    toMs: first + 4000,
    bucketMs: 2000,
    tsMs: [first, first + 2000],
    value: [1.5, 3],
    min: [1, 3],
    max: [2, 3],
    n: [2, 1],
  })
})

test.each([
  ['?points=1', [2]],
  ['?points=5000', [1, 2, 3]],
  [`?from=${first}&to=${first}`, []],
  [`?from=${first + 1}`, [2, 3]],
  [`?to=${first + 1}`, [1]],
  ['?from=1970-01-01&to=1980-01-01', []],
  ['?from=-999999999999999&to=999999999999999', [1, 2, 3]],
  ['?from=-999999999999999&to=999999999999999&points=1', [2]],
  ['?from=2150-01-01&to=2160-01-01', []],
])('%s gives %j', async (query, value) => {
  expect(await points(query)).toMatchObject({ value })
})

test.each([
  ['1/points?points=0', 400, /^points: /],
  ['1/points?points=5001', 400, /^points: /],
  ['1/points?points=1.5', 400, /^points: /],
  ['1/points?points=many', 400, /^points: /],
  ['1/points?from=2&to=1', 400, /^from: later than to/],
  ['1/points?from=yesterday', 400, /^from: /],
  ['1/points?to=1000000000000000', 400, /^to: /],
  ['1/points?limit=5', 400, /^limit: no such parameter/],
  ['0/points', 400, /^id: /],
  ['2147483648/points', 400, /^id: /],
  ['2/points', 404, /^no series 2/],
])('/v1/series/%s is refused with %i', async (path, status, detail) => {
  const response = await hub.get(`/v1/series/${path}`)
  expect(response.status).toBe(status)
  expect(((await response.json()) as { detail: string }).detail).toMatch(detail)
})
