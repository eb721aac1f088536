import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { Reading, Value } from '@tributary/shared/reading'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import type { Policy } from '../aggregate/policy.ts'
import { message, reading } from './buffer-suite.ts'
import { commitGroup } from './commit.ts'
import { keepBounds, makeRoom } from './eviction.ts'
import { foldOnTick } from './fold-forward.ts'
import {
  aggregate,
  type Contents,
  commit,
  expectedWindows,
  forgetFolders,
  forgetStores,
  killed,
  newFolder,
  open,
  rowContents,
  trust,
  windowsOf,
} from './fold-kit.ts'
import { PendingGroup } from './group.ts'
import { rotate } from './rotate.ts'
import { Mark } from './row-codec.ts'
import { seal } from './sealing.ts'
import type { StoreState } from './state.ts'

/** Close what is open, by a start without policies. */
function finished(state: StoreState): Contents & { readonly state: StoreState } {
  const last = killed(state, [])
  foldOnTick(last)
  commit(last, [])
  return { ...rowContents(last), state: last }
}

afterEach(forgetFolders)

const idOf = ({ series, startUs, revision }: ClosedPart) => `${series.device}/${startUs}/${revision}`

describe('the policies', () => {
  test('aggregate: numbers are held and folded, what cannot be folded is sent', () => {
    const state = open(newFolder(), [aggregate])
    const odd: Value[] = [true, 'text', Number.NaN, Number.POSITIVE_INFINITY]
    commit(state, [
      reading('a', 10, 1.5),
      ...odd.map(value => reading('a', 11, value)),
      reading('a', 12, 2, 2),
      reading('a', 13, 3, 1),
    ])
    const { sent, held } = rowContents(state)
    expect(held.map(({ value }) => value)).toEqual([1.5, 3])
    expect(sent.map(({ value }) => value)).toEqual([...odd, 2])
    expect(state.counters).toMatchObject({ accepted: 7, stored: 5, folded: 2, suppressed: 0 })
    expect(state.unsealed.readings).toBe(5)
  })

  test('both: all is sent and folded; what the reduction leaves out is folded only', () => {
    const state = open(newFolder(), [{ ...aggregate, mode: 'both', reduce: { kind: 'deadband', band: 1 } }])
    const readings = [1, 1.5, 3, 2.5].map((value, index) => reading('a', index, value))
    commit(state, [...readings, reading('a', 5, 'x'), reading('a', 6, 'x')])
    const { sent, held } = rowContents(state)
    expect(sent.map(({ value }) => value)).toEqual([1, 3, 'x'])
    expect(held.map(({ value }) => value)).toEqual([1.5, 2.5])
    expect(state.counters).toMatchObject({ accepted: 6, stored: 3, folded: 2, suppressed: 1 })
    expect(windowsOf(finished(state).parts)).toEqual(expectedWindows(readings, 100))
  })

  test('raw: what the reduction leaves out is counted and not stored; the first one after a start is kept', () => {
    const policy: Policy = { ...aggregate, mode: 'raw', class: 'alarm', reduce: { kind: 'report-on-change' } }
    const state = open(newFolder(), [policy])
    commit(state, [reading('a', 1, 5), reading('a', 2, 5)])
    commit(state, [reading('a', 3, 5), reading('a', 4, 6)])
    expect(rowContents(state).sent.map(({ tsUs }) => tsUs)).toEqual([1, 4])
    const alarm = { class: 'alarm', accepted: 4, stored: 2, suppressed: 2, folded: 0, evicted: 0 }
    expect(state.counters).toMatchObject({ accepted: 4, stored: 2, suppressed: 2 })
    expect(state.counters.classes[2]).toEqual(alarm)
    const again = killed(state, [policy])
    expect(again.counters).toEqual(state.counters)
    commit(again, [reading('a', 5, 6)])
    expect(rowContents(again).sent.map(({ tsUs }) => tsUs)).toEqual([1, 4, 5])
  })

  test('the first that matches holds, and a series that none is for is sent as it is', () => {
    const state = open(newFolder(), [
      { ...aggregate, device: 'a?', mode: 'raw' },
      { ...aggregate, device: 'a*' },
    ])
    commit(state, [reading('ab', 1, 1), reading('abc', 1, 2), reading('b', 1, 3)])
    expect(rowContents(state).sent.map(({ value }) => value)).toEqual([1, 3])
  })

  test('a commit that fails and is tried again meets the same decisions', () => {
    const state = open(newFolder(), [{ ...aggregate, mode: 'raw', reduce: { kind: 'every-nth', n: 2 } }])
    const { tail } = state
    const putRow = tail.putRow
    tail.putRow = () => {
      throw new Error('no')
    }
    expect(() => commit(state, [reading('a', 1, 1)])).toThrow('no')
    tail.putRow = putRow
    commit(state, [reading('a', 1, 1)])
    expect(rowContents(state).sent).toHaveLength(1)
  })
})

