import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { readIntegers, writeIntegers } from './integer-column.ts'
import { Model, Pack, planIntegers } from './integer-plan.ts'

function roundTrip(values: readonly number[]): { back: number[]; bytes: number } {
  const out = { heads: new ByteWriter(), data: new ByteWriter() }
  writeIntegers(out, Float64Array.from(values))
  const streams = { heads: new ByteReader(out.heads.bytes()), data: new ByteReader(out.data.bytes()) }
  const back = new Float64Array(values.length)
  readIntegers(streams, back)
  expect([streams.heads.remaining, streams.data.remaining]).toEqual([0, 0])
  return { back: [...back], bytes: out.heads.length + out.data.length }
}

const planOf = (values: readonly number[]) => planIntegers(Float64Array.from(values))
const range = (n: number, value: (i: number) => number) => Array.from({ length: n }, (_, i) => value(i))

/** A fixed pseudo-random whole number below `max` for each i. */
function noise(i: number, max: number): number {
  const mixed = Math.imul(i + 1, 0x9e37_79b1)
  return (Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca6b) >>> 16) % max
}

test('columns of any safe integers come back', () => {
  const integer = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -100, max: 100 }), fc.integer())
  const shapes = fc
    .tuple(
      fc.maxSafeInteger(),
      fc.integer({ min: 1, max: 10_000 }),
      fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1 }),
    )
    .map(([start, tick, steps]) => steps.map((step, i) => Math.round(start / 2) + tick * (1000 * i + step)))
  fc.assert(
    fc.property(fc.oneof(fc.array(integer, { minLength: 1, maxLength: 80 }), shapes), values => {
      expect(roundTrip(values).back).toEqual(values.map(value => value + 0))
    }),
    { numRuns: 500 },
  )
})

test('times at the ends of the safe integers come back', () => {
  for (const edge of [Number.MAX_SAFE_INTEGER - 60_000, Number.MIN_SAFE_INTEGER]) {
    const values = range(60, i => edge + 1000 * i + (i % 3))
    expect(roundTrip(values).back).toEqual(values)
  }
})

test('a regular column costs a few bytes, whatever its length', () => {
  expect(roundTrip(range(1000, i => 1_763_800_000_000_000 + 250_000 * i)).bytes).toBeLessThan(20)
})

test('milliseconds in microseconds cost what milliseconds cost', () => {
  const jitter = range(1000, i => noise(i, 5))
  const ms = roundTrip(jitter.map((j, i) => 1_763_800_000_000 + 1000 * i + j))
  const us = roundTrip(jitter.map((j, i) => (1_763_800_000_000 + 1000 * i + j) * 1000))
  expect(us.bytes - ms.bytes).toBeLessThan(4)
})

test.each([
  ['equal values', range(50, () => 7), Model.constant, Pack.varint],
  ['a rare step', range(200, i => (i < 120 ? 4 : 5)), Model.delta, Pack.runs],
  ['values beyond 2^50 apart', [0, 2 ** 52, -3, 2 ** 53 - 1], Model.line, Pack.varint],
] as const)('%s are written in the form made for them', (_, values, model, pack) => {
  expect(planOf(values)).toMatchObject({ model, pack })
})

test('jitter around a fixed rate is written against the rate, not against the last time', () => {
  expect(planOf(range(500, i => 1000 * i + noise(i, 5))).model).toBe(Model.line)
})
