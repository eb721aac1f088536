import type { Batch } from '@tributary/shared/batch/batch'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { encodeLayout1 } from '@tributary/shared/batch/test-layout-1'
import type { BatchAnswer } from '@tributary/shared/protocol'
import { afterEach, expect, test } from 'vitest'
import { TestHub } from '../http/test-hub.ts'
import type { EventLog } from '../log/event-log.ts'
import { windows } from '../log/test-batches.ts'
import type { IngestParts } from './ingest.ts'

let hub: TestHub | undefined
afterEach(() => hub?.[Symbol.asyncDispose]())

/** A log whose append is durable when the test says so. */
function slowLog() {
  const durable = Promise.withResolvers<{ partition: number; offset: bigint }>()
  const begun = Promise.withResolvers<void>()
  const log: EventLog = {
    append: () => {
      begun.resolve()
      return durable.promise
    },
    consume: async () => undefined,
    read: async () => null,
    lag: async () => [],
    close: async () => undefined,
  }
  return { log, begun: begun.promise, commit: () => durable.resolve({ partition: 0, offset: 0n }) }
}

async function start({ maxSeriesPerAgent, ...parts }: Partial<IngestParts> & { maxSeriesPerAgent?: number }) {
  hub = await TestHub.start({ parts, ...(maxSeriesPerAgent !== undefined && { maxSeriesPerAgent }) })
  return { hub, gateway: await hub.gateway() }
}

test('the answer waits until the append is durable', async () => {
  const { log, begun, commit } = slowLog()
  const { gateway } = await start({ log })
  let answered = false
  const answer = gateway.sendBatch(gateway.batch(1)).then(response => {
    answered = true
    return response
  })
  await begun
  await new Promise(resolve => setImmediate(resolve))
  expect(answered).toBe(false)
  commit()
  expect((await answer).status).toBe(200)
})

test('the sabotage ack-before-commit answers although the append is not durable', async () => {
  const { log } = slowLog()
  const { gateway } = await start({ log, ackBeforeCommit: true, appendTimeoutMs: 50 })
  expect((await gateway.sendBatch(gateway.batch(1))).status).toBe(200)
})

test('a log that does not answer in time is 503 with Retry-After', async () => {
  const { gateway } = await start({ log: slowLog().log, appendTimeoutMs: 20 })
  const response = await gateway.sendBatch(gateway.batch(1))
  expect(response.status).toBe(503)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
})

test('a batch that claims to be live and holds only old readings is logged as backlog', async () => {
  const { hub, gateway } = await start({})
  const [fresh, old] = [Date.now() * 1000, (Date.now() - 120_000) * 1000]
  await gateway.sendBatch(gateway.batch(1, [1, 2], [fresh, old]))
  await gateway.sendBatch(gateway.batch(2, [1, 2], [old, old]))
  await gateway.sendBatch(gateway.batch(3, [1], [fresh]), { headers: { 'tributary-lane': 'backlog' } })
  expect(hub.appended.map(envelope => envelope.lane)).toEqual(['live', 'backlog', 'backlog'])
})

test('the record holds the batch as received, who sent it, and its floor', async () => {
  const { hub, gateway } = await start({})
  await gateway.sendBatch(gateway.batch(4), { headers: { 'tributary-floor': '3' } })
  const [envelope] = hub.appended
  expect(envelope).toMatchObject({ floor: 3, ruleVersion: 2, agentNo: 1 })
  expect(decodeBatch(envelope!.batch).header).toMatchObject({ agentId: gateway.agentId, epoch: 7, seq: 4 })
})

test('an agent of the release before, which sends layout 1, is understood', async () => {
  const { hub, gateway } = await start({})
  const batch = gateway.batch(4, [20.5, 21])
  const body = Uint8Array.from(encodeLayout1(batch))
  const response = await gateway.sendBody(body, { headers: { 'tributary-batch': 'epoch=7;seq=4' } })
  expect(await response.json()).toMatchObject({ accepted: 2, rejected: [] })
  expect(hub.appended[0]?.batch).toEqual(Buffer.from(body))
  expect(decodeBatch(hub.appended[0]!.batch).columns).toEqual(batch.columns)
})

test('aggregates are judged and answered with the readings, and make a batch live', async () => {
  const { hub, gateway } = await start({})
  const endUs = Math.floor(Date.now() / 60_000) * 60_000_000
  const window = (startUs: number) => ({ startUs, readings: [{ tsUs: endUs - 60_000_000, value: 20.5 }] })
  const aggregates = [windows('flow', 60_000_000, [window(endUs - 60_000_000), window(endUs)])]
  const old = endUs - 600_000_000
  const batch: Batch = { ...gateway.batch(1, [1, Number.NaN], [old, old]), aggregates }
  expect(await (await gateway.sendBatch(batch)).json()).toMatchObject({
    accepted: 2,
    rejected: [
      { index: 1, reason: 'non-finite' },
      { index: 3, reason: 'window' },
    ],
  })
  expect(hub.appended).toMatchObject([{ lane: 'live', ruleVersion: 2 }])
})

test('series beyond the budget of an agent are rejected, and another agent has its own', async () => {
  const { hub, gateway } = await start({ maxSeriesPerAgent: 1 })
  const other = await hub.gateway()
  const rename = (batch: Batch, device: string): Batch => ({
    ...batch,
    columns: batch.columns.map(column => ({ ...column, series: { ...column.series, device } })),
  })
  expect((await gateway.sendBatch(rename(gateway.batch(1), 'first'))).status).toBe(200)
  const refused = await gateway.sendBatch(rename(gateway.batch(2, [1]), 'second'))
  expect(await refused.json()).toMatchObject({ accepted: 0, rejected: [{ index: 0, reason: 'cardinality' }] })
  const admitted = await other.sendBatch(rename(other.batch(1, [1]), 'second'))
  expect(await admitted.json()).toMatchObject({ accepted: 1, rejected: [] })
})

test('credits shrink as bytes in flight grow, and are never none', async () => {
  const { gateway } = await start({ maxCredits: 8 })
  const answer = (await (await gateway.sendBatch(gateway.batch(1))).json()) as BatchAnswer
  expect(answer).toMatchObject({ credits: 7, desiredConfigVersion: 0, settled: 1 })
})
