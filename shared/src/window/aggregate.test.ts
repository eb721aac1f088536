import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  addReading,
  finish,
  keepSums,
  mergeInto,
  quantile,
  quantileError,
  subtractReading,
  sumsOf,
} from './aggregate.ts'
import { encodeAggregate } from './aggregate-codec.ts'
import {
  type AggregateStore,
  allocate,
  bytesInUse,
  clear,
  count,
  createAggregateStore,
  release,
} from './aggregate-store.ts'
import { eachBucket, sketchIntegers } from './sketch.ts'
import { bySize, finishByOracle, inOrder, readingsOf, type TestReading } from './test-oracle.ts'
import { someReadings } from './test-values.ts'

const series = someReadings(1, 40)

function aggregateOf(store: AggregateStore, readings: readonly TestReading[]): number {
  const slot = allocate(store)
  for (const { tsUs, order, value } of readings) addReading(store, slot, tsUs, order, value)
  return slot
}

/** Merge a list of slots in a tree that the choices pick: each joins two neighbours, either way round. */
function mergeTree(store: AggregateStore, slots: number[], choices: readonly number[]): number {
  for (let step = 0; slots.length > 1; step++) {
    const choice = choices[step % choices.length]!
    const left = choice % (slots.length - 1)
    const [a, b] = choice & 1024 ? [left, left + 1] : [left + 1, left]
    mergeInto(store, slots[a]!, store, slots[b]!)
    release(store, slots[b]!)
    slots.splice(b, 1)
  }
  return slots[0]!
}

test('the numbers are those of exact arithmetic over all readings, rounded once', () => {
  fc.assert(
    fc.property(series, readings => {
      const store = createAggregateStore(0)
      expect(finish(store, aggregateOf(store, readings))).toEqual(finishByOracle(readings))
    }),
    { numRuns: 400 },
  )
})

test('shuffled, split and merged in any tree, the same readings give the same bytes', () => {
  const shuffled = series.chain(readings =>
    fc.tuple(
      fc.constant(readings),
      fc.shuffledSubarray([...readings], { minLength: readings.length }),
      fc.array(fc.nat(5), { minLength: readings.length, maxLength: readings.length }),
      fc.array(fc.nat(2047), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 3, 8, 512),
    ),
  )
  fc.assert(
    fc.property(shuffled, ([readings, mixed, parts, choices, maxBuckets]) => {
      const store = createAggregateStore(maxBuckets)
      const whole = aggregateOf(store, readings)
      const slots = [0, 1, 2, 3, 4, 5].map(part =>
        aggregateOf(
          store,
          mixed.filter((_, i) => parts[i] === part),
        ),
      )
      const merged = mergeTree(store, slots, choices)
      expect(encodeAggregate(store, merged)).toEqual(encodeAggregate(store, whole))
      expect(finish(store, merged)).toEqual(finish(store, whole))
    }),
    { numRuns: 600 },
  )
})

test('a reading taken out again leaves nothing behind in the sums and the sketch', () => {
  const left = (store: AggregateStore, slot: number): unknown => {
    const { n, sum, mean, m2 } = finish(store, slot)
    const buckets: number[][] = []
    eachBucket(store, store.integers, slot * sketchIntegers, (key, count) => buckets.push([key, count]))
    return { n, sum, mean, m2, buckets, wide: store.wide.has(slot) }
  }
  fc.assert(
    fc.property(series, series, (kept, gone) => {
      const store = createAggregateStore(4096)
      const both = aggregateOf(store, [...gone, ...kept])
      for (const { value } of gone) subtractReading(store, both, value)
      const alone = aggregateOf(store, kept)
      keepSums(store, alone, sumsOf(store, alone))
      keepSums(store, both, sumsOf(store, both))
      expect(left(store, both)).toEqual(left(store, alone))
    }),
    { numRuns: 300 },
  )
})

