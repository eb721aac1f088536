import { existsSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Buffer } from './buffer.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { type BufferOptions, openBuffer } from './sqlite-buffer.ts'

const MiB = 1024 * 1024
const small = { maxBytes: MiB, fileBytes: 128 * 1024 }
let folder: string
const opened: Buffer[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-evict-'))
})
afterEach(async () => {
  for (const buffer of opened.splice(0)) await buffer.close()
  await rm(folder, { recursive: true, force: true })
})

async function open(more: Partial<BufferOptions> = {}): Promise<Buffer> {
  const fixed = {
    folder,
    worker: false,
    windowMs: 0,
    ballastBytes: 0,
    sabotage: 'fsync-off' as const,
    agentId: () => 'ag-a',
  }
  const buffer = await openBuffer({ ...fixed, ...small, ...more })
  opened.push(buffer)
  return buffer
}

async function shut(buffer: Buffer): Promise<void> {
  opened.splice(opened.indexOf(buffer), 1)
  await buffer.close()
}

async function fill(buffer: Buffer, from: number, to: number): Promise<void> {
  for (let tsUs = from; tsUs < to; tsUs += 200) {
    await accept(
      buffer,
      message(Array.from({ length: 200 }, (_, index) => reading('d', tsUs + index, Math.sin(tsUs + index)))),
    )
  }
}

async function drain(buffer: Buffer): Promise<number[]> {
  const times: number[] = []
  for (let batch = await buffer.seal(5000, 'live'); batch; batch = await buffer.seal(5000, 'live')) {
    times.push(...contents(batch.body).map(([, tsUs]) => tsUs))
    await buffer.acknowledge(batch.epoch, batch.seq)
  }
  return times
}

test('above its bound the buffer gives up the oldest readings, each one counted', async () => {
  const buffer = await open()
  await fill(buffer, 0, 120_000)
  const before = await buffer.stats()
  expect(before.bytes).toBeLessThanOrEqual(MiB)
  const onDisk = readdirSync(folder).filter(name => /\.db(-wal)?$/.test(name) && name !== 'lock.db')
  expect(onDisk.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)).toBeLessThanOrEqual(MiB)
  const { evicted } = before.counters
  expect(evicted).toBeGreaterThan(10_000)
  expect(before.losses.every(({ exact, reason }) => exact && reason === 'evicted')).toBe(true)
  expect(before.losses.reduce((sum, { readings }) => sum + readings, 0)).toBe(evicted)
  expect(before.backlogReadings).toBe(120_000 - evicted)
  await shut(buffer)
  const again = await open()
  const times = await drain(again)
  expect(times).toEqual(Array.from({ length: 120_000 - evicted }, (_, index) => index + evicted))
  expect(lawHolds((await again.stats()).counters)).toBe(true)
})

test('acknowledged copies go before anything that was not sent', async () => {
  const buffer = await open({ copyShare: 1 })
  await fill(buffer, 0, 30_000)
  await drain(buffer)
  await fill(buffer, 30_000, 75_000)
  const { counters, backlogReadings, bytes } = await buffer.stats()
  expect(bytes).toBeLessThanOrEqual(MiB)
  expect(counters.evicted).toBe(0)
  expect(backlogReadings).toBe(45_000)
})

test('copies take no more than their share', async () => {
  const buffer = await open({ copyShare: 0.25 })
  for (let round = 0; round < 10; round++) {
    await fill(buffer, round * 10_000, round * 10_000 + 10_000)
    await drain(buffer)
  }
  const { counters, files, losses } = await buffer.stats()
  // Two files of copies, what became a copy since the last new file, and the tail.
  expect(files).toBeLessThanOrEqual(5)
  expect({ evicted: counters.evicted, losses }).toEqual({ evicted: 0, losses: [] })
})

test('sealed batches that are evicted stand in the ledger under their own seq', async () => {
  const buffer = await open()
  await fill(buffer, 0, 10_000)
  const sealed: number[] = []
  for (let batch = await buffer.seal(1000, 'live'); batch; batch = await buffer.seal(1000, 'live'))
    sealed.push(batch.seq)
  await fill(buffer, 10_000, 120_000)
  const { counters, losses } = await buffer.stats()
  const bySeq = losses.filter(loss => loss.epoch === buffer.epoch && loss.fromSeq <= 10)
  expect(bySeq).toMatchObject([{ fromSeq: 1, reason: 'evicted', exact: true }])
  expect(losses.reduce((sum, { readings }) => sum + readings, 0)).toBe(counters.evicted)
  const pending = await buffer.pending(1000)
  expect(pending.every(({ floor, seq }) => floor <= seq)).toBe(true)
  expect((await buffer.seal(10, 'live'))?.floor).toBeGreaterThan(10)
})

test('the floor does not pass a loss that no batch tells of', async () => {
  const buffer = await open()
  await fill(buffer, 0, 10_000)
  for (let batch = await buffer.seal(1000, 'live'); batch; batch = await buffer.seal(1000, 'live'));
  await fill(buffer, 10_000, 120_000)
  const [lost] = (await buffer.stats()).losses
  const before = await buffer.pending(1000)
  expect(lost?.fromSeq).toBe(1)
  for (const { floor } of before) expect(floor).toBe(1)
  const telling = await buffer.seal(10, 'live')
  expect(telling?.floor).toBeGreaterThan(lost!.toSeq)
})

