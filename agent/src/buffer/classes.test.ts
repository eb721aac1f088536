/** What each class of series has of its readings, through seals, losses and damage. Marks are set as policies set them: at commit. */
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SealedBatch } from './buffer.ts'
import { bufferConfig } from './buffer-config.ts'
import { contents, lawHolds, message, reading } from './buffer-suite.ts'
import { byClass, type ClassCounts, ofClass, type SeriesClass } from './counters.ts'
import { type Group, PendingGroup } from './group.ts'
import { Mark } from './row-codec.ts'
import { Store, type StoreStats } from './store.ts'

const header = { agentId: 'ag-classes', bootId: 'boot', monotonicUs: 1, wallUs: 1 }
const markOf = { raw: 0, aggregate: Mark.held, alarm: Mark.alarm } as const
const MiB = 1024 * 1024

let folder: string
let store: Store

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-classes-'))
  store = open()
})
afterEach(() => {
  store.run({ op: 'close' })
  rmSync(folder, { recursive: true, force: true })
})

function open(): Store {
  const config = bufferConfig({ folder, ballastBytes: 0, minFreeBytes: 0, maxBytes: MiB, fileBytes: 64 * 1024 })
  return new Store({ config, epoch: Math.ceil(Math.random() * 1e9), sabotage: 'fsync-off', bootId: 'boot' })
}

/** One row of readings of these classes, in this order, each of about `bytes`. */
function groupOf(classes: readonly SeriesClass[], bytes: number): Group {
  const forming = new PendingGroup('boot')
  const readings = classes.map((name, index) => reading(name, index, 'x'.repeat(bytes)))
  forming.add(message(readings), 0, () => undefined)
  const { group } = forming.take()
  return { ...group, columns: { ...group.columns, marks: Uint8Array.from(classes, name => markOf[name]) } }
}

function commit(classes: readonly SeriesClass[], bytes = 1): void {
  commitAt(classes, bytes, 0)
}

/** Their times are one after another from `firstUs` on. */
function commitAt(classes: readonly SeriesClass[], bytes: number, firstUs: number): void {
  const group = groupOf(classes, bytes)
  const tsUs = group.columns.tsUs.map(time => time + firstUs)
  store.run({ op: 'commit', group: { ...group, columns: { ...group.columns, tsUs } } })
  store.maintain()
}

function stats(): StoreStats {
  return store.run({ op: 'stats' }) as StoreStats
}

function pending(max: number): readonly SealedBatch[] {
  return store.run({ op: 'pending', max, after: null }) as readonly SealedBatch[]
}

function fates(fate: 'accepted' | 'stored' | 'folded' | 'evicted'): ClassCounts {
  const { counters } = stats()
  return byClass(name => ofClass(counters, name)[fate])
}

/** As a kill would leave it: the folder with its log, opened again by another store. */
function crash(harm: () => void = () => undefined): void {
  const copy = mkdtempSync(join(tmpdir(), 'tributary-classes-'))
  cpSync(folder, copy, { recursive: true })
  store.run({ op: 'close' })
  rmSync(folder, { recursive: true, force: true })
  folder = copy
  harm()
  store = open()
}

test('a commit counts what it is told by class, and held readings are not backlog', () => {
  commit(['raw', 'raw', 'alarm', 'aggregate', 'raw', 'aggregate'])
  const before = stats()
  expect(before).toMatchObject({ backlogReadings: 4, counters: { accepted: 6, stored: 4, folded: 2 } })
  expect(fates('accepted')).toEqual({ raw: 3, aggregate: 2, alarm: 1 })
  expect(lawHolds(before.counters)).toBe(true)
  crash()
  expect(stats()).toMatchObject({ backlogReadings: 4, counters: before.counters })
})

test('rows missing within the tail are lost by class', () => {
  for (let round = 0; round < 4; round++) commit(['raw', 'alarm', 'alarm', 'aggregate'])
  store.run({ op: 'close' })
  const tail = new Database(join(folder, '000001.db'))
  tail.exec('DELETE FROM row WHERE n = 2')
  tail.close()
  store = open()
  expect(fates('evicted')).toEqual({ raw: 1, aggregate: 0, alarm: 2 })
  expect(stats()).toMatchObject({ backlogReadings: 9, losses: [{ readings: 3, reason: 'corrupt' }] })
})

test('rows missing at the end are lost by class, as the high-water mark counted them', () => {
  commit(['raw', 'alarm'])
  const whole = statSync(join(folder, '000001.db-wal')).size
  commit(['alarm', 'alarm', 'raw', 'aggregate'])
  crash(() => truncateSync(join(folder, '000001.db-wal'), whole))
  expect(fates('accepted')).toEqual({ raw: 2, aggregate: 1, alarm: 3 })
  expect(fates('evicted')).toEqual({ raw: 1, aggregate: 1, alarm: 2 })
  expect(lawHolds(stats().counters)).toBe(true)
})

test('a file that is gone costs each class what the catalogue knows of it', () => {
  while (stats().files < 3) commit(['raw', 'alarm', 'alarm'], 3000)
  const inFile = stats()
  store.run({ op: 'close' })
  rmSync(join(folder, '000001.db'))
  store = open()
  const lost = fates('evicted')
  expect(lost.alarm).toBeGreaterThan(0)
  expect(lost.alarm).toBe(2 * lost.raw)
  expect(stats().backlogReadings).toBe(inFile.backlogReadings - lost.raw - lost.alarm)
})

/** Device and time of everything that is not sealed yet, sealed now. */
function drained(): string[] {
  const found: string[] = []
  for (const lane of ['backlog', 'live'] as const) {
    for (;;) {
      const batch = store.run({ op: 'seal', maxReadings: 500, lane, header }) as SealedBatch | null
      if (!batch) break
      found.push(...contents(batch.body).map(([device, time]) => `${device}/${time}`))
    }
  }
  return found
}

