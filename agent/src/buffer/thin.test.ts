/** Raw readings of files that are given up, reduced to aggregates first: on the books to the reading, exact to the last bit. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { decodeBatch } from '@tributary/shared/batch/codec'
import type { Reading } from '@tributary/shared/reading'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import type { Policy } from '../aggregate/policy.ts'
import { bufferConfig } from './buffer-config.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { commitGroup } from './commit.ts'
import { pendingBatches } from './copies.ts'
import { ofClass } from './counters.ts'
import { keepBounds, makeRoom } from './eviction.ts'
import { foldOnTick } from './fold-forward.ts'
import {
  aggregate,
  commit,
  expectedWindows,
  forgetFolders,
  forgetStores,
  killed as killedWith,
  newFolder,
  open as openWith,
  rowContents,
  trust,
  windowsOf,
} from './fold-kit.ts'
import { PendingGroup } from './group.ts'
import { recallStep } from './recall.ts'
import { rotate } from './rotate.ts'
import { Mark } from './row-codec.ts'
import { seal, splitLanes } from './sealing.ts'
import { openBuffer } from './sqlite-buffer.ts'
import type { StoreState } from './state.ts'
import { verifyFolder } from './verify-folder.ts'

afterEach(forgetFolders)

const secondUs = 1_000_000
const header = { agentId: 'ag', bootId: 'b', monotonicUs: 0, wallUs: 0 }
const thinning = { thinToMs: 1000 }

const open = (policies: readonly Policy[] = [], more: object = {}): StoreState =>
  openWith(newFolder(), policies, { ...thinning, ...more })
const killed = (state: StoreState, policies: readonly Policy[] = [], more: object = {}): StoreState =>
  killedWith(state, policies, { ...thinning, ...more })

/** Numbers ten times a second, of one device. */
function numbers(count: number, fromUs = 0, device = 'a'): Reading[] {
  return Array.from({ length: count }, (_, index) => reading(device, fromUs + index * 100_000, index / 8))
}

function inRows(state: StoreState, readings: readonly Reading[], ofRow = 7): StoreState {
  for (let at = 0; at < readings.length; at += ofRow) commit(state, readings.slice(at, at + ofRow))
  return state
}

/** A closed file of these readings. */
function fileOf(readings: readonly Reading[], policies: readonly Policy[] = [], more: object = {}): StoreState {
  const state = inRows(open(policies, more), readings)
  rotate(state)
  return state
}

function raw(state: StoreState) {
  const { accepted, stored, folded, evicted } = ofClass(state.counters, 'raw')
  return { accepted, stored, folded, evicted }
}

const lostIn = (state: StoreState) => state.ledger.list().reduce((sum, { readings }) => sum + readings, 0)
const windows = (state: StoreState) => windowsOf(rowContents(state).parts)
const idOf = ({ series, startUs, revision }: ClosedPart) => `${series.device}/${startUs}/${revision}`

test('windows are exactly those of the readings, which count as folded and not as lost', () => {
  const readings = [...numbers(95), ...numbers(60, 350_000, 'b')]
  const state = fileOf(readings)
  expect(makeRoom(state)).toBe(true)
  expect(windows(state)).toEqual(expectedWindows(readings, secondUs))
  expect(raw(state)).toEqual({ accepted: 155, stored: 0, folded: 155, evicted: 0 })
  expect(state.ledger.list()).toEqual([])
  expect(state.closed).toEqual([])
  expect(state.unsealed.readings).toBe(rowContents(state).parts.length)
  expect(state.notices.at(-1)).toMatch(/with 0 unsent readings; 155 more were thinned/)
  const again = killed(state)
  expect(again.counters).toEqual(state.counters)
  expect(again.unsealed.readings).toBe(state.unsealed.readings)
  expect(windows(again)).toEqual(windows(state))
})

test('without thinToMs everything goes into the ledger', () => {
  const state = fileOf(numbers(95), [], { thinToMs: null })
  makeRoom(state)
  expect(rowContents(state).parts).toEqual([])
  expect(raw(state)).toEqual({ accepted: 95, stored: 0, folded: 0, evicted: 95 })
  expect(state.ledger.list()).toMatchObject([{ readings: 95, exact: true, reason: 'evicted' }])
})

test('thinToMs is one second at least and seven days at most', () => {
  const weekMs = 7 * 24 * 3600_000
  for (const thinToMs of [1000, weekMs, null]) expect(bufferConfig({ folder: 'x', thinToMs }).thinToMs).toBe(thinToMs)
  for (const thinToMs of [999, weekMs + 1]) {
    expect(() => bufferConfig({ folder: 'x', thinToMs })).toThrow('buffer.thinToMs')
  }
})

