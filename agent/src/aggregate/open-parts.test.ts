import { addReading, finish, mergeInto } from '@tributary/shared/window/aggregate'
import { decodeAggregate, encodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { allocate, createAggregateStore } from '@tributary/shared/window/aggregate-store'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ClosedPart, OpenParts } from './open-parts.ts'
import type { WindowPolicy } from './policy.ts'

const tumbling: WindowPolicy = { sizeUs: 100, hopUs: 100, latenessUs: 30, idleMs: 50, quantiles: false }
const hopping: WindowPolicy = { ...tumbling, hopUs: 40, quantiles: true }
const name = (device: string) => ({ device, metric: 'm', unit: 'u' })
const roomy = 1 << 20

interface Given {
  readonly device: string
  readonly tsUs: number
  readonly value: number
}

/** What every window should hold, as `device/start` → finished numbers. */
function expected(window: WindowPolicy, readings: readonly Given[]): Map<string, unknown> {
  const store = createAggregateStore(window.quantiles ? 512 : 0)
  const slots = new Map<string, number>()
  for (const [order, { device, tsUs, value }] of readings.entries()) {
    for (let start = -2000; start <= 4000; start += window.hopUs) {
      const from = Math.floor(start / window.hopUs) * window.hopUs
      if (tsUs < from || tsUs >= from + window.sizeUs) continue
      const key = `${device}/${from}`
      const slot = slots.get(key) ?? allocate(store)
      slots.set(key, slot)
      addReading(store, slot, tsUs, order, value)
    }
  }
  return new Map([...slots].map(([key, slot]) => [key, finish(store, slot)]))
}

/** The windows that the parts make together. */
function merged(window: WindowPolicy, parts: readonly ClosedPart[]): Map<string, unknown> {
  const store = createAggregateStore(window.quantiles ? 512 : 0)
  const slots = new Map<string, number>()
  for (const { series, startUs, data } of parts) {
    const key = `${series.device}/${startUs}`
    const slot = slots.get(key) ?? allocate(store)
    slots.set(key, slot)
    mergeInto(store, slot, store, decodeAggregate(store, data))
  }
  return new Map([...slots].map(([key, slot]) => [key, finish(store, slot)]))
}

/** Each group of readings is a row; after each the due parts close, and sometimes those of silent series. */
function feed(open: OpenParts, window: WindowPolicy, rows: readonly (readonly Given[])[], from = 0): ClosedPart[] {
  const closed: ClosedPart[] = []
  rows.forEach((readings, index) => {
    const nowMs = (from + index) * 20
    const touched = new Set<string>()
    for (const { device, tsUs, value } of readings) {
      open.add(open.open(name(device), window, nowMs), { tsUs, value, row: from + index, held: true }, nowMs)
      touched.add(device)
    }
    for (const device of touched) closed.push(...open.closeDue(open.open(name(device), window, nowMs)))
    closed.push(...open.relieve())
    if (index % 3 === 2) closed.push(...open.closeIdle(nowMs))
  })
  return closed
}

const given = fc.record({
  device: fc.constantFrom('a', 'b', 'c'),
  tsUs: fc.integer({ min: -300, max: 1500 }),
  value: fc.integer({ min: -1000, max: 1000 }).map(i => i / 100),
})
const rows = fc.array(fc.array(given, { maxLength: 12 }), { maxLength: 25 })

describe.each([
  ['tumbling', tumbling],
  ['hopping', hopping],
])('%s windows', (_, window) => {
  test('the parts of a window make exactly its readings, whatever came when and whatever closed early', () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(roomy, 2000), (given, maxBytes) => {
        const open = new OpenParts(maxBytes)
        const parts = [...feed(open, window, given), ...open.closeAll()]
        expect(merged(window, parts)).toEqual(expected(window, given.flat()))
        expect(open.count).toBe(0)
        const ids = parts.map(({ series, startUs, revision }) => `${series.device}/${startUs}/${revision}`)
        expect(new Set(ids).size).toBe(ids.length)
        expect(parts.reduce((sum, { folded }) => sum + folded, 0)).toBe(given.flat().length)
      }),
      { numRuns: 300 },
    )
  })

  test('restored from a record, the same parts close as without', () => {
    fc.assert(
      fc.property(rows, fc.nat(25), (given, at) => {
        const whole = new OpenParts(roomy)
        const all = [...feed(whole, window, given), ...whole.closeAll()]
        const first = new OpenParts(roomy)
        const before = feed(first, window, given.slice(0, at))
        const second = new OpenParts(roomy)
        second.restore(first.record(), () => window, at * 20)
        expect(second.record()).toEqual(first.record())
        const after = [...feed(second, window, given.slice(at), at), ...second.closeAll()]
        expect(merged(window, [...before, ...after])).toEqual(merged(window, all))
      }),
    )
  })
})