const oneAlarmInTen: readonly SeriesClass[] = ['alarm', ...Array.from({ length: 9 }, () => 'raw' as const)]

test('alarms outlive the raw readings of their file: they move to the tail, each once, also over kills', () => {
  let rows = 0
  let files = 0
  for (let left = 400; left > 0 && fates('evicted').raw < 300; left--) {
    commitAt(oneAlarmInTen, 3000, rows++ * 10)
    const { files: now } = stats()
    if (now < files) crash()
    files = now
  }
  const { counters, backlogReadings } = stats()
  expect(lawHolds(counters)).toBe(true)
  expect(fates('evicted')).toMatchObject({ aggregate: 0, alarm: 0 })
  crash()
  expect(stats()).toMatchObject({ counters, backlogReadings })
  const found = drained()
  expect(new Set(found).size).toBe(found.length)
  expect(found.filter(one => one.startsWith('alarm'))).toHaveLength(rows)
  expect([found.length, counters.stored]).toEqual([backlogReadings, backlogReadings])
})

test('a kill between the books and the unlinking leaves no alarm twice, and none out', () => {
  let rows = 0
  let kills = 0
  const databases = (of: string) => readdirSync(of).filter(name => /^\d+\.db$/.test(name))
  while (stats().files < 8) commitAt(oneAlarmInTen, 3000, rows++ * 10)
  for (let left = 200; left > 0 && kills < 3; left--) {
    const before = mkdtempSync(join(tmpdir(), 'tributary-classes-'))
    cpSync(folder, before, { recursive: true })
    commitAt(oneAlarmInTen, 3000, rows++ * 10)
    const gone = databases(before).filter(name => !databases(folder).includes(name))
    if (gone.length > 0) {
      kills++
      crash(() => {
        for (const name of gone) cpSync(join(before, name), join(folder, name))
      })
    }
    rmSync(before, { recursive: true })
  }
  const found = drained()
  expect(new Set(found).size).toBe(found.length)
  expect(found.filter(one => one.startsWith('alarm'))).toHaveLength(rows)
  expect([kills, fates('evicted').alarm]).toEqual([3, 0])
})

test('where all are alarms the oldest go, into the ledger', () => {
  for (let left = 400; left > 0; left--) commit(['alarm', 'alarm', 'raw'], 3000)
  expect(fates('evicted').alarm).toBeGreaterThan(0)
  const { counters, losses } = stats()
  expect(lawHolds(counters)).toBe(true)
  expect(losses.every(({ exact, reason }) => exact && reason === 'evicted')).toBe(true)
})

test('a sealed batch that is evicted costs each class what the batch held', () => {
  commit(['raw', 'alarm', 'alarm'], 3000)
  store.run({ op: 'seal', maxReadings: 10, lane: 'live', header })
  crash()
  for (let left = 400; left > 0 && fates('evicted').raw === 0; left--) commit(['raw', 'raw'], 3000)
  expect(fates('evicted').alarm).toBe(2)
  expect(lawHolds(stats().counters)).toBe(true)
})

const classes = fc.array(fc.constantFrom('raw' as const, 'raw' as const, 'alarm' as const), {
  minLength: 1,
  maxLength: 20,
})
const step = fc.oneof(
  { weight: 5, arbitrary: classes },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'seal' as const,
      'acknowledge' as const,
      'split' as const,
      'crash' as const,
      'probe' as const,
    ),
  },
)

test('whatever happens, each class is accounted for to the reading', () => {
  let evicted = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 70, maxLength: 110, size: 'max' }), steps => {
      store.run({ op: 'close' })
      rmSync(folder, { recursive: true, force: true })
      folder = mkdtempSync(join(tmpdir(), 'tributary-classes-'))
      store = open()
      const accepted: Record<SeriesClass, number> = { raw: 0, aggregate: 0, alarm: 0 }
      const acknowledged = new Map<string, SealedBatch>()
      for (const one of steps) {
        if (typeof one !== 'string') {
          commit(one, 4000)
          for (const name of one) accepted[name]++
        } else if (one === 'seal') store.run({ op: 'seal', maxReadings: 15, lane: 'live', header })
        else if (one === 'split') store.run({ op: 'split', freshMs: 0 })
        else if (one === 'probe') store.run({ op: 'probe' })
        else if (one === 'crash') {
          crash()
          // An acknowledgement that no commit had taken along is forgotten: the batch is pending again, and may be given up.
          for (const { epoch, seq } of pending(1000)) acknowledged.delete(`${epoch}/${seq}`)
        } else {
          const [first] = pending(1)
          if (!first) continue
          store.run({ op: 'acknowledge', epoch: first.epoch, seq: first.seq })
          acknowledged.set(`${first.epoch}/${first.seq}`, first)
        }
        const { counters, losses } = stats()
        expect(lawHolds(counters)).toBe(true)
        expect(fates('accepted')).toEqual(accepted)
        expect(losses.reduce((sum, { readings }) => sum + readings, 0)).toBe(counters.evicted)
      }
      evicted += fates('evicted').raw
      while (store.run({ op: 'seal', maxReadings: 500, lane: 'backlog', header }));
      while (store.run({ op: 'seal', maxReadings: 500, lane: 'live', header }));
      for (const batch of pending(1000)) acknowledged.set(`${batch.epoch}/${batch.seq}`, batch)
      const devices = [...acknowledged.values()].flatMap(({ body }) => contents(body).map(([device]) => device))
      expect(fates('stored')).toEqual(byClass(name => devices.filter(device => device === name).length))
    }),
    { numRuns: 15, endOnFailure: true },
  )
  expect(evicted).toBeGreaterThan(0)
})
