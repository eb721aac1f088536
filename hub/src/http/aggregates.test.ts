// GET /v1/series/{id}/aggregates, and series that have aggregates alone.
import type { SeriesAggregates } from '@tributary/shared/batch/batch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeBatch, windows } from '../log/test-batches.ts'
import { StoreEffect } from '../store/store-effect.ts'
import { TestHub } from './test-hub.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const minuteUs = 60_000_000
const firstUs = nowMs * 1000 - 60 * minuteUs

let hub: TestHub
beforeAll(async () => {
  hub = await TestHub.start({ now: () => nowMs })
  await hub.gateway()
  const minutes = Array.from({ length: 10 }, (_, i) => window(firstUs + i * minuteUs, i))
  await store([
    windows('temp', minuteUs, minutes, { buckets: 64 }),
    windows('temp', 5 * minuteUs, [window(firstUs, 0)]),
  ])
})
afterAll(() => hub[Symbol.asyncDispose]())

function window(startUs: number, shift: number) {
  return { startUs, readings: Array.from({ length: 20 }, (_, i) => ({ tsUs: startUs + i * 1000, value: shift + i })) }
}

async function store(aggregates: SeriesAggregates[]): Promise<void> {
  const effect = new StoreEffect({ database: hub.database, now: () => nowMs })
  const envelope = { agentNo: 1, receivedAtMs: nowMs, rejected: new Map() }
  const batch = makeBatch({ agentNo: 1, seq: 1, aggregates })
  await hub.database.transaction(tx => effect.apply(tx, [{ partition: 0, offset: 0n, batch, envelope } as never]))
}

const path = '/v1/series/1/aggregates'

async function items(query = ''): Promise<Record<string, unknown>[]> {
  const response = await hub.get(path + query)
  expect(response.status).toBe(200)
  return ((await response.json()) as { items: Record<string, unknown>[] }).items
}

test('windows come by start, shortest first, with quantiles where there is a sketch', async () => {
  const all = await items()
  expect(all).toHaveLength(11)
  const [minute, five] = all
  expect(minute).toMatchObject({
    start: '2026-04-01T11:00:00.000000Z',
    sizeMs: 60_000,
    hopMs: 60_000,
    parts: 1,
    n: 20,
    sum: 190,
    mean: 9.5,
    m2: 665,
    min: 0,
    max: 19,
    firstTs: '2026-04-01T11:00:00.000000Z',
    first: 0,
    lastTs: '2026-04-01T11:00:00.019000Z',
    last: 19,
  })
  expect(Number(minute?.p50)).toBeCloseTo(9, 0)
  expect(Number(minute?.p99)).toBeCloseTo(18, 0)
  expect(five).toMatchObject({ sizeMs: 300_000, p50: null, p95: null, p99: null })
})

test('a length and a span leave out the others', async () => {
  expect(await items('?sizeMs=300000')).toHaveLength(1)
  expect(await items('?from=2026-04-01T11:02:00Z&to=2026-04-01T11:04:00Z')).toHaveLength(2)
  expect(await items('?to=2026-03-01T00:00:00Z')).toEqual([])
})

test('pages follow each other to the end, within one start too', async () => {
  const found: unknown[] = []
  let next: string | null = null
  do {
    const response: Response = await hub.get(`${path}?limit=1${next === null ? '' : `&cursor=${next}`}`)
    const page = (await response.json()) as { items: Record<string, unknown>[]; next: string | null }
    found.push(...page.items)
    next = page.next
  } while (next !== null)
  expect(found).toEqual(await items())
})

test('CSV has the columns of JSON, and tells where it goes on in a header', async () => {
  const response = await hub.get(`${path}?format=csv&limit=2`)
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8')
  const lines = (await response.text()).split('\r\n')
  const [first] = await items()
  expect(lines[0]).toBe(Object.keys(first!).join(','))
  expect(lines[1]).toBe(Object.values(first!).join(','))
  expect(lines).toHaveLength(4)
  const rest = await hub.get(`${path}?format=csv&cursor=${response.headers.get('tributary-next')}`)
  expect((await rest.text()).split('\r\n')).toHaveLength(11)
})

test.each([
  ['/v1/series/99/aggregates', 404],
  [`${path}?from=2026-04-02T00:00:00Z&to=2026-04-01T00:00:00Z`, 400],
  [`${path}?limit=10001`, 400],
  [`${path}?sizeMs=0`, 400],
  [`${path}?cursor=x`, 400],
])('%s is %s', async (where, status) => {
  expect((await hub.get(where)).status).toBe(status)
})

test('a series that has aggregates alone stands in the list with its last reading, and has points', async () => {
  const list = (await (await hub.get('/v1/series?include=latest')).json()) as { items: object[] }
  const latest = { ts: '2026-04-01T11:09:00.019000Z', value: 28, quality: 'good' }
  expect(list.items).toMatchObject([{ seriesId: 1, metric: 'temp', latest }])
  const points = await (await hub.get('/v1/series/1/points')).json()
  expect(points).toMatchObject({ bucketMs: 60_000, value: Array.from({ length: 10 }, (_, i) => 9.5 + i) })
  expect(await (await hub.get('/v1/overview')).json()).toMatchObject({ series: 1 })
})