test('what cannot be folded goes into the ledger, as exact as ever', () => {
  const odd = [true, 'text', Number.NaN, Number.POSITIVE_INFINITY].map(value => reading('a', 5, value))
  const state = fileOf([...numbers(200), ...odd, reading('a', 6, 1, 2), reading('a', 7, -1, 1)])
  makeRoom(state)
  expect(windows(state)).toEqual(expectedWindows([...numbers(200), reading('a', 7, -1)], secondUs))
  expect(raw(state)).toEqual({ accepted: 206, stored: 0, folded: 201, evicted: 5 })
  expect(state.ledger.list()).toMatchObject([{ readings: 5, exact: true, reason: 'evicted' }])
})

test('what was sealed before goes with its batch, the rest of its row is thinned', () => {
  const readings = numbers(95)
  const state = fileOf(readings)
  const batch = seal(state, 10, 'live', header)
  expect(batch?.readings).toBe(10)
  makeRoom(state)
  expect(windows(state)).toEqual(expectedWindows(readings.slice(10), secondUs))
  expect(raw(state)).toMatchObject({ stored: 10, folded: 85, evicted: 0 })
})

test('an unsent file that is too old is thinned as well, and its aggregates last as long once more', () => {
  const state = open([], { maxAgeMs: 1000 })
  const nowMs = 1_700_000_000_000
  trust(state, nowMs * 1000)
  inRows(state, numbers(95))
  rotate(state)
  const ageMs = (state.closed[0]?.closedAtMs ?? 0) + 1001
  keepBounds(state, ageMs)
  expect(raw(state)).toMatchObject({ folded: 95, evicted: 0 })
  rotate(state)
  keepBounds(state, (state.closed[0]?.closedAtMs ?? 0) + 1001)
  expect(raw(state)).toEqual({ accepted: 95, stored: 0, folded: 0, evicted: 95 })
  expect(state.ledger.list()).toMatchObject([{ readings: 95, exact: true, reason: 'expired' }])
})

describe('readings whose boot', () => {
  function unplaced(): StoreState {
    const state = open()
    const group = new PendingGroup('boot')
    group.add(message(numbers(60)), 0, () => undefined)
    const { group: taken } = group.take()
    taken.columns.marks.fill(Mark.unplaced)
    commitGroup(state, { ...taken, columns: { ...taken.columns, boot: 'boot' } })
    inRows(state, numbers(60, 0, 'b'))
    rotate(state)
    return state
  }

  test('has a place in time by now are placed first', () => {
    const state = unplaced()
    trust(state, 7 * secondUs)
    makeRoom(state)
    const expected = [...numbers(60, 7 * secondUs), ...numbers(60, 0, 'b')]
    expect(windows(state)).toEqual(expectedWindows(expected, secondUs))
    expect(raw(state)).toMatchObject({ folded: 120, evicted: 0 })
  })

  test('has none yet go into the ledger, the others of the file are thinned', () => {
    const state = unplaced()
    makeRoom(state)
    expect(windows(state)).toEqual(expectedWindows(numbers(60, 0, 'b'), secondUs))
    expect(raw(state)).toMatchObject({ folded: 60, evicted: 60 })
    expect(lostIn(state)).toBe(60)
  })
})

