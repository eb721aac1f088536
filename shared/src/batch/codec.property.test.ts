import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Quality, SeriesName, Value } from '../reading.ts'
import { type Batch, readingClasses, type SeriesAggregates, type SeriesColumns } from './batch.ts'
import { decodeBatch, encodeBatch, encodeContent, peekBatch } from './codec.ts'
import { aggregateBytes } from './test-aggregates.ts'

const runs = { numRuns: 300 }
const text = (minBytes: number, maxBytes: number) =>
  fc
    .string({ unit: 'binary', minLength: minBytes, maxLength: maxBytes })
    .filter(s => s.isWellFormed() && Buffer.byteLength(s) <= maxBytes)
const name: fc.Arbitrary<SeriesName> = fc.record({ device: text(1, 40), metric: text(1, 40), unit: text(0, 32) })
const time = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: 1_763_800_000_000_000, max: 1_763_800_100_000_000 }),
  fc.integer({ min: 0, max: 1000 }).map(i => 1_763_800_000_000_000 + i * 1000),
  fc.constantFrom(0, -0, 1, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
)
/** Any 64 bits as a double, of the kinds that sensors and their software produce, and the awkward ones. */
const numberBits: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.double().map(bitsOf),
  fc.integer({ min: -100_000, max: 100_000 }).map(i => bitsOf(i / 100)),
  fc.integer({ min: -100_000, max: 100_000 }).map(i => bitsOf(i * 0.1 + 0.2)),
  fc
    .constantFrom(-0, 2 ** 53, -(2 ** 53), 2 ** 53 - 1, 2 ** 53 + 2, Infinity, -Infinity, 5e-324, 1e300, 1e-9)
    .map(bitsOf),
  fc.constantFrom(0x7ff8_0000_0000_0000n, 0x7ff0_0000_0000_0001n, 0xfff8_0000_dead_beefn, 0xffff_ffff_ffff_ffffn),
)
const numericColumn = fc
  .oneof(fc.array(numberBits, { minLength: 1, maxLength: 60 }), steady(numberBits))
  .map(bits => new Float64Array(BigUint64Array.from(bits).buffer))
const boolean = fc.boolean()
const string = fc.oneof(fc.constantFrom('', 'on', 'off'), text(0, 60))
const valueColumn: fc.Arbitrary<Float64Array | Value[]> = fc.oneof(
  { weight: 4, arbitrary: numericColumn },
  fc.array(boolean, { minLength: 1, maxLength: 60 }),
  fc.array(string, { minLength: 1, maxLength: 30 }),
  fc
    .array(fc.oneof(boolean, string, fc.double()), { minLength: 2, maxLength: 30 })
    .filter(values => new Set(values.map(value => typeof value)).size > 1),
)
const quality: fc.Arbitrary<Quality> = fc.constantFrom<Quality>(0, 0, 0, 1, 2)
const series: fc.Arbitrary<SeriesColumns> = fc.tuple(name, valueColumn).chain(([seriesName, values]) =>
  fc.record({
    series: fc.constant(seriesName),
    tsUs: fc
      .oneof(
        exactly(time, values.length),
        fc.tuple(time, time).map(([start, step]) => regular(start, step, values.length)),
      )
      .map(times => Float64Array.from(times)),
    values: fc.constant(values),
    quality: fc.option(
      exactly(quality, values.length).map(qs => Uint8Array.from(qs)),
      { freq: 2 },
    ),
  }),
)
const count = fc.maxSafeInteger().map(Math.abs)
const classCounters = fc.record({
  class: fc.constantFrom(...readingClasses),
  accepted: count,
  stored: count,
  folded: count,
  suppressed: count,
  evicted: count,
})
const header: fc.Arbitrary<Batch['header']> = fc.record({
  agentId: text(1, 24),
  epoch: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  bootId: fc.oneof(fc.uuid(), text(0, 36)),
  monotonicUs: fc.maxSafeInteger(),
  wallUs: fc.maxSafeInteger(),
  counters: fc.record({
    accepted: count,
    stored: count,
    suppressed: count,
    deadLettered: count,
    evicted: count,
    maybeDuplicate: count,
    folded: count,
    classes: fc.uniqueArray(classCounters, { maxLength: readingClasses.length, selector: one => one.class }),
  }),
  losses: fc.array(
    fc.record({ epoch: count, fromSeq: count, toSeq: count, readings: count, exact: boolean, reason: text(0, 20) }),
    { maxLength: 3 },
  ),
  recallsDone: fc.array(fc.record({ id: count, readings: count, complete: boolean }), { maxLength: 3 }),
})

