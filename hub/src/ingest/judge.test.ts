import { type Batch, noCounters, type SeriesColumns } from '@tributary/shared/batch/batch'
import type { Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeBatch, maxFutureMs } from './judge.ts'

const nowMs = Date.UTC(2026, 0, 1)
const nowUs = nowMs * 1000
const anySeries = { admit: () => true }

function column(
  values: readonly Value[],
  tsUs: readonly number[] = values.map(() => nowUs),
  series = {},
): SeriesColumns {
  const numbers = values.every(value => typeof value === 'number')
  return {
    series: { device: 'pump', metric: 'flow', unit: '', ...series },
    tsUs: Float64Array.from(tsUs),
    values: numbers ? Float64Array.from(values as number[]) : values,
    quality: null,
  }
}

function batch(...columns: SeriesColumns[]): Batch {
  const header = {
    agentId: 'ag',
    epoch: 1,
    seq: 1,
    bootId: '',
    monotonicUs: 0,
    wallUs: 0,
    counters: noCounters,
    losses: [],
    recallsDone: [],
  }
  return { header, columns, aggregates: [] }
}

function verdict(...columns: SeriesColumns[]): [number, string][] {
  return [...judgeBatch(batch(...columns), nowMs, anySeries)]
}

test('good readings of every type are accepted', () => {
  expect(verdict(column([1, -0, Number.MAX_VALUE]), column([true, 'text', 5, '']))).toEqual([])
})

test('an index counts through the series in their order', () => {
  expect(verdict(column([1, 2]), column([3, Number.NaN]), column([Number.POSITIVE_INFINITY]))).toEqual([
    [3, 'non-finite'],
    [4, 'non-finite'],
  ])
})

test('five minutes ahead is accepted, a microsecond more is not', () => {
  const edge = nowUs + maxFutureMs * 1000
  expect(verdict(column([1, 1], [edge, edge + 1]))).toEqual([[1, 'future']])
})

test('the first instant of 2000 is accepted, the one before is not', () => {
  const edge = Date.UTC(2000, 0, 1) * 1000
  expect(verdict(column([1, 1], [edge, edge - 1]))).toEqual([[1, 'before-2000']])
})

test('4096 bytes of text are accepted, 4097 are not, counted in UTF-8', () => {
  expect(verdict(column(['x'.repeat(4096), 'x'.repeat(4097), 'é'.repeat(2048), 'é'.repeat(2049)]))).toEqual([
    [1, 'string-too-long'],
    [3, 'string-too-long'],
  ])
})

test('text with U+0000 is refused: it would poison the store', () => {
  expect(verdict(column(['a\0b', 'ab']))).toEqual([[0, 'string-nul']])
})

test.each([
  ['an empty device', { device: '' }],
  ['an empty metric', { metric: '' }],
  ['257 bytes', { device: 'x'.repeat(257) }],
  ['a control character', { metric: 'a\nb' }],
  ['U+0000', { device: 'a\0' }],
  ['a unit of 33 bytes', { unit: 'x'.repeat(33) }],
])('a series whose name has %s is refused whole', (_, series) => {
  expect(verdict(column([1, 2], undefined, series), column([3]))).toEqual([
    [0, 'name'],
    [1, 'name'],
  ])
})

test('a name of 256 bytes is accepted', () => {
  expect(verdict(column([1], undefined, { device: 'x'.repeat(256), metric: 'é'.repeat(128) }))).toEqual([])
})

test('a series that the budget does not admit is refused whole, the others are not', () => {
  const budget = { admit: (device: string) => device !== 'runaway' }
  const judged = judgeBatch(batch(column([1, 2], undefined, { device: 'runaway' }), column([3])), nowMs, budget)
  expect([...judged]).toEqual([
    [0, 'cardinality'],
    [1, 'cardinality'],
  ])
})

test('a verdict is a function of the reading alone: one column judged whole or reading by reading', () => {
  const value = fc.oneof(fc.double(), fc.boolean(), fc.constantFrom('', 'ok', 'a\0', 'x'.repeat(5000)))
  const ts = fc.integer({ min: nowUs - 2 ** 50, max: nowUs + 2 ** 40 })
  fc.assert(
    fc.property(fc.array(fc.tuple(value, ts), { maxLength: 20 }), readings => {
      const whole = new Map(
        verdict(
          column(
            readings.map(([v]) => v),
            readings.map(([, t]) => t),
          ),
        ),
      )
      for (const [i, [v, t]] of readings.entries()) {
        expect(whole.get(i)).toBe(verdict(column([v], [t]))[0]?.[1])
      }
    }),
    { numRuns: 100 },
  )
})
