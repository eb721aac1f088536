import type { Counters } from '@tributary/shared/batch/batch'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRow, decodeRowCounters, encodeRow, Kind, Mark, type RowColumns, tagOf } from './row-codec.ts'

const counters: Counters = {
  accepted: 2 ** 40,
  stored: 3,
  suppressed: 0,
  deadLettered: 127,
  evicted: 128,
  maybeDuplicate: 1,
}
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
    mark: fc.constantFrom(0, 0, 0, Mark.held, Mark.unplaced, Mark.held | Mark.unplaced),
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

test('a row of layout 1, which ends before the marks, is read', () => {
  const given = [{ series: 0, quality: 0 as const, tsUs: 5, value: 1.5 }]
  const columns = columnsOf(given, ['a', 'b', ''])
  const bytes = encodeRow(columns, counters)
  const old = Uint8Array.of(1, ...bytes.subarray(1, -1))
  expect(decodeRow(old)).toEqual({ counters, columns })
  expect(decodeRowCounters(old)).toEqual(counters)
})