test('a window closes when the watermark reaches its end, in one part', () => {
  const open = new OpenParts(roomy)
  const rows = [0, 99, 129].map(tsUs => [{ device: 'a', tsUs, value: 1 }])
  expect(feed(open, tumbling, rows)).toEqual([])
  const [part, ...more] = feed(open, tumbling, [[{ device: 'a', tsUs: 130, value: 1 }]], 3)
  expect(more).toEqual([])
  expect(part).toMatchObject({ series: name('a'), sizeUs: 100, hopUs: 100, startUs: 0, revision: 0, folded: 2 })
})

test('late readings of a window are gathered into one further part', () => {
  const open = new OpenParts(roomy)
  const row = (tsUs: number) => [{ device: 'a', tsUs, value: 1 }]
  expect(feed(open, tumbling, [row(0), row(500)])).toHaveLength(1)
  expect(feed(open, tumbling, [row(10), row(20)], 2)).toEqual([])
  expect(open.closeIdle(2 * 20 + 49)).toEqual([])
  expect(open.closeIdle(2 * 20 + 50)).toMatchObject([{ startUs: 0, revision: 2, folded: 2 }])
})

test('a silent series lives on by the clock: its last window goes out when that reaches its end', () => {
  const open = new OpenParts(roomy)
  const window = { ...tumbling, sizeUs: 100_000, hopUs: 100_000, latenessUs: 30_000 }
  feed(open, window, [[{ device: 'a', tsUs: 40_000, value: 1 }]])
  expect(open.closeIdle(49)).toEqual([])
  expect(open.closeIdle(89)).toEqual([])
  expect(open.closeIdle(90)).toMatchObject([{ startUs: 0, folded: 1 }])
})

test('above the bound the series open longest close early', () => {
  const open = new OpenParts(1800)
  const closed = feed(open, tumbling, [
    [{ device: 'a', tsUs: 0, value: 1 }],
    [{ device: 'b', tsUs: 0, value: 1 }],
    [{ device: 'c', tsUs: 0, value: 1 }],
  ])
  expect(closed.map(({ series }) => series.device)).toEqual(['a', 'b'])
  expect(open.bytes).toBeLessThanOrEqual(1800)
})

test('a record whose windows no policy gives is refused, and so are damaged bytes', () => {
  const open = new OpenParts(roomy)
  feed(open, tumbling, [[{ device: 'a', tsUs: 0, value: 1 }]])
  const record = open.record()
  const restore = (bytes: Uint8Array, window: WindowPolicy | null) =>
    new OpenParts(roomy).restore(bytes, () => window, 0)
  expect(() => restore(record, hopping)).toThrow('no policy gives a m its windows')
  expect(() => restore(record, null)).toThrow('no policy gives a m its windows')
  for (let length = 0; length < record.length; length++) {
    expect(() => restore(record.subarray(0, length), tumbling)).toThrow()
  }
  expect(() => restore(record, tumbling)).not.toThrow()
})

test('an aggregate on its way is what its readings make', () => {
  const open = new OpenParts(roomy)
  feed(open, tumbling, [[{ device: 'a', tsUs: 5, value: 21.5 }]])
  const store = createAggregateStore(0)
  const slot = allocate(store)
  addReading(store, slot, 5, 0, 21.5)
  expect(open.closeAll()[0]?.data).toEqual(encodeAggregate(store, slot))
})