describe('beside policies', () => {
  test('held readings fold by their policy, alarms move, raw ones are thinned', () => {
    const policies: Policy[] = [
      { ...aggregate, device: 'held' },
      { ...aggregate, device: 'alarm', mode: 'raw', class: 'alarm' },
    ]
    const readings = [...numbers(300), ...numbers(20, 0, 'held'), ...numbers(20, 0, 'alarm')]
    const state = fileOf(readings, policies)
    makeRoom(state)
    const { parts, sent } = rowContents(state)
    const thinned = parts.filter(part => part.thinned)
    expect(windowsOf(thinned)).toEqual(expectedWindows(numbers(300), secondUs))
    expect(sent).toEqual(numbers(20, 0, 'alarm'))
    expect(raw(state)).toMatchObject({ stored: 0, folded: 300, evicted: 0 })
    expect(ofClass(state.counters, 'aggregate')).toMatchObject({ folded: 20, evicted: 0 })
    expect(ofClass(state.counters, 'alarm')).toMatchObject({ stored: 20, evicted: 0 })
  })

  test('of mode both nothing is thinned, also when the policy is gone: it was folded before', () => {
    const window = { ...aggregate.window, sizeUs: 10 * secondUs, hopUs: 10 * secondUs }
    const both: Policy = { ...aggregate, mode: 'both', window }
    const before = inRows(open([both]), numbers(400))
    const state = killed(before, [{ ...aggregate, device: 'other' }], { thinToMs: 10_000 })
    rotate(state)
    makeRoom(state)
    expect(windows(state)).toEqual(expectedWindows(numbers(400), 10 * secondUs))
    expect(raw(state)).toEqual({ accepted: 400, stored: 0, folded: 0, evicted: 400 })
  })

  test('what was recalled is not thinned: it was folded before', () => {
    const window = { ...aggregate.window, sizeUs: 10 * secondUs, hopUs: 10 * secondUs }
    const ring: Policy = { ...aggregate, device: 'a', mode: 'ring', window }
    const state = inRows(open([ring]), [...numbers(20), reading('b', 1, 'text'), ...numbers(10, 0, 'b')])
    while (!recallStep(state, { id: 1, device: 'a', metric: 'temperature', fromUs: 0, toUs: secondUs }));
    foldOnTick(state)
    rotate(state)
    makeRoom(state)
    const thinned = rowContents(state).parts.filter(part => part.thinned)
    expect(windowsOf(thinned)).toEqual(expectedWindows(numbers(10, 0, 'b'), secondUs))
    expect(lostIn(state)).toBe(11)
    expect(lawHolds(state.counters)).toBe(true)
  })
})

describe('no two parts of one window have one name', () => {
  test('when memory for windows is short', () => {
    const readings = numbers(2000)
    const state = inRows(open([], { maxOpenBytes: 0, thinToMs: 60_000 }), readings, 50)
    rotate(state)
    makeRoom(state)
    const { parts } = rowContents(state)
    expect(parts.length).toBeGreaterThanOrEqual(40)
    expect(new Set(parts.map(idOf)).size).toBe(parts.length)
    expect(windowsOf(parts)).toEqual(expectedWindows(readings, 60 * secondUs))
  })

  test('when a window goes on in the next file, and when a policy folds on from there', () => {
    const policy: Policy = { ...aggregate, window: { ...aggregate.window, sizeUs: secondUs, hopUs: secondUs } }
    const readings = numbers(215)
    let state = fileOf(readings.slice(0, 104))
    inRows(state, readings.slice(104, 205))
    state = killed(state, [policy])
    rotate(state)
    inRows(state, readings.slice(205))
    makeRoom(state)
    makeRoom(state)
    state = killed(state)
    commit(state, [])
    const { parts } = rowContents(state)
    expect(new Set(parts.map(idOf)).size).toBe(parts.length)
    expect(windowsOf(parts)).toEqual(expectedWindows(readings, secondUs))
    expect(state.counters).toMatchObject({ accepted: 215, folded: 215, stored: 0, evicted: 0 })
    expect(raw(state).folded).toBe(205)
  })
})

test('where aggregates would save too little nothing is thinned', () => {
  const readings = numbers(60).map(one => ({ ...one, tsUs: one.tsUs * 1000 }))
  const state = fileOf(readings)
  makeRoom(state)
  expect(rowContents(state).parts).toEqual([])
  expect(raw(state)).toMatchObject({ folded: 0, evicted: 60 })
})

test('a file with a damaged row goes into the ledger', () => {
  const state = fileOf(numbers(300))
  const damaged = new Database(join(state.folder, '000001.db'))
  damaged.exec('UPDATE row SET data = zeroblob(length(data)) WHERE n = 5')
  damaged.close()
  makeRoom(state)
  expect(rowContents(state).parts).toEqual([])
  expect(raw(state)).toMatchObject({ folded: 0, evicted: 300 })
  expect(lostIn(state)).toBe(300)
})

test('a file of an older layout, which does not tell what was folded, goes into the ledger', () => {
  const folder = newFolder()
  cpSync(join(import.meta.dirname, 'fixtures/layout-3'), folder, { recursive: true })
  const state = openWith(folder, [], thinning)
  expect(state.counters).toMatchObject({ accepted: 72, stored: 68, folded: 4, evicted: 0 })
  expect(state.epochs.pendingReadings).toBe(8)
  expect(pendingBatches(state, 10, null)).toMatchObject([{ epoch: 7, seq: 1, readings: 8, aggregates: 2 }])
  while (state.closed.length > 0) makeRoom(state)
  expect(rowContents(state).parts.filter(part => part.thinned)).toEqual([])
  expect(lawHolds(state.counters)).toBe(true)
})

