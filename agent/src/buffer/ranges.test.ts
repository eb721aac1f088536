import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Cursor, isBefore, maxRanges, type UnsealedRange, UnsealedRanges } from './ranges.ts'

const at = (row: number, offset = 0): Cursor => ({ row, offset })

/** Rows 1, 2, … with so many readings each. */
type Rows = readonly number[]

function positions(rows: Rows, { from, to }: Pick<UnsealedRange, 'from' | 'to'>): string[] {
  return rows
    .flatMap((size, index) => Array.from({ length: size }, (_, offset) => at(index + 1, offset)))
    .filter(one => !isBefore(one, from) && (to === null || isBefore(one, to)))
    .map(({ row, offset }) => `${row}/${offset}`)
}

function unsealed(rows: Rows, ranges: UnsealedRanges): string[] {
  return ranges.all.flatMap(range => positions(rows, range))
}

/** The place after `readings` more of a range. */
function after(rows: Rows, range: UnsealedRange, readings: number): { next: Cursor; taken: number } {
  const held = positions(rows, range).slice(0, readings)
  const [row = 0, offset = 0] = (held.at(-1) ?? '').split('/').map(Number)
  if (held.length === 0) return { next: range.from, taken: 0 }
  return { next: offset + 1 === rows[row - 1] ? at(row + 1) : at(row, offset + 1), taken: held.length }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('commit' as const), readings: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant('split' as const), readings: fc.nat(3) }),
  fc.record({ kind: fc.constantFrom('live' as const, 'backlog' as const), readings: fc.integer({ min: 1, max: 8 }) }),
)

test('whatever is sealed from which lane: a reading leaves once, and the batches alone tell what is left', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.nat(59),
      fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
      (steps, stale, order) => {
        const rows: number[] = []
        const ranges = new UnsealedRanges([], { from: at(1), readings: 0 })
        const batches: { first: Cursor; next: Cursor; taken: number }[] = []
        const sealed: string[] = []
        let old = ranges
        for (const [index, { kind, readings }] of steps.entries()) {
          if (index === stale) old = new UnsealedRanges(ranges.behind, ranges.live)
          if (kind === 'commit') {
            rows.push(readings)
            ranges.live.readings += readings
            continue
          }
          if (kind === 'split') {
            const place = at(Math.max(1, rows.length + 1 - readings))
            ranges.split(place, positions(rows, { from: place, to: null }).length)
            continue
          }
          const range = kind === 'live' ? ranges.live : ranges.behind[0]
          if (!range) continue
          const first = range.from
          const { next, taken } = after(rows, range, readings)
          sealed.push(...positions(rows, { from: first, to: next }))
          batches.push({ first, next, taken })
          ranges.advance(range, next, taken)
        }
        const all = positions(rows, { from: at(1), to: null })
        expect([...sealed, ...unsealed(rows, ranges)].sort()).toEqual([...all].sort())
        for (const range of ranges.all) expect(range.readings).toBe(positions(rows, range).length)

        // A start with a state of any age: all batches since then, in any order.
        old.live.readings = positions(rows, old.live).length
        const shuffled = batches.map((batch, index) => ({ ...batch, key: order[index] ?? 0 }))
        for (const { first, next, taken } of shuffled.sort((a, b) => a.key - b.key)) {
          old.subtract(first, next, taken, rest => positions(rows, rest).length)
        }
        expect(unsealed(rows, old)).toEqual(unsealed(rows, ranges))
      },
    ),
    { numRuns: 300 },
  )
})

describe('splitting', () => {
  test('closes what is there; with nothing to close it does nothing', () => {
    const ranges = new UnsealedRanges([], { from: at(1), readings: 0 })
    expect(ranges.split(at(1), 0)).toBe(false)
    ranges.live.readings += 10
    expect(ranges.split(at(4), 3)).toBe(true)
    expect(ranges.all).toEqual([
      { from: at(1), to: at(4), readings: 7 },
      { from: at(4), to: null, readings: 3 },
    ])
    expect(ranges.split(at(4), 3)).toBe(false)
  })

  test('there are at most 64 ranges', () => {
    const ranges = new UnsealedRanges([], { from: at(1), readings: 0 })
    for (let row = 2; row < 200; row++) {
      ranges.live.readings++
      expect(ranges.split(at(row), 0)).toBe(row <= maxRanges)
    }
    expect(ranges.all).toHaveLength(maxRanges)
    expect(ranges.readings).toBe(198)
  })

  test('a closed range that is used up is gone, the live one stays', () => {
    const ranges = new UnsealedRanges([{ from: at(1), to: at(3), readings: 5 }], { from: at(3), readings: 2 })
    ranges.advance(ranges.behind[0] as UnsealedRange, at(3), 5)
    ranges.advance(ranges.live, at(4), 2)
    expect(ranges.all).toEqual([{ from: at(4), to: null, readings: 0 }])
  })
})

test('rows that are gone take the ranges in them along and move the ends among them', () => {
  const ranges = new UnsealedRanges(
    [
      { from: at(2, 3), to: at(5), readings: 9 },
      { from: at(6), to: at(8), readings: 9 },
      { from: at(8, 1), to: at(20), readings: 9 },
    ],
    { from: at(20), readings: 9 },
  )
  ranges.trim(4, 9)
  expect(ranges.all.map(({ from, to }) => [from, to])).toEqual([
    [at(2, 3), at(4)],
    [at(10), at(20)],
    [at(20), null],
  ])
})

test('a batch of an older build, which does not say where it begins, ends everything before its end', () => {
  const ranges = new UnsealedRanges([], { from: at(3, 2), readings: 20 })
  expect(ranges.subtract(null, at(5, 1), 8, () => 0)).toBe(0)
  expect(ranges.all).toEqual([{ from: at(5, 1), to: null, readings: 12 }])
})
