import { hash } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Buffer, SealedBatch } from './buffer.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { type BufferOptions, openBuffer } from './sqlite-buffer.ts'

let folder: string
let notices: string[]
const opened: Buffer[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-reseal-'))
  notices = []
})
afterEach(async () => {
  for (const buffer of opened.splice(0)) await buffer.close()
  await rm(folder, { recursive: true, force: true })
})

async function open(more: Partial<BufferOptions> = {}): Promise<Buffer> {
  const notify = (notice: string) => notices.push(notice)
  const fixed = { worker: false, windowMs: 0, ballastBytes: 0, sabotage: 'fsync-off' as const }
  const buffer = await openBuffer({ folder, ...fixed, agentId: () => 'ag-reseal', notify, ...more })
  opened.push(buffer)
  return buffer
}

async function fill(buffer: Buffer, from: number, to: number): Promise<void> {
  for (let tsUs = from; tsUs < to; tsUs++) await accept(buffer, message([reading(`d${tsUs % 3}`, tsUs, tsUs / 7)]))
}

test('its readings go out under a new epoch, with the counters of then; the old identity is on the books', async () => {
  const buffer = await open()
  await fill(buffer, 0, 30)
  const before = buffer.epoch
  const first = await buffer.seal(10, 'live')
  const second = await buffer.seal(10, 'live')
  await fill(buffer, 30, 35)
  const { counters: then } = await buffer.stats()
  const resealed = await buffer.reseal(before, 1)
  expect(buffer.epoch).not.toBe(before)
  expect(resealed).toMatchObject({ epoch: buffer.epoch, seq: 1, readings: 10, newestUs: 9, floor: 1 })
  const [was, is] = [decodeBatch(first!.body), decodeBatch(resealed!.body)]
  const losses = [{ epoch: before, fromSeq: 1, toSeq: 1, readings: 0, exact: true, reason: 'resealed' }]
  expect(is.columns).toEqual(was.columns)
  expect(is.header).toEqual({ ...was.header, epoch: buffer.epoch, seq: 1, counters: then, losses })
  expect((await buffer.pending(10)).map(({ epoch, seq, floor }) => [epoch, seq, floor])).toEqual([
    [before, 2, 2],
    [buffer.epoch, 1, 1],
  ])
  expect(await buffer.seal(100, 'live')).toMatchObject({ epoch: buffer.epoch, seq: 2, floor: 1 })
  const { counters, resealedBatches, backlogReadings } = await buffer.stats()
  expect({ evicted: counters.evicted, resealedBatches, backlogReadings }).toEqual({
    evicted: 0,
    resealedBatches: 1,
    backlogReadings: 35,
  })
  expect(lawHolds(counters)).toBe(true)
  expect(notices.join()).toContain('running twice')
  expect(second?.epoch).toBe(before)
})

test('it is durable, and counted across restarts', async () => {
  const buffer = await open()
  await fill(buffer, 0, 10)
  const { epoch } = (await buffer.seal(10, 'live'))!
  const resealed = await buffer.reseal(epoch, 1)
  const copy = mkdtempSync(join(tmpdir(), 'tributary-reseal-'))
  for (const name of readdirSync(folder)) if (name !== 'lock.db') cpSync(join(folder, name), join(copy, name))
  const after = await open({ folder: copy })
  expect(await after.pending(10)).toEqual([resealed])
  expect(await after.stats()).toMatchObject({ resealedBatches: 1, backlogReadings: 10, unsealedLive: 0 })
  await rm(copy, { recursive: true })
})

test('a batch of an earlier epoch moves to the running one, which stays', async () => {
  const first = await open()
  await fill(first, 0, 10)
  await first.seal(10, 'live')
  const old = first.epoch
  await first.close()
  opened.splice(0)
  const buffer = await open()
  const { epoch } = buffer
  expect(await buffer.reseal(old, 1)).toMatchObject({ epoch, seq: 1 })
  expect(buffer.epoch).toBe(epoch)
})

test('a hub that forgets the old epoch does not get its readings a second time', async () => {
  const buffer = await open()
  await fill(buffer, 0, 30)
  const { epoch } = buffer
  for (let i = 0; i < 3; i++) await buffer.seal(10, 'live')
  const resealed = await buffer.reseal(epoch, 2)
  for (const seq of [1, 3]) await buffer.acknowledge(epoch, seq)
  await buffer.acknowledge(resealed!.epoch, resealed!.seq)
  await buffer.settle(epoch, 4)
  expect(await buffer.settle(epoch, 1)).toBe(2)
  const found = (await buffer.pending(10)).flatMap(({ body }) => contents(body).map(([, tsUs]) => tsUs))
  expect(found.sort((a, b) => a - b)).toEqual([...Array(10).keys(), ...Array.from({ length: 10 }, (_, i) => i + 20)])
})

