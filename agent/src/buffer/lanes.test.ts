import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Buffer, SealedBatch } from './buffer.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { type BufferOptions, openBuffer } from './sqlite-buffer.ts'

let folder: string
const opened: Buffer[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-lanes-'))
})
afterEach(async () => {
  for (const buffer of opened.splice(0)) await buffer.close()
  await rm(folder, { recursive: true, force: true })
})

async function open(more: Partial<BufferOptions> = {}): Promise<Buffer> {
  const fixed = { worker: false, windowMs: 0, ballastBytes: 0, minFreeBytes: 0, sabotage: 'fsync-off' as const }
  const buffer = await openBuffer({ folder, ...fixed, agentId: () => 'ag-lanes', ...more })
  opened.push(buffer)
  return buffer
}

async function shut(buffer: Buffer): Promise<void> {
  opened.splice(opened.indexOf(buffer), 1)
  await buffer.close()
}

/** What a kill −9 at this moment leaves is opened in its place. */
async function crash(buffer: Buffer, more: Partial<BufferOptions> = {}): Promise<Buffer> {
  const copy = mkdtempSync(join(tmpdir(), 'tributary-lanes-'))
  for (const name of readdirSync(folder)) {
    if (name !== 'lock.db') cpSync(join(folder, name), join(copy, name), { recursive: true })
  }
  await shut(buffer)
  rmSync(folder, { recursive: true })
  folder = copy
  return open(more)
}

/** Readings numbered by their time. */
async function fill(buffer: Buffer, from: number, to: number): Promise<void> {
  for (let tsUs = from; tsUs < to; tsUs += 10) {
    await accept(buffer, message(Array.from({ length: 10 }, (_, index) => reading('d', tsUs + index, tsUs + index))))
  }
}

function times(batch: SealedBatch | null): number[] {
  return batch
    ? contents(batch.body)
        .map(([, tsUs]) => tsUs)
        .sort((a, b) => a - b)
    : []
}

const span = (batch: SealedBatch | null) => [times(batch)[0], times(batch).at(-1)]

describe('two lanes', () => {
  test('what comes after a split leaves first, the backlog in order beside it', async () => {
    const buffer = await open()
    await fill(buffer, 0, 100)
    expect(await buffer.seal(10, 'backlog')).toBeNull()
    expect(await buffer.split(0)).toBe(true)
    await fill(buffer, 100, 120)
    expect(span(await buffer.seal(15, 'live'))).toEqual([100, 114])
    expect(span(await buffer.seal(25, 'backlog'))).toEqual([0, 24])
    expect(span(await buffer.seal(100, 'live'))).toEqual([115, 119])
    expect(await buffer.stats()).toMatchObject({ unsealedLive: 0, unsealedBacklog: 75, backlogRanges: 1, oldestUs: 25 })
    expect(span(await buffer.seal(100, 'backlog'))).toEqual([25, 99])
    expect(await buffer.seal(100, 'backlog')).toBeNull()
    expect(await buffer.stats()).toMatchObject({ unsealedBacklog: 0, backlogRanges: 0, oldestUs: null })
  })

  test('what came just before the split is live already', async () => {
    const buffer = await open()
    await fill(buffer, 0, 50)
    expect(await buffer.split(60_000)).toBe(false)
    expect(await buffer.stats()).toMatchObject({ unsealedLive: 50, unsealedBacklog: 0 })
  })

  test('a second outage during a drain splits again; the backlog leaves oldest first', async () => {
    const buffer = await open()
    for (const from of [0, 100, 200]) {
      await fill(buffer, from, from + 100)
      expect(await buffer.split(0)).toBe(true)
    }
    expect((await buffer.stats()).backlogRanges).toBe(3)
    const order: number[] = []
    for (let batch = await buffer.seal(70, 'backlog'); batch; batch = await buffer.seal(70, 'backlog')) {
      order.push(...times(batch))
    }
    expect(order).toEqual(Array.from({ length: 300 }, (_, index) => index))
  })

  test('beyond 64 ranges there is no split, and everything is sealed all the same', async () => {
    const buffer = await open()
    const splits: boolean[] = []
    for (let from = 0; from < 700; from += 10) {
      await fill(buffer, from, from + 10)
      splits.push(await buffer.split(0))
    }
    expect(splits.filter(split => split)).toHaveLength(63)
    const found: number[] = []
    for (const lane of ['live', 'backlog'] as const) {
      for (let batch = await buffer.seal(1000, lane); batch; batch = await buffer.seal(1000, lane))
        found.push(...times(batch))
    }
    expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 700 }, (_, index) => index))
  })

  test.each(['crash', 'restart'])('both lanes go on where they were after a %s', async how => {
    let buffer = await open()
    await fill(buffer, 0, 100)
    await buffer.split(0)
    await fill(buffer, 100, 150)
    await buffer.seal(15, 'backlog')
    await buffer.seal(12, 'live')
    if (how === 'crash') buffer = await crash(buffer)
    else {
      await shut(buffer)
      buffer = await open()
    }
    expect(await buffer.stats()).toMatchObject({ unsealedLive: 38, unsealedBacklog: 85, sealedPending: 2, losses: [] })
    expect(span(await buffer.seal(10, 'live'))).toEqual([112, 121])
    expect(span(await buffer.seal(10, 'backlog'))).toEqual([15, 24])
  })

  test('live files that the hub has are given up before a backlog that it has not', async () => {
    const small = { maxBytes: 1024 * 1024, fileBytes: 64 * 1024 }
    const buffer = await open(small)
    const bulky = async (from: number, count: number) => {
      for (let tsUs = from; tsUs < from + count; tsUs++) {
        await accept(buffer, message([reading('d', tsUs, 'x'.repeat(4000))]))
      }
    }
    await bulky(0, 100)
    await buffer.split(0)
    for (let from = 100; from < 600; from += 50) {
      await bulky(from, 50)
      for (let batch = await buffer.seal(50, 'live'); batch; batch = await buffer.seal(50, 'live')) {
        await buffer.acknowledge(batch.epoch, batch.seq)
      }
    }
    expect(await buffer.stats()).toMatchObject({ unsealedBacklog: 100, losses: [] })
  })
})