test('the next batch tells the hub what was lost, until one that did is acknowledged', async () => {
  const buffer = await open()
  await fill(buffer, 0, 100_000)
  const { losses } = await buffer.stats()
  const first = await buffer.seal(10, 'live')
  const second = await buffer.seal(10, 'live')
  const { decodeBatch } = await import('@tributary/shared/batch/codec')
  expect(decodeBatch(first!.body).header.losses).toEqual(losses)
  expect(decodeBatch(second!.body).header.losses).toEqual(losses)
  await buffer.acknowledge(second!.epoch, second!.seq)
  const third = await buffer.seal(10, 'live')
  expect(decodeBatch(third!.body).header.losses).toEqual([])
  expect((await buffer.stats()).losses).toEqual(losses)
})

test('copies given up are a loss once the floor of the hub falls below them', async () => {
  const buffer = await open({ copyShare: 0 })
  for (let round = 0; round < 6; round++) {
    await fill(buffer, round * 10_000, round * 10_000 + 10_000)
    await drain(buffer)
  }
  const { counters } = await buffer.stats()
  await buffer.settle(buffer.epoch, 13)
  const again = await buffer.settle(buffer.epoch, 1)
  const after = await buffer.stats()
  const lost = after.losses.reduce((sum, { readings }) => sum + readings, 0)
  expect(again).toBe(after.sealedPending)
  expect(lost + after.backlogReadings).toBe(counters.accepted)
  expect(after.counters.evicted).toBe(lost)
  expect(lost).toBeGreaterThan(0)
  expect(after.losses.every(({ reason }) => reason === 'hub-lost')).toBe(true)
  expect(lawHolds(after.counters)).toBe(true)
})

test('what the hub lost of an earlier start is brought back, whatever it had answered then', async () => {
  const before = await open()
  await fill(before, 0, 2000)
  const first = await before.seal(1000, 'live')
  const second = await before.seal(1000, 'live')
  for (const { epoch, seq } of [first!, second!]) await before.acknowledge(epoch, seq)
  await shut(before)
  const buffer = await open()
  expect(await buffer.earlierFloors(64)).toEqual([{ epoch: before.epoch, floor: 3 }])
  expect(await buffer.earlierFloors(0)).toEqual([])
  expect(await buffer.settle(before.epoch, 2)).toBe(0)
  expect(await buffer.bringBack(before.epoch, 2)).toBe(1)
  expect((await buffer.pending(10)).map(({ body }) => body)).toEqual([second!.body])
  expect(await buffer.earlierFloors(64)).toEqual([{ epoch: before.epoch, floor: 2 }])
  expect(await buffer.bringBack(before.epoch + 1, 1)).toBe(0)
})

test('a file left behind by a crash during eviction is removed, not sent again', async () => {
  const buffer = await open()
  await fill(buffer, 0, 100_000)
  const { backlogReadings } = await buffer.stats()
  await shut(buffer)
  expect(existsSync(join(folder, '000001.db'))).toBe(false)
  writeFileSync(join(folder, '000001.db'), 'left behind')
  const again = await open()
  expect(existsSync(join(folder, '000001.db'))).toBe(false)
  expect((await again.stats()).backlogReadings).toBe(backlogReadings)
})

test('dead letters are bounded by number and bytes, survive new files, and stay counted', async () => {
  const buffer = await open({ maxDeadLetters: 20, maxDeadLetterBytes: 10_000 })
  const letter = (bytes: number) => ({
    source: 'mqtt',
    origin: 'o',
    reason: 'r',
    payload: new Uint8Array(bytes),
    receivedAtUs: 1,
  })
  for (let index = 0; index < 30; index++) await accept(buffer, message([], { deadLetter: letter(10) }))
  expect((await buffer.deadLetters(100)).map(({ id }) => id)).toEqual(
    Array.from({ length: 20 }, (_, index) => index + 11),
  )
  await fill(buffer, 0, 60_000)
  expect(await buffer.deadLetters(100)).toHaveLength(20)
  for (let index = 0; index < 3; index++) await accept(buffer, message([], { deadLetter: letter(4900) }))
  expect((await buffer.deadLetters(100)).map(({ id }) => id)).toEqual([32, 33])
  await accept(buffer, message([], { deadLetter: letter(10_001) }))
  expect(await buffer.deadLetters(100)).toEqual([])
  const { counters } = await buffer.stats()
  expect(counters.deadLettered).toBe(34)
  expect(lawHolds(counters)).toBe(true)
})

test('a busy sender pushes out its own receipts, not those of a quiet one; all move to new files', async () => {
  const buffer = await open({ maxReceipts: 100 })
  const receipt = (scope: string, id: number) => ({ scope, id, digest: id.toString(16).padStart(16, '0') })
  await accept(buffer, message([], { receipt: receipt('mqtt2:quiet', 5) }))
  for (let id = 1; id <= 500; id++) await accept(buffer, message([], { receipt: receipt('mqtt1:busy', id) }))
  await fill(buffer, 0, 60_000)
  await shut(buffer)
  const receipts = (await open({ maxReceipts: 100 })).receipts()
  expect(receipts.length).toBeLessThanOrEqual(100)
  expect(receipts).toContainEqual(receipt('mqtt2:quiet', 5))
  expect(receipts).toContainEqual(receipt('mqtt1:busy', 500))
  expect(receipts).toContainEqual(receipt('mqtt1:busy', 460))
  expect(receipts).not.toContainEqual(receipt('mqtt1:busy', 1))
})