test('what is not pending cannot be sealed again', async () => {
  const buffer = await open()
  await fill(buffer, 0, 1)
  await buffer.seal(10, 'live')
  await buffer.acknowledge(buffer.epoch, 1)
  await expect(buffer.reseal(buffer.epoch, 1)).rejects.toMatchObject({ code: 'not-found' })
})

const digestOf = (batch: SealedBatch | null) => hash('sha256', batch!.body)

test('an acknowledged batch that the hub does not have after all is pending again, from its copy, and tells its losses anew', async () => {
  const buffer = await open()
  const old = buffer.epoch
  await fill(buffer, 0, 20)
  const first = await buffer.seal(10, 'live')
  const second = await buffer.seal(10, 'live')
  await buffer.reseal(old, 1)
  const [, resealed] = await buffer.pending(10)
  for (const { epoch, seq } of [second!, resealed!]) await buffer.acknowledge(epoch, seq)

  const again = await buffer.resealCopy(resealed!.epoch, 1, digestOf(resealed!))
  expect(buffer.epoch).toBe(again!.epoch)
  expect(await buffer.pending(10)).toEqual([again])
  const [is, was] = [decodeBatch(again!.body), decodeBatch(first!.body)]
  expect(is.columns).toEqual(was.columns)
  expect(is.header.losses.map(({ epoch, reason }) => [epoch, reason])).toEqual([
    [old, 'resealed'],
    [resealed!.epoch, 'resealed'],
  ])
  expect(await buffer.stats()).toMatchObject({ backlogReadings: 10, resealedBatches: 2, counters: { evicted: 0 } })
  expect(await buffer.resealCopy(resealed!.epoch, 1, digestOf(resealed!))).toBeNull()
})

test('a copy in a closed file is found; one that is pending, of another gateway, or given up is not', async () => {
  const buffer = await open({ fileBytes: 64 * 1024, copyShare: 0.5 })
  const { epoch } = buffer
  for (let from = 0; from < 40_000; from += 2000) {
    const readings = Array.from({ length: 2000 }, (_, n) => reading('d', from + n, Math.sqrt(from + n)))
    await accept(buffer, message(readings))
    await turn() // in which a full file makes place for the next
  }
  const sealed: SealedBatch[] = []
  for (let batch = await buffer.seal(2000, 'live'); batch; batch = await buffer.seal(2000, 'live')) {
    sealed.push(batch)
    await turn()
  }
  expect((await buffer.stats()).files).toBeGreaterThan(2)
  expect(await buffer.resealCopy(epoch, 1, digestOf(sealed[0]!))).toBeNull()
  for (const { seq } of sealed) await buffer.acknowledge(epoch, seq)
  expect(await buffer.resealCopy(epoch, 1, '00'.repeat(32))).toBeNull()
  expect(await buffer.resealCopy(epoch, 99, digestOf(sealed[0]!))).toBeNull()
  expect(await buffer.resealCopy(1, 1, digestOf(sealed[0]!))).toBeNull()
  expect(await buffer.resealCopy(epoch, 1, digestOf(sealed[0]!))).toMatchObject({ readings: 2000 })
  expect(await buffer.resealCopy(epoch, 20, digestOf(sealed[19]!))).toMatchObject({ readings: 2000 })
})

test('two clones of a running gateway: every batch that the hub has twice is sealed again, and no reading is lost or doubled', async () => {
  // A hub that keeps the first contents of an identity, as one does.
  const stored = new Map<string, Uint8Array>()
  const buffer = await open()
  await fill(buffer, 0, 10)
  const { epoch } = (await buffer.seal(10, 'live'))!
  for (const seq of [1, 2, 3]) stored.set(`${epoch}/${seq}`, new Uint8Array([seq]))
  await fill(buffer, 10, 40)
  for (let batch = await buffer.seal(10, 'live'); batch; batch = await buffer.seal(10, 'live'));
  for (const batch of await buffer.pending(100)) {
    const key = `${batch.epoch}/${batch.seq}`
    if (!stored.has(key)) {
      stored.set(key, batch.body)
      await buffer.acknowledge(batch.epoch, batch.seq)
      continue
    }
    const again = await buffer.reseal(batch.epoch, batch.seq)
    stored.set(`${again!.epoch}/${again!.seq}`, again!.body)
    await buffer.acknowledge(again!.epoch, again!.seq)
  }
  const own = [...stored.values()].filter(body => body.length > 1)
  const found = own.flatMap(body => contents(body).map(([, tsUs]) => tsUs))
  expect(found.sort((a, b) => a - b)).toEqual([...Array(40).keys()])
  expect(await buffer.stats()).toMatchObject({ backlogReadings: 0, sealedPending: 0, resealedBatches: 3 })
})