test('a quantile is within the stated error of the reading of its rank', () => {
  fc.assert(
    fc.property(
      series,
      fc.constantFrom(3, 8, 64, 512),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (readings, max, q) => {
        const store = createAggregateStore(max)
        const slot = aggregateOf(store, readings)
        const ranked = readings.map(reading => reading.value).toSorted(bySize)[Math.floor(q * (readings.length - 1))]!
        const allowed = quantileError(store, slot) * Math.abs(ranked) * (1 + 1e-12) + 2 ** -1022
        expect(Math.abs(quantile(store, slot, q) - ranked)).toBeLessThanOrEqual(allowed)
      },
    ),
    { numRuns: 600 },
  )
})

test('a sketch keeps 0.78 % at its bound of buckets and doubles it one bucket later', () => {
  const store = createAggregateStore(64)
  const slot = allocate(store)
  for (let i = 0; i < 64; i++) addReading(store, slot, i, i, 1 + i / 64)
  expect(quantileError(store, slot)).toBe(1 / 129)
  addReading(store, slot, 64, 64, 2)
  expect(quantileError(store, slot)).toBe(1 / 65)
  expect(bytesInUse(store)).toBeLessThanOrEqual(144 + 64 * 12)
})

test('doubles of every size in one aggregate stay within the bound of buckets and of bytes', () => {
  const store = createAggregateStore(3)
  const slot = allocate(store)
  for (let e = -1074; e < 1024; e++) {
    addReading(store, slot, e, e, 2 ** e)
    addReading(store, slot, e, e + 5000, -(2 ** e))
  }
  expect(bytesInUse(store)).toBeLessThanOrEqual(144 + 4 * 12 + 1024)
  expect(finish(store, slot)).toMatchObject({ n: 4196, sum: 0, mean: 0, m2: Number.POSITIVE_INFINITY })
})

test('equal times are ordered by arrival, whichever is added first', () => {
  const readings = readingsOf([
    [7, 1],
    [7, 2],
    [7, 3],
  ])
  const store = createAggregateStore(0)
  const slot = aggregateOf(store, [readings[1]!, readings[2]!, readings[0]!])
  expect(finish(store, slot)).toMatchObject({ first: 1, last: 3, firstUs: 7, lastUs: 7 })
  expect(inOrder(readings).map(reading => reading.value)).toEqual([1, 2, 3])
})

test('−0 is the least of zeros, and a sum of zeros is 0', () => {
  const store = createAggregateStore(512)
  const slot = aggregateOf(
    store,
    readingsOf([
      [1, 0],
      [2, -0],
    ]),
  )
  expect(finish(store, slot)).toEqual({
    n: 2,
    sum: 0,
    mean: 0,
    m2: 0,
    min: -0,
    max: 0,
    firstUs: 1,
    first: 0,
    lastUs: 2,
    last: -0,
  })
})

test('a slot given back and taken again knows nothing of its past', () => {
  const store = createAggregateStore(8)
  const slot = aggregateOf(
    store,
    readingsOf([
      [1, 1e300],
      [2, 3],
      [3, -5],
    ]),
  )
  const bytes = bytesInUse(store)
  release(store, slot)
  expect(bytesInUse(store)).toBe(0)
  const again = aggregateOf(store, readingsOf([[9, 2]]))
  expect(again).toBe(slot)
  expect(count(store, again)).toBe(1)
  expect(finish(store, again)).toMatchObject({ n: 1, sum: 2, m2: 0 })
  clear(store, again)
  expect(count(store, again)).toBe(0)
  expect(bytes).toBe(144 + 4 * 12 + 1024)
})

test('sketches of fewer than 3 or more than 65,536 buckets are refused', () => {
  for (const maxBuckets of [1, 2, 65_537, 3.5, Number.NaN, -1]) {
    expect(() => createAggregateStore(maxBuckets)).toThrow('3 to 65536 buckets')
  }
})