describe('folding', () => {
  test('a window that closed stands in a row before the next readings, and is to be sent', () => {
    const state = open(newFolder(), [aggregate])
    commit(state, [reading('a', 10, 1), reading('a', 20, 2)])
    commit(state, [reading('a', 140, 3)])
    expect(rowContents(state).parts).toEqual([])
    expect(state.unsealed.readings).toBe(0)
    commit(state, [reading('a', 150, 4)])
    const { parts } = rowContents(state)
    expect(parts).toMatchObject([{ startUs: 0, sizeUs: 100, hopUs: 100, folded: 2 }])
    expect(state.unsealed.readings).toBe(1)
    expect(state.counters).toMatchObject({ accepted: 4, stored: 0, folded: 4 })
  })

  test('what closed is written within a second when no commit takes it along', () => {
    const state = open(newFolder(), [aggregate])
    commit(state, [reading('a', 10, 1)])
    commit(state, [reading('a', 140, 3)])
    foldOnTick(state)
    expect(rowContents(state).parts).toHaveLength(1)
    foldOnTick(state)
    expect(rowContents(state).parts).toHaveLength(1)
  })

  test('other policies close every window; without policies folding ends', () => {
    const state = open(newFolder(), [aggregate])
    commit(state, [reading('a', 10, 1)])
    const { parts, state: last } = finished(state)
    expect(windowsOf(parts)).toEqual(expectedWindows([reading('a', 10, 1)], 100))
    commit(last, [reading('a', 20, 1)])
    expect(rowContents(last).sent).toHaveLength(1)
    expect(finished(last).parts).toEqual(parts)
  })

  function waiting(): StoreState {
    const state = open(newFolder(), [aggregate])
    const group = new PendingGroup('boot')
    group.add(message([reading('a', 5, 1)]), 0, () => undefined)
    const { group: unplaced } = group.take()
    unplaced.columns.marks.fill(Mark.unplaced)
    commitGroup(state, { ...unplaced, columns: { ...unplaced.columns, boot: 'boot' } })
    commit(state, [reading('a', 1000, 2), reading('a', 5000, 3)])
    foldOnTick(state)
    expect(state.fold.open.count).toBe(0)
    return state
  }

  test('readings whose place in time is not known yet wait until it is, and those behind them with them', () => {
    const state = killed(waiting(), [aggregate])
    trust(state, 1000)
    foldOnTick(state)
    const expected = [reading('a', 1005, 1), reading('a', 1000, 2), reading('a', 5000, 3)]
    expect(windowsOf(finished(state).parts)).toEqual(expectedWindows(expected, 100))
  })

  test('readings that are given up before they were folded are lost from the books of aggregates', () => {
    const state = waiting()
    rotate(state)
    keepBounds(state, Date.now() + 200 * 24 * 3600_000)
    expect(state.closed).toHaveLength(1)
    expect(makeRoom(state)).toBe(true)
    expect(state.ledger.list()).toMatchObject([{ readings: 3, exact: true, reason: 'evicted' }])
    expect(state.counters).toMatchObject({ accepted: 3, folded: 0, evicted: 3 })
    foldOnTick(state)
    expect(state.fold.foldedTo).toBe(state.lastRow)
  })
})

describe('a file that is given up', () => {
  function filled(): StoreState {
    const state = open(newFolder(), [aggregate, { ...aggregate, mode: 'raw' }])
    for (let at = 0; at < 30; at++) {
      commit(state, [reading('a', at * 100, at), ...Array.from({ length: 5 }, () => reading('b', at * 100, 'raw'))])
    }
    foldOnTick(state)
    rotate(state)
    return state
  }

  test('its unsent parts of windows move to the tail; its readings go into the ledger', () => {
    const state = filled()
    const before = rowContents(state).parts
    const unsent = state.unsealed.readings
    expect(makeRoom(state)).toBe(true)
    expect(state.closed).toEqual([])
    foldOnTick(state)
    expect(rowContents(state).parts).toEqual(before)
    expect(state.unsealed.readings).toBe(unsent - 150)
    expect(state.counters).toMatchObject({ accepted: 180, stored: 0, folded: 30, evicted: 150 })
    const { parts, state: last } = finished(state)
    expect(windowsOf(parts)).toEqual(
      expectedWindows(
        Array.from({ length: 30 }, (_, at) => reading('a', at * 100, at)),
        100,
      ),
    )
    expect(last.counters).toEqual(state.counters)
  })
})

test('alarms of a file that is given up as soon as the next one begins move to it', () => {
  const state = open(newFolder(), [
    { ...aggregate, device: 'a' },
    { ...aggregate, device: 'c', mode: 'raw', class: 'alarm' },
  ])
  commit(state, [reading('a', 1, 1), reading('c', 1, 1), ...Array.from({ length: 5 }, () => reading('b', 1, 'raw'))])
  rotate(state)
  makeRoom(state)
  expect(state.counters).toMatchObject({ accepted: 7, stored: 1, folded: 1, evicted: 5 })
  expect(rowContents(state).sent).toEqual([reading('c', 1, 1)])
})

