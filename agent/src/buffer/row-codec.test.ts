import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changed, noCounters, withClasses } from './counters.ts'
import { classesIn, decodeRow, decodeRowCounters, encodeRow, Kind, Mark, type RowColumns, tagOf } from './row-codec.ts'

const counters = withClasses(
  { accepted: 2 ** 40, stored: 3, suppressed: 0, deadLettered: 127, evicted: 128, maybeDuplicate: 1, folded: 900 },
  [{ class: 'aggregate', accepted: 1000, stored: 0, folded: 900, suppressed: 0, evicted: 100 }],
)
const text = fc.string({ unit: 'binary', maxLength: 40 }).map(given => given.toWellFormed())
const value = fc.oneof(
  fc.double(),
  fc.integer().map(mantissa => mantissa / 100),
  fc.constantFrom(-0, 0, NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER, 5e-324, 2 ** 50, -(2 ** 50) - 1, 0.1 + 0.2),
  fc.boolean(),
  text,
)
const readings = fc.array(
  fc.record({
    series: fc.nat(2),
    quality: fc.constantFrom(0 as const, 1 as const, 2 as const),
    tsUs: fc.oneof(fc.maxSafeInteger(), fc.integer({ min: 1.7e15, max: 1.7e15 + 1e6 })),
    value,
    mark: fc.constantFrom(0, 0, 0, Mark.held, Mark.alarm, Mark.unplaced, Mark.held | Mark.unplaced),
  }),
  { maxLength: 60 },
)

type Given = { series: number; quality: 0 | 1 | 2; tsUs: number; value: number | boolean | string; mark?: number }

function columnsOf(given: readonly Given[], names: readonly string[]): RowColumns {
  const strings: string[] = []
  const kindOf = (of: Given['value']) =>
    typeof of === 'number' ? Kind.number : typeof of === 'boolean' ? Kind.boolean : Kind.string
  return {
    readings: given.length,
    names,
    series: Uint32Array.from(given, reading => reading.series),
    tags: Uint8Array.from(given, reading => tagOf(reading.quality, kindOf(reading.value))),
    tsUs: Float64Array.from(given, reading => reading.tsUs),
    values: Float64Array.from(given, ({ value: of }) => (typeof of === 'string' ? strings.push(of) - 1 : Number(of))),
    strings,
    marks: Uint8Array.from(given, ({ mark }) => mark ?? 0),
    boot: given.some(({ mark }) => (mark ?? 0) & Mark.unplaced) ? 'the boot' : '',
  }
}

test('a row comes back bit for bit', () => {
  fc.assert(
    fc.property(readings, fc.array(text, { minLength: 9, maxLength: 9 }), (given, names) => {
      const columns = columnsOf(given, names)
      const bytes = encodeRow(columns, counters)
      expect(decodeRow(bytes)).toEqual({ counters, columns })
      expect(decodeRowCounters(bytes)).toEqual(counters)
    }),
    { numRuns: 300 },
  )
})

test('damaged bytes give corrupt or unsupported-version, never anything else', () => {
  const given = Array.from({ length: 20 }, (_, index) => ({
    series: index % 3,
    quality: 0 as const,
    tsUs: index,
    value: index / 10,
  }))
  const bytes = encodeRow(columnsOf(given, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']), counters)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, byte, length) => {
      const damaged = bytes.slice(0, length)
      if (at < length) damaged[at] = byte
      try {
        decodeRow(damaged)
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(corrupt|unsupported-version)$/) })
      }
    }),
    { numRuns: 500 },
  )
})

test('a decimal sensor costs about six bytes a reading', () => {
  const given = Array.from({ length: 1000 }, (_, index) => ({
    series: index % 2,
    quality: 0 as const,
    tsUs: 1_700_000_000_000_000 + index * 1000,
    value: Math.round(2150 + 100 * Math.sin(index / 50)) / 100,
  }))
  expect(encodeRow(columnsOf(given, ['a', 'b', '', 'c', 'd', '']), counters).length).toBeLessThan(6500)
})

test('rows of layouts 1 and 2 are read: what they counted is raw, and layout 1 ends before the marks', () => {
  const given = [{ series: 0, quality: 0 as const, tsUs: 5, value: 1.5 }]
  const columns = columnsOf(given, ['a', 'b', ''])
  const before = changed(noCounters, 'raw', { accepted: 9, stored: 8, evicted: 1 })
  const now = encodeRow(columns, before)
  const contents = now.subarray(1 + 8, -1)
  const sixCounters = now.subarray(1, 7)
  const olds: [number[], number][] = [
    [[1, ...sixCounters, ...contents], 0],
    [[2, ...sixCounters, ...contents, 0], 0],
    [[2, ...sixCounters, ...contents, 1, 1, Mark.held], Mark.held],
  ]
  for (const [bytes, mark] of olds) {
    const old = Uint8Array.from(bytes)
    expect(decodeRow(old)).toEqual({ counters: before, columns: { ...columns, marks: Uint8Array.of(mark) } })
    expect(decodeRowCounters(old)).toEqual(before)
  }
})

test('without policies the classes cost two bytes a row, and marks by series one byte a series', () => {
  const given = Array.from({ length: 300 }, (_, index) => ({
    series: index % 3,
    quality: 0 as const,
    tsUs: index,
    value: index,
    mark: [0, Mark.held, Mark.alarm][index % 3] as number,
  }))
  const names = ['a', 'b', '', 'c', 'd', '', 'e', 'f', '']
  const raw = columnsOf(
    given.map(({ mark: _, ...rest }) => rest),
    names,
  )
  const marked = columnsOf(given, names)
  const counted = changed(noCounters, 'raw', { accepted: 1, stored: 1 })
  expect(encodeRow(marked, counted).length).toBe(encodeRow(raw, counted).length + 3)
  expect(decodeRow(encodeRow(marked, counted)).columns).toEqual(marked)
  expect(classesIn(marked)).toEqual({ raw: 100, aggregate: 100, alarm: 100 })
  expect(classesIn(marked, 0, 4)).toEqual({ raw: 2, aggregate: 1, alarm: 1 })
})