const windowLength = fc.oneof(fc.constant(60_000_000), fc.integer({ min: 1, max: 1e12 }))
const readingsOfWindow = fc.array(
  fc.record({
    offsetUs: fc.integer({ min: 0, max: 59_999_999 }),
    value: fc.oneof(
      fc.integer({ min: -10_000, max: 10_000 }).map(i => i / 100),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    ),
  }),
  { minLength: 1, maxLength: 12 },
)
const aggregate = fc.record({
  startUs: fc.integer({ min: 0, max: 1_000_000 }).map(i => 1_763_800_020_000_000 + 60_000_000 * i),
  revision: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  readings: readingsOfWindow,
})
const seriesAggregates: fc.Arbitrary<SeriesAggregates> = fc
  .record({
    series: name,
    lengths: fc.tuple(windowLength, windowLength),
    sketched: boolean,
    all: fc.array(aggregate, { minLength: 1, maxLength: 8 }),
  })
  .map(({ series: seriesName, lengths, sketched, all }) => ({
    series: seriesName,
    sizeUs: Math.max(...lengths),
    hopUs: Math.min(...lengths),
    startUs: Float64Array.from(all, one => one.startUs),
    revision: Uint32Array.from(all, one => one.revision),
    data: all.map(one =>
      aggregateBytes(
        one.readings.map(({ offsetUs, value }) => ({ tsUs: one.startUs + offsetUs, value })),
        sketched ? 16 : 0,
      ),
    ),
  }))
const aggregates = fc.array(seriesAggregates, { maxLength: 4 })

test('every time, value bit, quality, aggregate and header field comes back', () => {
  fc.assert(
    fc.property(header, fc.array(series, { maxLength: 6 }), aggregates, (head, columns, all) => {
      const batch: Batch = { header: head, columns, aggregates: all }
      const body = encodeBatch(batch)
      expect(bitwise(decodeBatch(body))).toEqual(bitwise(batch))
      expect(peekBatch(body)).toEqual({
        header: head,
        series: columns.length,
        readings: columns.reduce((sum, column) => sum + column.tsUs.length, 0),
        aggregateSeries: all.length,
        aggregates: all.reduce((sum, one) => sum + one.startUs.length, 0),
      })
    }),
    runs,
  )
})

test('series that repeat the times of another come back with their own copy', () => {
  fc.assert(
    fc.property(header, series, series, (head, one, two) => {
      const columns = [one, two, one, one]
      const back = decodeBatch(encodeBatch({ header: head, columns, aggregates: [] }))
      expect(bitwise(back)).toEqual(bitwise({ header: head, columns, aggregates: [] }))
      back.columns[0]!.tsUs[0]! += 1
      expect(back.columns[2]!.tsUs[0]).toBe(one.tsUs[0]! + 0)
    }),
    { numRuns: 50 },
  )
})

test('equal batches give equal bytes', () => {
  fc.assert(
    fc.property(header, fc.array(series, { maxLength: 4 }), aggregates, (head, columns, all) => {
      const batch: Batch = { header: head, columns, aggregates: all }
      const copy: Batch = structuredClone(batch)
      expect(encodeContent(copy)).toEqual(encodeContent(batch))
      expect(encodeBatch(decodeBatch(encodeBatch(copy)))).toEqual(encodeBatch(copy))
    }),
    { numRuns: 100 },
  )
})

function bitsOf(value: number): bigint {
  return new BigUint64Array(Float64Array.of(value).buffer)[0]!
}

function exactly<T>(arbitrary: fc.Arbitrary<T>, length: number): fc.Arbitrary<T[]> {
  return fc.array(arbitrary, { minLength: length, maxLength: length })
}

/** Runs of equal values. */
function steady<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc
    .array(fc.tuple(arbitrary, fc.integer({ min: 1, max: 20 })), { minLength: 1, maxLength: 4 })
    .map(parts => parts.flatMap(([value, times]) => Array<T>(times).fill(value)))
}

function regular(start: number, step: number, n: number): number[] {
  const times = Array.from({ length: n }, (_, i) => start + i * (step % 1e9))
  return times.every(Number.isSafeInteger) ? times : Array<number>(n).fill(start)
}

/** A batch with times as plain numbers (−0 is the time 0), numeric columns by their bits, and no quality where all is good. */
function bitwise({ header: head, columns, aggregates: all }: Batch): unknown {
  return {
    header: head,
    aggregates: all,
    columns: columns.map(column => ({
      series: column.series,
      tsUs: Array.from(column.tsUs, ts => ts + 0),
      values:
        column.values instanceof Float64Array
          ? [...new BigUint64Array(column.values.buffer, column.values.byteOffset, column.values.length)]
          : column.values,
      quality: column.quality?.some(q => q > 0) ? [...column.quality] : null,
    })),
  }
}