test('a folder of layout 2 opens with its backlog and its counters, all of them raw', async () => {
  cpSync(join(import.meta.dirname, 'fixtures/layout-2'), folder, { recursive: true })
  let buffer = await open()
  expect(await buffer.stats()).toMatchObject({
    files: 2,
    sealedPending: 2,
    unsealedLive: 6,
    unsealedBacklog: 6,
    deadLetters: 1,
    losses: [],
    counters: { accepted: 31, stored: 30, folded: 0, deadLettered: 1, maybeDuplicate: 0 },
  })
  expect(buffer.receipts()).toHaveLength(1)
  const pending = await buffer.pending(1000)
  await fill(buffer, 30, 40)
  buffer = await crash(buffer)
  const sealed = [await buffer.seal(100, 'backlog'), await buffer.seal(100, 'live')]
  const found = [...pending, ...sealed].flatMap(times).sort((a, b) => a - b)
  expect(found).toEqual(Array.from({ length: 32 }, (_, index) => index + 8))
  const { counters } = await buffer.stats()
  expect(counters.classes).toMatchObject([{ class: 'raw', accepted: 40, stored: 40 }, { accepted: 0 }, { accepted: 0 }])
  expect(lawHolds(counters)).toBe(true)
})

test('a folder of layout 1 opens: nothing lost, nothing twice, and lanes from then on', async () => {
  cpSync(join(import.meta.dirname, 'fixtures/layout-1'), folder, { recursive: true })
  let buffer = await open()
  expect(await buffer.stats()).toMatchObject({
    files: 2,
    sealedPending: 2,
    unsealedLive: 13,
    losses: [],
    deadLetters: 1,
  })
  const pending = await buffer.pending(1000)
  expect(pending.map(span)).toEqual([
    [15, 22],
    [23, 26],
  ])
  expect(await buffer.split(0)).toBe(true)
  await fill(buffer, 40, 60)
  const sealed = [await buffer.seal(100, 'live'), await buffer.seal(5, 'backlog')]
  buffer = await crash(buffer)
  sealed.push(await buffer.seal(100, 'backlog'))
  expect(await buffer.seal(100, 'live')).toBeNull()
  const found = [...pending, ...sealed].flatMap(times).sort((a, b) => a - b)
  expect(found).toEqual(Array.from({ length: 45 }, (_, index) => index + 15))
  expect((await buffer.stats()).counters).toMatchObject({ accepted: 61, maybeDuplicate: 0, evicted: 0 })
})

