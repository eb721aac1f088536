/** Rows without a place in time, through the store's files: sealing waits, trust places, starts and damage change nothing of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeBatch } from '@tributary/shared/batch/codec'
import type { Lane } from '@tributary/shared/protocol'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BootClock } from '../time/boot-clock.ts'
import type { Message, SealedBatch, StoredDeadLetter } from './buffer.ts'
import { bufferConfig } from './buffer-config.ts'
import { PendingGroup } from './group.ts'
import { Store, type StoreStats } from './store.ts'

const t0Us = 1_760_000_000_000_000
const MiB = 1024 * 1024
let folder: string
let store: Store
let boot: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'placing-'))
  start('a')
})
afterEach(() => {
  store.run({ op: 'close' })
  rmSync(folder, { recursive: true, force: true })
})

function start(bootId: string, maxAgeMs = 3600_000): void {
  const bounds = { ballastBytes: 0, minFreeBytes: 0, maxBytes: MiB, fileBytes: 64 * 1024, maxAgeMs }
  const epoch = Math.ceil(Math.random() * 1e9)
  boot = bootId
  store = new Store({ config: bufferConfig({ folder, ...bounds }), epoch, sabotage: 'fsync-off', bootId })
}

function restart(bootId: string, maxAgeMs?: number): void {
  store.run({ op: 'close' })
  start(bootId, maxAgeMs)
}

function commit(message: Partial<Message>): void {
  const forming = new PendingGroup(boot)
  const whole = { readings: [], deadLetter: null, receipt: null, maybeDuplicate: false, ...message }
  forming.add(whole, 0, () => undefined)
  store.run({ op: 'commit', group: forming.take().group })
  store.maintain()
}

function receive(tsUs: number, value: number | string, unplaced: boolean): void {
  commit({ readings: [{ series: { device: 'd', metric: 'm', unit: '' }, tsUs, value, quality: 0 }], unplaced })
}

function gain(bootUs: number, timeUs: number, certain = true): void {
  const anchor = { bootUs, timeUs, rate: 0 }
  store.run({ op: 'trust', trust: { placing: anchor, latest: anchor, certain, source: 'hub' } })
}

function seal(lane: Lane = 'live', maxReadings = 1000): SealedBatch | null {
  const header = { agentId: 'ag-a', bootId: boot, monotonicUs: 0, wallUs: 0 }
  return store.run({ op: 'seal', maxReadings, lane, header }) as SealedBatch | null
}

/** [time, value, quality] of everything that can be sealed. */
function sealed(lane: Lane = 'live'): unknown[] {
  const found: unknown[] = []
  for (let batch = seal(lane); batch !== null; batch = seal(lane)) {
    for (const { tsUs, values, quality } of decodeBatch(batch.body).columns)
      tsUs.forEach((ts, index) => void found.push([ts, values[index], quality?.[index] ?? 0]))
  }
  return found
}

/** Of the clock that the store reads, whatever boot it is told. */
const nowUs = () => new BootClock(boot).nowUs()
const stats = () => store.run({ op: 'stats' }) as StoreStats
const letters = () => store.run({ op: 'deadLetters', limit: 100 }) as StoredDeadLetter[]

test('nothing is sealed of a boot without trust; when it gains it, all is, at its times', () => {
  receive(1e6, 1, true)
  receive(t0Us + 5, 2, false)
  receive(3e6, 3, true)
  expect(seal()).toBeNull()
  expect(stats()).toMatchObject({ unplacedReadings: 2, unsealedLive: 3, oldestUs: null })
  gain(4e6, t0Us)
  expect(stats()).toMatchObject({ unplacedReadings: 0, oldestUs: t0Us - 3e6 })
  const batch = seal()
  expect(batch).toMatchObject({ readings: 3, newestUs: t0Us + 5 })
  const [columns] = decodeBatch(batch!.body).columns
  expect([...(columns?.tsUs ?? [])]).toEqual([t0Us - 3e6, t0Us + 5, t0Us - 1e6])
  expect(columns?.quality).toBeNull()
})

test('sealing goes as far as there are places in time, in pieces of rows too', () => {
  receive(t0Us, 1, false)
  receive(2e6, 2, true)
  expect(sealed()).toEqual([[t0Us, 1, 0]])
  gain(2e6, t0Us + 1e6)
  receive(t0Us + 2e6, 3, false)
  expect(seal('live', 1)?.readings).toBe(1)
  expect(sealed()).toEqual([[t0Us + 2e6, 3, 0]])
})

test('a lane that waits stalls no other', () => {
  receive(1e6, 1, true)
  store.run({ op: 'split', freshMs: 0 })
  receive(t0Us, 2, false)
  expect(seal('backlog')).toBeNull()
  expect(sealed('live')).toEqual([[t0Us, 2, 0]])
  gain(1e6, t0Us - 5)
  expect(sealed('backlog')).toEqual([[t0Us - 5, 1, 0]])
})

test('a restart within the boot goes on with its trust', () => {
  receive(1e6, 1, true)
  gain(2e6, t0Us)
  restart('a')
  expect(store.clock().trust).toMatchObject({ certain: true, placing: { bootUs: 2e6, timeUs: t0Us } })
  expect(sealed()).toEqual([[t0Us - 1e6, 1, 0]])
})