describe('a kill', () => {
  const readings = numbers(300)

  test('before the books leaves the file as it was', () => {
    const before = killed(fileOf(readings))
    expect(raw(before)).toMatchObject({ stored: 300, folded: 0 })
    makeRoom(before)
    expect(windows(before)).toEqual(expectedWindows(readings, secondUs))
  })

  test('between the books and the unlinking leaves nothing twice, and nothing out', () => {
    const state = fileOf(readings)
    const before = newFolder()
    cpSync(state.folder, before, { recursive: true })
    makeRoom(state)
    const left = newFolder()
    cpSync(state.folder, left, { recursive: true })
    cpSync(join(before, '000001.db'), join(left, '000001.db'))
    const again = openWith(left, [], thinning)
    expect(again.closed).toEqual([])
    expect(windows(again)).toEqual(expectedWindows(readings, secondUs))
    expect(raw(again)).toEqual({ accepted: 300, stored: 0, folded: 300, evicted: 0 })
    expect(again.unsealed.readings).toBe(rowContents(again).parts.length)
  })
})

/** Every write to the tail fails for want of space, `times` times. */
function fill(state: StoreState, times: number): void {
  const { tail } = state
  const transaction = tail.transaction.bind(tail)
  let left = times
  tail.transaction = work => {
    if (left-- > 0) throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
    return transaction(work)
  }
}

describe('on a disk so full that the books do not fit', () => {
  test('the file goes first, and the aggregates are written into its room', () => {
    const state = fileOf(numbers(300))
    fill(state, 1)
    expect(makeRoom(state)).toBe(true)
    const again = killed(state)
    expect(windows(again)).toEqual(expectedWindows(numbers(300), secondUs))
    expect(raw(again)).toMatchObject({ folded: 300, evicted: 0 })
  })

  test('aggregates that do not fit even then wait for the next commit; a kill before it costs their readings', () => {
    const state = fileOf(numbers(300))
    fill(state, 2)
    expect(() => makeRoom(state)).toThrow('full')
    const cut = killed(state)
    expect(raw(cut)).toEqual({ accepted: 300, stored: 0, folded: 0, evicted: 300 })
    expect(cut.ledger.list()).toMatchObject([{ readings: 300, exact: true, reason: 'missing' }])
    commit(state, numbers(1, 999 * secondUs))
    const again = killed(state)
    expect(windows(again)).toEqual(expectedWindows(numbers(300), secondUs))
    expect(raw(again)).toEqual({ accepted: 301, stored: 1, folded: 300, evicted: 0 })
  })
})

describe('aggregates of thinned readings that are lost', () => {
  function thinned(policies: readonly Policy[]): StoreState {
    const state = fileOf([...numbers(6000), ...numbers(20, 0, 'held')], policies, { thinToMs: 10_000 })
    makeRoom(state)
    expect(raw(state)).toEqual({ accepted: 6000, stored: 0, folded: 6000, evicted: 0 })
    return state
  }
  const policies: Policy[] = [{ ...aggregate, device: 'held' }]

  test('cost class raw what was folded into them, class aggregate nothing: in a file', () => {
    const state = thinned(policies)
    rotate(state)
    makeRoom(state)
    expect(raw(state)).toEqual({ accepted: 6000, stored: 0, folded: 0, evicted: 6000 })
    expect(lawHolds(state.counters)).toBe(true)
    expect(lostIn(state)).toBe(state.counters.evicted)
  })

  test.each(['closed', 'last'])('to damage of the %s file leave books that balance, and the rest is sent', where => {
    const state = thinned(policies)
    commit(state, numbers(1))
    const { parts } = rowContents(state)
    if (where === 'closed') rotate(state)
    const folder = newFolder()
    cpSync(state.folder, folder, { recursive: true })
    const damaged = new Database(join(folder, '000002.db'))
    const row = damaged.prepare('SELECT min(n) AS n FROM row WHERE readings > 1').get() as { n: number }
    damaged.prepare('UPDATE row SET data = zeroblob(length(data)) WHERE n = ?').run(row.n)
    damaged.close()
    const again = openWith(folder, policies, { thinToMs: 10_000 })
    const found = delivered(again)
    expect(found.parts.length).toBeLessThan(parts.length)
    expect(found.readings).toBe(1)
    expect(lawHolds(again.counters)).toBe(true)
    expect(lostIn(again)).toBe(again.counters.evicted)
    expect(again.unsealed.readings).toBe(0)
  })

  test('in a batch, whose tail was killed after it was sealed', () => {
    const sealed = thinned(policies)
    while (seal(sealed, 7, 'live', header));
    const before = ofClass(sealed.counters, 'aggregate')
    const state = killed(sealed, policies)
    expect(state.epochs.states.flatMap(({ pending }) => pending)).toEqual(
      sealed.epochs.states.flatMap(({ pending }) => pending),
    )
    rotate(state)
    makeRoom(state)
    expect(raw(state)).toEqual({ accepted: 6000, stored: 0, folded: 0, evicted: 6000 })
    expect(ofClass(state.counters, 'aggregate').accepted).toBe(before.accepted)
    expect(lostIn(state)).toBe(state.counters.evicted)
  })
})