/** What the test knows of a buffer: every batch that was ever sealed, and which of them the hub has. */
interface Book {
  accepted: number
  readonly sealed: Map<string, readonly number[]>
  readonly acknowledged: Set<string>
}

const small = { maxBytes: 1024 * 1024, fileBytes: 64 * 1024 }
const keyOf = ({ epoch, seq }: SealedBatch) => `${epoch}/${seq}`

async function acceptBulky(buffer: Buffer, book: Book, count: number): Promise<void> {
  const readings = Array.from({ length: count }, () =>
    reading(`d${book.accepted % 3}`, book.accepted++, 'x'.repeat(3500)),
  )
  await accept(buffer, message(readings))
}

async function sealInto(book: Book, buffer: Buffer, size: number, lane: 'live' | 'backlog'): Promise<boolean> {
  const batch = await buffer.seal(size, lane)
  if (batch) book.sealed.set(keyOf(batch), times(batch))
  return batch !== null
}

const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('accept' as const), size: fc.integer({ min: 1, max: 40 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('live' as const, 'backlog' as const),
      size: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('split' as const, 'acknowledge' as const, 'crash' as const, 'restart' as const),
      size: fc.nat(99),
    }),
  },
)

test('splits, lanes, crashes and evictions in any order: every reading is sealed once or in the ledger', async () => {
  let evicted = 0
  const property = fc.asyncProperty(
    fc.array(command, { minLength: 20, maxLength: 60, size: 'max' }),
    async commands => {
      rmSync(folder, { recursive: true, force: true })
      folder = mkdtempSync(join(tmpdir(), 'tributary-lanes-'))
      const book: Book = { accepted: 0, sealed: new Map(), acknowledged: new Set() }
      let buffer = await open(small)
      for (const { kind, size } of commands) {
        if (kind === 'accept') await acceptBulky(buffer, book, size)
        else if (kind === 'split') await buffer.split(size % 2 === 0 ? 0 : 20)
        else if (kind === 'crash') {
          buffer = await crash(buffer, small)
          // An acknowledgement need not survive it: the batch is sent again.
          for (const batch of await buffer.pending(1000)) book.acknowledged.delete(keyOf(batch))
        } else if (kind === 'restart') {
          await shut(buffer)
          buffer = await open(small)
        } else if (kind === 'acknowledge') {
          const pending = await buffer.pending(1000)
          const one = pending[size % Math.max(1, pending.length)]
          if (!one) continue
          await buffer.acknowledge(one.epoch, one.seq)
          book.acknowledged.add(keyOf(one))
        } else await sealInto(book, buffer, size, kind)
        expect(lawHolds((await buffer.stats()).counters)).toBe(true)
      }
      for (const lane of ['live', 'backlog'] as const) while (await sealInto(book, buffer, 500, lane));
      const { counters, losses, backlogReadings } = await buffer.stats()
      const pending = await buffer.pending(1000)
      await shut(buffer)

      const everSealed = [...book.sealed.values()].flat()
      expect(new Set(everSealed).size).toBe(everSealed.length)
      for (const batch of pending) expect(times(batch)).toEqual(book.sealed.get(keyOf(batch)))
      const kept = new Set([...pending.map(keyOf), ...book.acknowledged])
      const lostSealed = [...book.sealed].filter(([key]) => !kept.has(key)).flatMap(([, held]) => held)
      expect(counters.evicted).toBe(book.accepted - everSealed.length + lostSealed.length)
      expect(losses.reduce((sum, loss) => sum + loss.readings, 0)).toBe(counters.evicted)
      expect(losses.every(({ exact }) => exact)).toBe(true)
      expect(backlogReadings).toBe(pending.reduce((sum, { readings }) => sum + readings, 0))
      expect(counters).toMatchObject({ accepted: book.accepted, maybeDuplicate: 0 })
      expect(lawHolds(counters)).toBe(true)
      evicted += counters.evicted
    },
  )
  await fc.assert(property, { numRuns: 15 })
  expect(evicted).toBeGreaterThan(0)
})
