// Two gateways under one identity, against whole hubs that share a database: replicas, and one that was started again.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, LossRange } from '@tributary/shared/batch/batch'
import { batchDigest, encodeBatch } from '@tributary/shared/batch/codec'
import type { BatchAnswer, BatchConflict } from '@tributary/shared/protocol'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseHubConfig } from './config/hub-config.ts'
import type { Database } from './database/database.ts'
import { testDatabase } from './database/test-database.ts'
import { enrolledGateway, type TestGateway } from './http/test-hub.ts'
import { type Hub, startHub } from './hub.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-conflicts-'))
const hubs: Hub[] = []
const warnings: string[] = []
const logger = pino({ level: 'warn' }, { write: line => void warnings.push(line) })
let database: Database
let adminKey: string
/** Where the gateway's next request goes. */
let at: Hub
let gateway: TestGateway

beforeAll(async () => {
  database = await testDatabase({ connections: 40 })
  at = await start()
  adminKey = readFileSync(at.adminKeyFile!, 'utf8').trim()
  const { token } = await rest<{ token: string }>('/v1/tokens', { site: 'mill' })
  gateway = await enrolledGateway((path, init) => fetch(at.url + path, init), token)
})
afterAll(async () => {
  for (const hub of hubs) await hub.stop()
  await database.close()
  rmSync(folder, { recursive: true })
})

/** Another hub on the same database, which knows nothing but what stands there. */
async function start(): Promise<Hub> {
  const dataDir = join(folder, 'data')
  const config = parseHubConfig('listen:\n  port: 0\n', 'hub.yaml', { TRIBUTARY_DATA_DIR: dataDir })
  const hub = await startHub({ config, logger, database })
  hubs.push(hub)
  return hub
}

async function rest<T>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(at.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return (await response.json()) as T
}

async function eventually(probe: () => Promise<boolean>): Promise<void> {
  while (!(await probe())) await sleep(20)
}

const send = async (batch: Batch) => (await gateway.sendBatch(batch)).status
const isStored = async (seq: number) => {
  const { rows } = await database.pool.query(
    `select from received where consumer = 'store' and epoch = 7 and seqs @> $1::int8`,
    [seq],
  )
  return rows.length > 0
}
const conflictsOf = async () => (await rest<{ conflicts: number }>(`/v1/agents/${gateway.agentId}`)).conflicts

let nextSeq = 100
/** What the hub `at` tells with the answer to a batch of no interest. */
async function told(losses: readonly LossRange[] = []): Promise<readonly BatchConflict[]> {
  const batch = gateway.batch(nextSeq++)
  const response = await gateway.sendBatch({ ...batch, header: { ...batch.header, losses } })
  return ((await response.json()) as BatchAnswer).conflicts
}

test('what only the store can tell is told by every replica, until the gateway has sealed it again', async () => {
  const [first, second] = [at, await start()]
  // Above a hole, so that the stored floor says nothing of it.
  const [ours, theirs] = [gateway.batch(5, [1]), gateway.batch(5, [2])]
  expect(await send(ours)).toBe(200)
  await eventually(() => isStored(5))
  at = second
  expect(await send(theirs)).toBe(200)
  await eventually(async () => (await told()).length === 1)
  const conflict = { epoch: 7, seq: 5, digest: Buffer.from(batchDigest(encodeBatch(theirs))).toString('hex') }
  expect(await told()).toEqual([conflict])
  at = first
  await eventually(async () => (await told()).length === 1)
  expect(await told()).toEqual([conflict])

  expect(await conflictsOf()).toBe(1)
  const { items } = await rest<{ items: object[] }>('/v1/dead-letters')
  expect(items).toMatchObject([{ stage: 'store', reason: 'conflict', epoch: 7, seq: 5, readings: 1 }])
  const metrics = await Promise.all([first, second].map(async hub => (await fetch(`${hub.url}/metrics`)).text()))
  expect(metrics.join()).toContain('tributary_consumer_conflicts_total{consumer="store"} 1\n')
  expect(warnings.filter(line => line.includes('cloned'))).toHaveLength(1)

  await told([{ epoch: 7, fromSeq: 5, toSeq: 5, readings: 0, exact: true, reason: 'resealed' }])
  await eventually(async () => (await told()).length === 0)
  expect(await conflictsOf()).toBe(1)
})

test('a replica that heard the other batch first still takes the stored one for what it is', async () => {
  const second = hubs[1]!
  const [ours, theirs] = [gateway.batch(15, [1]), gateway.batch(15, [2])]
  at = hubs[0]!
  expect(await send(ours)).toBe(200)
  await eventually(() => isStored(15))
  at = second
  expect(await send(theirs)).toBe(200)
  expect(await send(ours)).toBe(200)
  at = hubs[0]!
  expect(await send(theirs)).toBe(409)
})

test('a hub that was started again refuses what lies below the floor, and leaves the rest to the store', async () => {
  for (const seq of [1, 2, 3]) expect(await send(gateway.batch(seq, [seq]))).toBe(200)
  await eventually(() => isStored(3))
  const before = await conflictsOf()
  for (const hub of hubs.splice(0)) await hub.stop()
  at = await start()
  expect(await send(gateway.batch(2, [99]))).toBe(409)
  expect(await conflictsOf()).toBe(before + 1)
  expect(await send(gateway.batch(15, [98]))).toBe(200)
  await eventually(async () => (await conflictsOf()) === before + 2)
  await eventually(async () => (await told()).some(({ seq }) => seq === 15))
  expect((await told()).map(({ seq }) => seq)).not.toContain(2)
})

test('a repeat so old that nobody can tell it from another batch is kept for people', async () => {
  const batch = gateway.batch(15, [97])
  await database.pool.query('delete from batch_digest where seq = 15')
  expect(await send(batch)).toBe(200)
  await eventually(async () => {
    const { items } = await rest<{ items: { reason: string }[] }>('/v1/dead-letters')
    return items.some(({ reason }) => reason === 'old-repeat')
  })
})