describe('a file that is mostly parts of windows', () => {
  test('goes with them: the readings folded into them are lost from the books of aggregates', () => {
    const state = open(newFolder(), [aggregate])
    const readings = Array.from({ length: 400 }, (_, at) => reading('a', at * 100, at))
    commit(state, readings)
    foldOnTick(state)
    rotate(state)
    expect(makeRoom(state)).toBe(true)
    expect(state.counters).toMatchObject({ accepted: 400, stored: 0, folded: 2, evicted: 398 })
    expect(state.counters.classes[1]).toMatchObject({ class: 'aggregate', accepted: 400, folded: 2, evicted: 398 })
    expect(state.unsealed.readings).toBe(0)
    expect(finished(state).parts).toHaveLength(2)
  })
})

describe('a damaged tail', () => {
  function withoutRows(state: StoreState, rows: readonly number[]): StoreState {
    const folder = newFolder()
    cpSync(state.folder, folder, { recursive: true })
    const database = new Database(join(folder, '000001.db'))
    for (const n of rows) database.prepare('DELETE FROM row WHERE n = ?').run(n)
    database.close()
    return open(folder, [aggregate])
  }

  test('a row of aggregates that is missing is made again from the readings, under the same names', () => {
    const state = open(newFolder(), [aggregate])
    const readings = [10, 20, 140, 250].map(tsUs => reading('a', tsUs, tsUs))
    for (const one of readings) commit(state, [one])
    const { parts } = rowContents(state)
    const again = withoutRows(state, [4])
    commit(again, [reading('a', 300, 1)])
    foldOnTick(again)
    expect(rowContents(state).parts.map(idOf)).toEqual(['a/0/1'])
    expect(rowContents(again).parts.slice(0, parts.length)).toEqual(parts)
    expect(again.counters).toMatchObject({ accepted: 5, folded: 5, evicted: 0 })
    expect(windowsOf(finished(again).parts)).toEqual(expectedWindows([...readings, reading('a', 300, 1)], 100))
  })

  test('readings missing before a row of aggregates are counted', () => {
    const state = open(newFolder(), [aggregate])
    commit(state, [reading('a', 10, 1)])
    commit(state, [reading('a', 140, 1), reading('b', 1, 'sent'), reading('b', 2, 'sent')])
    commit(state, [])
    expect(rowContents(state).parts).toHaveLength(1)
    const again = withoutRows(state, [2])
    expect(again.counters.classes[0]).toMatchObject({ class: 'raw', stored: 0, evicted: 2 })
    expect(again.unsealed.readings).toBe(1)
  })
})

test.each([
  ['ring', 1],
  ['aggregate', 0],
] as const)('files of readings that were folded: with mode %s %d stay after the time of a copy', (mode, files) => {
  const state = open(newFolder(), [{ ...aggregate, mode }], { copyMaxAgeMs: 0 })
  trust(state, Date.now() * 1000)
  commit(state, [reading('a', 1, 1)])
  rotate(state)
  keepBounds(state, Date.now() + 200 * 24 * 3600_000)
  seal(state, 1, 'live', { agentId: 'ag', bootId: 'b', monotonicUs: 0, wallUs: 0 })
  keepBounds(state, Date.now() + 200 * 24 * 3600_000)
  expect(state.closed).toHaveLength(files)
})

type Step = readonly Reading[] | 'tick' | 'rotate' | 'kill'

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.array(
      fc
        .record({ device: fc.constantFrom('a', 'b'), tsUs: fc.nat(900), value: fc.integer({ min: -99, max: 99 }) })
        .map(({ device, tsUs, value }) => reading(device, tsUs, value / 10)),
      { maxLength: 8 },
    ),
  },
  { weight: 2, arbitrary: fc.constant('tick' as const) },
  { weight: 1, arbitrary: fc.constant('rotate' as const) },
  { weight: 2, arbitrary: fc.constant('kill' as const) },
)

test('whatever comes when, and killed wherever, every window is exactly its readings, each in one part', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 14 }), fc.constantFrom(8192, 900), (steps, maxOpenBytes) => {
      let state = open(newFolder(), [aggregate], { maxOpenBytes })
      const given: Reading[] = []
      for (const one of steps) {
        if (one === 'tick') foldOnTick(state)
        else if (one === 'rotate') rotate(state)
        else if (one === 'kill') state = killed(state, [aggregate], { maxOpenBytes })
        else {
          commit(state, one)
          given.push(...one)
        }
      }
      const { parts, held, state: last } = finished(state)
      expect(windowsOf(parts)).toEqual(expectedWindows(given, 100))
      expect(new Set(parts.map(idOf)).size).toBe(parts.length)
      expect(parts.reduce((sum, { folded }) => sum + folded, 0)).toBe(given.length)
      expect(held).toHaveLength(given.length)
      expect(last.counters).toMatchObject({ accepted: given.length, folded: given.length, stored: 0 })
      expect(last.unsealed.readings).toBe(parts.length)
      forgetStores()
    }),
    { numRuns: 60 },
  )
}, 60_000)
