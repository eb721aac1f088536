// Recalls: asked for by people, given to the agent in its answers, closed by its batches.
import type { BatchAnswer } from '@tributary/shared/protocol'
import { maxRecallsInAnswer } from '@tributary/shared/protocol'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { maxOpenRecalls } from '../devices/recalls.ts'
import { type TestGateway, TestHub } from './test-hub.ts'

let hub: TestHub
let gateway: TestGateway
let nowMs = Date.now()
let seq = 0

beforeAll(async () => {
  hub = await TestHub.start({ now: () => nowMs })
  gateway = await hub.gateway()
  await hub.database.pool.query(`insert into series (agent_no, device, metric) values (1, 'pump', 'flow')`)
})
afterAll(() => hub[Symbol.asyncDispose]())
beforeEach(() => hub.database.pool.query('truncate recall restart identity'))

const asked = { device: 'pump', metric: 'flow', from: '2026-01-01T10:00:00Z', to: '2026-01-01T10:05:00Z' }

function ask(change: object = {}, agentId = gateway.agentId): Promise<Response> {
  return hub.get(`/v1/agents/${agentId}/recalls`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...asked, ...change }),
  })
}

/** What the next answer to the agent carries, so much later. */
async function answered(laterMs = 3000): Promise<BatchAnswer['recalls']> {
  nowMs += laterMs
  seq += 1
  const batch = gateway.batch(seq, [1], [nowMs * 1000])
  const response = await gateway.sendBatch(batch, { createdS: nowMs / 1000 })
  return ((await response.json()) as BatchAnswer).recalls
}

async function list(query = ''): Promise<{ items: Record<string, unknown>[]; next: string | null }> {
  const response = await hub.get(`/v1/agents/${gateway.agentId}/recalls${query}`)
  expect(response.status).toBe(200)
  return (await response.json()) as { items: Record<string, unknown>[]; next: string | null }
}

test('a recall is open, sent with the next answers to its agent, then done', async () => {
  const made = await ask()
  expect(made.status).toBe(201)
  expect(await made.json()).toMatchObject({ recallId: 1, ...inUs(asked), state: 'open', sentAt: null, readings: null })
  const fromUs = Date.parse(asked.from) * 1000
  const recall = { id: 1, device: 'pump', metric: 'flow', fromUs, toUs: fromUs + 300_000_000 }
  expect(await answered()).toEqual([recall])
  expect(await list()).toMatchObject({ items: [{ recallId: 1, state: 'sent', doneAt: null }], next: null })
  expect(await answered()).toEqual([recall])
  await hub.database.pool.query('update recall set done_at = now(), readings = 300, complete = true')
  const one = await hub.get(`/v1/agents/${gateway.agentId}/recalls/1`)
  expect(await one.json()).toMatchObject({ state: 'done', readings: 300 })
  expect(await answered()).toEqual([])
})

function inUs({ from, to, ...names }: typeof asked) {
  return { ...names, from: from.replace('Z', '.000000Z'), to: to.replace('Z', '.000000Z') }
}

test('what the agent no longer had is partly gone', async () => {
  await ask()
  await hub.database.pool.query('update recall set done_at = now(), readings = 12, complete = false')
  expect((await list('?state=partly-gone')).items).toMatchObject([{ state: 'partly-gone', readings: 12 }])
  expect((await list('?state=done')).items).toEqual([])
})

test('open recalls are read again after two seconds, not with every batch', async () => {
  expect(await answered()).toEqual([])
  await ask()
  expect(await answered(1999)).toEqual([])
  expect(await answered(1)).toHaveLength(1)
})

test('another agent hears nothing of it', async () => {
  const other = await hub.gateway()
  await ask()
  nowMs += 3000
  const response = await other.sendBatch(other.batch(1, [1], [nowMs * 1000]), { createdS: nowMs / 1000 })
  expect(await response.json()).toMatchObject({ recalls: [] })
})

test('an answer carries the oldest recalls, and an agent has a bounded number under way', async () => {
  for (let i = 0; i < maxOpenRecalls; i++) expect((await ask()).status).toBe(201)
  const refused = await ask()
  expect(refused.status).toBe(409)
  expect(await refused.json()).toMatchObject({ code: 'conflict' })
  expect((await answered())?.map(({ id }) => id)).toEqual(Array.from({ length: maxRecallsInAnswer }, (_, i) => i + 1))
  const page = await list('?limit=50')
  expect(page.items[0]).toMatchObject({ recallId: maxOpenRecalls, state: 'open' })
  expect((await list(`?limit=50&cursor=${page.next}`)).items).toHaveLength(maxOpenRecalls - 50)
})

test.each([
  ['a series that the agent never sent', { metric: 'unheard' }, 404],
  ['an end before its start', { to: asked.from }, 400],
  ['no device', { device: '' }, 400],
  ['a name with U+0000', { device: 'a\0' }, 400],
  ['a time that is none', { from: 'yesterday' }, 400],
  ['a field that is not known', { until: asked.to }, 400],
])('a recall of %s is refused', async (_, change, status) => {
  expect((await ask(change)).status).toBe(status)
  expect((await list()).items).toEqual([])
})

test('an agent that is not there, or was revoked, is not asked', async () => {
  expect((await ask({}, 'ag-aaaaaaaaaaaaaaaaaaaa')).status).toBe(404)
  expect((await hub.get('/v1/agents/ag-aaaaaaaaaaaaaaaaaaaa/recalls')).status).toBe(404)
  expect((await hub.get(`/v1/agents/${gateway.agentId}/recalls/77`)).status).toBe(404)
  const gone = await hub.gateway()
  await hub.get(`/v1/agents/${gone.agentId}/revoke`, { method: 'POST' })
  expect((await ask({}, gone.agentId)).status).toBe(403)
})