test('a buffer over its bytes comes back to them but for a file at most, and loses nothing that aggregates can hold', async () => {
  const folder = newFolder()
  const more = { maxBytes: 1 << 20, fileBytes: 64 * 1024, ballastBytes: 0, minFreeBytes: 0, thinToMs: 60_000 }
  const buffer = await openBuffer({ folder, ...more, agentId: () => 'ag' })
  const readings = numbers(150_000)
  for (let at = 0; at < readings.length; at += 1000) await accept(buffer, message(readings.slice(at, at + 1000)))
  const { bytes, counters, losses } = await buffer.stats()
  await buffer.close()
  expect(bytes).toBeLessThanOrEqual(more.maxBytes + more.fileBytes)
  expect(losses).toEqual([])
  const folded = ofClass(counters, 'raw').folded
  expect(counters).toMatchObject({ accepted: 150_000, stored: 150_000 - folded, evicted: 0 })
  expect(verifyFolder(folder, newFolder(), () => undefined)).toMatchObject({ counters, problems: [] })
  const state = openWith(folder, [], more)
  const found = delivered(state)
  expect([found.inParts, found.readings]).toEqual([folded, 150_000 - folded])
  expect(windowsOf(found.parts)).toEqual(expectedWindows(readings.slice(0, folded), 60 * secondUs))
  expect(folded).toBeGreaterThan(10_000)
})

interface Delivered {
  readonly readings: number
  readonly inParts: number
  readonly parts: ClosedPart[]
}

/** Everything that waits, sealed; as the hub finds it in the batches. */
function delivered(state: StoreState): Delivered {
  for (const lane of ['backlog', 'live'] as const) while (seal(state, 50, lane, header));
  const bodies = pendingBatches(state, 100_000, null).map(({ body }) => body)
  const parts = bodies.flatMap(body =>
    decodeBatch(body).aggregates.flatMap(({ series, sizeUs, hopUs, startUs, revision, data }) =>
      data.map((one, index): ClosedPart => {
        const place = { series, sizeUs, hopUs, startUs: startUs[index] as number }
        return { ...place, revision: revision[index] as number, folded: 0, data: one }
      }),
    ),
  )
  const readings = bodies.reduce((sum, body) => sum + contents(body).length, 0)
  const inParts = [...windowsOf(parts).values()].reduce((sum: number, one) => sum + (one as { n: number }).n, 0)
  return { readings, inParts, parts }
}

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ count: fc.integer({ min: 1, max: 60 }), device: fc.constantFrom('a', 'b', 'c') }),
  },
  { weight: 5, arbitrary: fc.constantFrom('rotate' as const, 'give up' as const, 'kill' as const, 'text' as const) },
  { weight: 2, arbitrary: fc.constantFrom('seal' as const, 'split' as const) },
)

test('whatever happens, every reading is delivered, in a delivered aggregate, or in the ledger', () => {
  let folded = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), steps => {
      let state = open()
      let atUs = 0
      let accepted = 0
      for (const one of steps) {
        if (one === 'rotate') rotate(state)
        else if (one === 'give up') makeRoom(state)
        else if (one === 'kill') state = killed(state)
        else if (one === 'seal') seal(state, 20, 'live', header)
        else if (one === 'split') splitLanes(state, 0)
        else {
          const readings = one === 'text' ? [reading('a', atUs, 'text')] : numbers(one.count, atUs, one.device)
          inRows(state, readings)
          atUs += 6 * secondUs
          accepted += readings.length
        }
        expect(lawHolds(state.counters)).toBe(true)
        expect(lostIn(state)).toBe(state.counters.evicted)
      }
      const { counters } = state
      const found = delivered(state)
      expect(counters.accepted).toBe(accepted)
      expect(raw(state)).toEqual({ accepted, stored: found.readings, folded: found.inParts, evicted: lostIn(state) })
      expect(found.readings + found.inParts + lostIn(state)).toBe(accepted)
      expect(new Set(found.parts.map(idOf)).size).toBe(found.parts.length)
      folded += found.inParts
      forgetStores()
    }),
    { numRuns: 40 },
  )
  expect(folded).toBeGreaterThan(0)
}, 60_000)
