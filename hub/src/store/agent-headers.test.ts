// What the hub says that an agent still holds, against what the agent's real buffer holds.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BatchHeader } from '@tributary/shared/batch/batch'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Buffer, SealedBatch } from '../../../agent/src/buffer/buffer.ts'
import { accept, message, reading } from '../../../agent/src/buffer/buffer-suite.ts'
import { openBuffer } from '../../../agent/src/buffer/sqlite-buffer.ts'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import type { JudgedBatch } from '../log/effect.ts'
import { makeAgents, makeBatch } from '../log/test-batches.ts'
import { listAgents } from '../query/list-agents.ts'
import { StoreEffect } from './store-effect.ts'

const startUs = Date.UTC(2026, 3, 1, 12) * 1000

let database: Database
let effect: StoreEffect
let folder: string
let buffer: Buffer
let stamp = 0

beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database)
  effect = new StoreEffect({ database, now: () => startUs / 1000 })
  folder = mkdtempSync(join(tmpdir(), 'tributary-backlog-'))
  buffer = await open()
})
afterEach(async () => {
  await buffer.close()
  rmSync(folder, { recursive: true })
  await database.close()
})

/** With the smallest bounds that there are. */
function open(): Promise<Buffer> {
  return openBuffer({
    folder,
    worker: false,
    windowMs: 0,
    ballastBytes: 0,
    maxBytes: 1024 * 1024,
    fileBytes: 128 * 1024,
    sabotage: 'fsync-off',
    agentId: () => 'ag-1',
  })
}

/** `count` readings, a second apart, that do not compress. */
async function hear(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 200) {
    const readings = Array.from({ length: Math.min(200, left) }, () => {
      stamp += 1
      return reading('press', startUs + stamp * 1000, Math.sin(stamp))
    })
    await accept(buffer, message(readings))
  }
}

async function seal(readings: number): Promise<SealedBatch> {
  const sealed = await buffer.seal(readings, 'live')
  if (sealed === null) throw new Error('the buffer is empty')
  return sealed
}

function judged(header: BatchHeader, columns = makeBatch({ agentNo: 1, seq: 1 }).columns): JudgedBatch {
  const envelope = {
    receivedAtMs: 1_700_000_000_000,
    agentNo: 1,
    lane: 'live' as const,
    floor: 1,
    ruleVersion: 1,
    rejected: new Map(),
    digest: new Uint8Array(32),
    batch: new Uint8Array(),
  }
  return { partition: 0, offset: 0n, envelope, batch: { header, columns, aggregates: [] } }
}

function opened({ body }: SealedBatch): JudgedBatch {
  const { header, columns } = decodeBatch(body)
  return judged(header, columns)
}

async function take(...batches: JudgedBatch[]): Promise<void> {
  await database.transaction(tx => effect.apply(tx, batches))
  effect.committed(batches)
}

/** The hub takes these, and the agent hears so. */
async function deliver(...sealed: SealedBatch[]): Promise<void> {
  await take(...sealed.map(opened))
  for (const { epoch, seq } of sealed) await buffer.acknowledge(epoch, seq)
}

async function standing() {
  const [agent] = await listAgents(database.pool, { limit: 1, nowMs: Date.now() })
  return agent!
}

const backlog = async () => (await standing()).backlogReadings
const held = async () => (await buffer.stats()).backlogReadings

test('an agent that sent nothing yet has no known backlog', async () => {
  expect(await standing()).toMatchObject({
    backlogReadings: null,
    lastReadingUs: null,
    status: 'never',
    lostReadings: 0,
  })
})

test('after each batch the hub knows what the agent still holds, down to nothing', async () => {
  await hear(1000)
  for (let left = 900; left >= 0; left -= 100) {
    await deliver(await seal(100))
    expect(await backlog()).toBe(left)
    expect(await held()).toBe(left)
  }
  await hear(10)
  await deliver(await seal(4))
  expect(await backlog()).toBe(6)
  expect((await standing()).lastReadingUs).toBe(startUs + 1004 * 1000)
})

test('batches out of order, in one transaction or several, come to the same', async () => {
  await hear(1000)
  const [first, second, third] = [await seal(100), await seal(200), await seal(300)]
  await deliver(third)
  expect(await backlog()).toBe(700)
  await deliver(second, first)
  expect(await backlog()).toBe(400)
  expect(await held()).toBe(400)
})

test('batches of an earlier run of the agent that come late change nothing but what is received', async () => {
  await hear(1000)
  const late = await seal(100)
  await buffer.close()
  buffer = await open()
  await hear(50)
  await deliver(await seal(200))
  expect(await backlog()).toBe(850)
  await deliver(late)
  expect(await backlog()).toBe(750)
  expect(await held()).toBe(750)
})

test('readings that are rejected, and batches that cannot be applied, are no longer held', async () => {
  await hear(300)
  const [first, second] = [await seal(100), await seal(100)]
  const one = opened(first)
  await take({ ...one, envelope: { ...one.envelope, rejected: new Map([[0, 'future']]) } })
  expect(await backlog()).toBe(200)
  await database.transaction(tx => effect.leftOut(tx, [opened(second)]))
  await deliver(await seal(50))
  expect(await backlog()).toBe(50)
})

test('what the agent evicted unsent is lost, not held', async () => {
  await hear(5000)
  await deliver(await seal(1000))
  await hear(120_000)
  const { evicted } = (await buffer.stats()).counters
  expect(evicted).toBeGreaterThan(10_000)
  // The body of a batch takes room too, after its header was written: the next one tells of what had to go for it.
  await deliver(await seal(100))
  await deliver(await seal(100))
  expect(await backlog()).toBe(await held())
})

test('a batch that the hub took and the agent lost before it heard so makes the backlog too small until it has drained', async () => {
  await hear(1000)
  await take(opened(await seal(1000)))
  await hear(120_000)
  const last = await seal(100)
  // At once: the buffer may give up a file at any second, and the hub knows it as of its newest batch.
  const truth = (await held()) - last.readings
  await deliver(last)
  expect(truth - (await backlog())!).toBe(1000)
  for (let batch = await buffer.seal(5000, 'live'); batch !== null; batch = await buffer.seal(5000, 'live'))
    await deliver(batch)
  expect([await backlog(), await held()]).toEqual([0, 0])
  await hear(500)
  await deliver(await seal(100))
  expect([await backlog(), await held()]).toEqual([400, 400])
})

test('a buffer that began anew is never said to hold less than nothing, and is known again once it has drained', async () => {
  await hear(2000)
  await deliver(await seal(2000))
  await buffer.close()
  rmSync(folder, { recursive: true })
  folder = mkdtempSync(join(tmpdir(), 'tributary-backlog-'))
  buffer = await open()
  await hear(300)
  await deliver(await seal(100))
  expect(await backlog()).toBe(0)
  expect((await standing()).counters).toMatchObject({ accepted: 300 })
  await deliver(await seal(200))
  await hear(300)
  await deliver(await seal(100))
  expect([await backlog(), await held()]).toEqual([200, 200])
})

test('an agent from before this was counted starts as if it had drained', async () => {
  await hear(2000)
  await deliver(await seal(500))
  await database.pool.query(
    `update agent set header_seq = null, header_wall_us = null, received_readings = (counters ->> 'stored')::int8`,
  )
  await deliver(await seal(500))
  expect(await backlog()).toBe(0)
  await deliver(await seal(1000))
  await hear(300)
  await deliver(await seal(100))
  expect([await backlog(), await held()]).toEqual([200, 200])
})