test('boots that never gained trust are placed before the one that does, in order, as uncertain', () => {
  gain(0, t0Us)
  restart('b')
  receive(7e6, 1, true)
  receive(9e6, 2, true)
  restart('b')
  receive(10e6, 3, true)
  restart('c')
  receive(2e6, 4, true)
  expect(seal()).toBeNull()
  restart('d')
  receive(1e6, 5, true)
  gain(3e6, t0Us + 100e6)
  expect(sealed()).toEqual([
    [t0Us + 92e6, 1, 1],
    [t0Us + 94e6, 2, 1],
    [t0Us + 95e6, 3, 1],
    [t0Us + 97e6, 4, 1],
    [t0Us + 98e6, 5, 0],
  ])
})

test('files that are closed meanwhile wait too, and are not old for a clock at 1970', () => {
  for (let n = 0; n < 40; n++) receive(n * 1e6, 'x'.repeat(4000), true)
  expect(stats().files).toBeGreaterThan(2)
  // More than this machine can have been up: all its boots here began when it did.
  restart('b', 10 * 365 * 24 * 3600_000)
  store.run({ op: 'tick' })
  const { files } = stats()
  gain(nowUs(), t0Us)
  store.run({ op: 'tick' })
  expect(stats().files).toBe(files)
  expect(sealed()).toHaveLength(40)
})

test('readings of files that were closed longer ago than the bound are given up once the time is known, and no sooner', () => {
  for (let n = 0; n < 40; n++) receive(t0Us, 'x'.repeat(4000), false)
  restart('b')
  gain(nowUs(), t0Us)
  restart('c')
  store.run({ op: 'tick' })
  expect(stats().losses).toEqual([])
  gain(nowUs(), t0Us + 3600e6 + 60e6)
  store.run({ op: 'tick' })
  expect(stats().losses).toMatchObject([{ reason: 'expired', exact: true }])
})

test('dead letters are placed likewise, and say so', () => {
  const letter = { source: 's', origin: 'o', reason: 'r', payload: new Uint8Array(3), arrival: 'unplaced' } as const
  commit({ deadLetter: { ...letter, receivedAtUs: 1e6 } })
  expect(letters()).toMatchObject([{ receivedAtUs: 1e6, arrival: 'unplaced' }])
  restart('b')
  commit({ deadLetter: { ...letter, receivedAtUs: 2e6 } })
  gain(4e6, t0Us)
  expect(letters()).toMatchObject([{ receivedAtUs: t0Us - 4e6, arrival: 'uncertain' }, { receivedAtUs: t0Us - 2e6 }])
  expect(letters()[1]).not.toHaveProperty('arrival')
  restart('b')
  expect(letters().map(({ arrival }) => arrival)).toEqual(['uncertain', undefined])
})

test('what is known of the boots lost by damage, its readings are placed before the running boot, as uncertain', () => {
  receive(1e6, 1, true)
  receive(3e6, 2, true)
  store.run({ op: 'close' })
  const database = new Database(join(folder, '000001.db'))
  database.exec("DELETE FROM state WHERE key = 'times'")
  database.close()
  start('b')
  gain(2e6, t0Us)
  expect(sealed()).toEqual([
    [t0Us - 4e6, 1, 1],
    [t0Us - 2e6, 2, 1],
  ])
})

test('a batch that was sealed keeps its times, whatever is learned later', () => {
  receive(1e6, 1, true)
  gain(2e6, t0Us, false)
  const batch = seal()
  gain(2e6, t0Us + 9e6)
  restart('a')
  const [again] = store.run({ op: 'pending', max: 9, after: null }) as SealedBatch[]
  expect(again?.body).toEqual(batch?.body)
})

test('whatever is damaged after boots without trust: what is left is placed in order before the running boot, and the rest counted', () => {
  const harm = fc.record({
    which: fc.nat(20),
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 3000, size: 'max' }),
    cut: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 0, max: 60 }), harm, (ofA, ofB, damage) => {
      store.run({ op: 'close' })
      rmSync(folder, { recursive: true })
      start('a')
      for (let n = 0; n < ofA; n++) receive(n * 1e6, text(n), true)
      restart('b')
      for (let n = 0; n < ofB; n++) receive(n * 1e6, text(ofA + n), true)
      store.run({ op: 'close' })
      spoil(damage)
      start('c')
      gain(1e6, t0Us)
      const found = sealed() as [number, string, number][]
      const numbers = found.map(([, value]) => Number.parseInt(value, 10))
      expect(numbers).toEqual([...new Set(numbers)].toSorted((one, other) => one - other))
      expect(ofA + ofB - found.length).toBeLessThanOrEqual(stats().counters.evicted)
      for (const [index, [tsUs, , quality]] of found.entries()) {
        expect(quality).toBe(1)
        expect(tsUs).toBeLessThanOrEqual(t0Us - 1e6)
        expect(tsUs).toBeGreaterThanOrEqual(found[index - 1]?.[0] ?? 0)
      }
    }),
    { numRuns: 25 },
  )
})

/** A number, and enough beside it that files fill. */
function text(n: number): string {
  return `${n} ${'x'.repeat(3000)}`
}

function spoil({ which, at, bytes, cut }: { which: number; at: number; bytes: Uint8Array; cut: boolean }): void {
  const files = readdirSync(folder).filter(name => /^\d+\.db/.test(name))
  const path = join(folder, files[which % files.length] as string)
  const content = Uint8Array.from(readFileSync(path))
  const place = Math.floor(at * content.length)
  if (!cut) content.set(bytes.subarray(0, content.length - place), place)
  writeFileSync(path, cut ? content.slice(0, place) : content)
}
