import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isTributaryError, TributaryError } from '../errors.ts'
import { addReading, finish, mergeInto, quantile } from './aggregate.ts'
import { decodeAggregate, encodeAggregate } from './aggregate-codec.ts'
import { type AggregateStore, allocate, bytesInUse, count, createAggregateStore } from './aggregate-store.ts'
import { readingsOf, type TestReading } from './test-oracle.ts'
import { someReadings } from './test-values.ts'

const series = someReadings(0, 30)

function aggregateOf(store: AggregateStore, readings: readonly TestReading[]): number {
  const slot = allocate(store)
  for (const { tsUs, order, value } of readings) addReading(store, slot, tsUs, order, value)
  return slot
}

function codeOf(store: AggregateStore, bytes: Uint8Array): string {
  try {
    decodeAggregate(store, bytes)
  } catch (error) {
    if (error instanceof TributaryError) return error.code
    throw error
  }
  return 'none'
}

test('an aggregate comes back from its bytes, and goes on as if it had never left', () => {
  fc.assert(
    fc.property(series, series, fc.constantFrom(0, 5, 512), (before, after, maxBuckets) => {
      const store = createAggregateStore(maxBuckets)
      const stayed = aggregateOf(store, before)
      const bytes = encodeAggregate(store, stayed)
      const other = createAggregateStore(maxBuckets)
      const back = decodeAggregate(other, bytes)
      expect(encodeAggregate(other, back)).toEqual(bytes)
      for (const { tsUs, order, value } of after) {
        addReading(store, stayed, tsUs, order + 100, value)
        addReading(other, back, tsUs, order + 100, value)
      }
      expect(encodeAggregate(other, back)).toEqual(encodeAggregate(store, stayed))
    }),
    { numRuns: 400 },
  )
})

test('aggregates of many agents merge at the hub as if their readings had met there', () => {
  const store = createAggregateStore(512)
  const readings = readingsOf(Array.from({ length: 90 }, (_, i) => [i, Math.sin(i) * 10]))
  const parts = [0, 1, 2].map(k =>
    encodeAggregate(
      store,
      aggregateOf(
        store,
        readings.filter((_, i) => i % 3 === k),
      ),
    ),
  )
  const hub = createAggregateStore(512)
  const merged = allocate(hub)
  for (const part of parts) mergeInto(hub, merged, hub, decodeAggregate(hub, part))
  expect(encodeAggregate(hub, merged)).toEqual(encodeAggregate(store, aggregateOf(store, readings)))
})

const golden: readonly (readonly [string, number, TestReading[], string])[] = [
  ['no readings', 0, readingsOf([]), '010000'],
  [
    'one reading',
    0,
    readingsOf([[1763820000123456, 21.5]]),
    '010001000000000080354000000000008035400000000000803540000000000080354080e9f088eb8ba20600000002012b04033907',
  ],
  [
    'a sketch of signs and zeros',
    512,
    readingsOf([
      [10, -1.5],
      [20, 0],
      [30, 1.5],
      [40, 1.51],
      [-5, 300],
    ]),
    '010105000000000000f8bf0000000000c072400000000000c07240295c8fc2f528f83f092d08061067295c8fc2f528d81220cf01917efb3a70cec00e9c33a2b4c7965f010004c1ff0701e1ff0301e1ff0302eb0301',
  ],
  [
    'a coarse sketch',
    3,
    readingsOf([
      [1, 1],
      [2, 10],
      [3, 100],
      [4, 1000],
    ]),
    '010104000000000000f03f0000000000408f40000000000000f03f0000000000408f4002030006040057040600b5690f090380020101020101',
  ],
  [
    'extremes',
    512,
    readingsOf([
      [0, 1e300],
      [0, -1e300],
      [1, 1e300],
      [1, -1e300],
    ]),
    '0101049c7500883ce437fe9c7500883ce4377e9c7500883ce4377e9c7500883ce437fe00010006001acc1d717f605fe1d7bf5f0ac5e5ac230002bfe30f02c0e30f02',
  ],
]

test.each(golden)('the bytes of %s never change', (_, maxBuckets, readings, hex) => {
  const store = createAggregateStore(maxBuckets)
  const slot = aggregateOf(store, readings)
  expect(Buffer.from(encodeAggregate(store, slot)).toString('hex')).toBe(hex)
  const back = decodeAggregate(store, Buffer.from(hex, 'hex'))
  if (readings.length > 0) expect(finish(store, back)).toEqual(finish(store, slot))
})

test('a sketch of more buckets than are kept coarsens as if it had been made here', () => {
  const fine = createAggregateStore(512)
  const coarse = createAggregateStore(8)
  const readings = readingsOf(Array.from({ length: 200 }, (_, i) => [i, 1.01 ** i]))
  const back = decodeAggregate(coarse, encodeAggregate(fine, aggregateOf(fine, readings)))
  expect(encodeAggregate(coarse, back)).toEqual(encodeAggregate(coarse, aggregateOf(coarse, readings)))
})

test('an aggregate without a sketch is refused where sketches are kept; a sketch is left out where none are', () => {
  const [plain, sketched] = [createAggregateStore(0), createAggregateStore(512)]
  const readings = readingsOf([
    [1, 2],
    [3, 4],
  ])
  const bytes = encodeAggregate(plain, aggregateOf(plain, readings))
  expect(codeOf(sketched, bytes)).toBe('malformed')
  expect(bytesInUse(sketched)).toBe(0)
  const left = decodeAggregate(plain, encodeAggregate(sketched, aggregateOf(sketched, readings)))
  expect(quantile(plain, left, 0.5)).toBeNaN()
  expect(encodeAggregate(plain, left)).toEqual(bytes)
})

test('every cut, and bytes after the end, are refused, and no slot stays taken', () => {
  const store = createAggregateStore(512)
  const bytes = encodeAggregate(
    store,
    aggregateOf(
      store,
      readingsOf([
        [1, 2.5],
        [3, 1e300],
        [4, -0.1],
      ]),
    ),
  )
  const other = createAggregateStore(512)
  for (let length = 0; length < bytes.length; length++)
    expect(codeOf(other, bytes.subarray(0, length))).toBe('malformed')
  expect(codeOf(other, Uint8Array.of(...bytes, 0))).toBe('malformed')
  expect(bytesInUse(other)).toBe(0)
  expect(other.wide.size).toBe(0)
})

test('a version of tomorrow is refused as such', () => {
  expect(codeOf(createAggregateStore(0), Uint8Array.of(2, 0, 0))).toBe('unsupported-version')
})

test('bytes of no aggregate never give one that cannot be, nor anything but a TributaryError', () => {
  const store = createAggregateStore(16)
  const valid = encodeAggregate(
    store,
    aggregateOf(
      store,
      readingsOf([
        [5, 1],
        [5, 2.25],
        [9, -7e200],
      ]),
    ),
  )
  const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(edits, changes => {
      const bytes = valid.slice()
      for (const [at, byte] of changes) bytes[at] = byte
      const other = createAggregateStore(16)
      try {
        const slot = decodeAggregate(other, bytes)
        if (count(other, slot) === 0) return
        const { mean, m2, min, max } = finish(other, slot)
        expect(m2).toBeGreaterThanOrEqual(0)
        expect(min).toBeLessThanOrEqual(max)
        expect(mean).not.toBeNaN()
        const again = encodeAggregate(other, slot)
        expect(encodeAggregate(other, decodeAggregate(other, again))).toEqual(again)
      } catch (error) {
        if (!isTributaryError(error)) throw error
        expect(bytesInUse(other)).toBe(0)
      }
    }),
    { numRuns: 2000 },
  )
})

test('a length that the bytes do not hold is refused before anything is allocated for it', () => {
  const store = createAggregateStore(0)
  const head = encodeAggregate(store, aggregateOf(store, readingsOf([[1, 3]]))).subarray(0, 3 + 32 + 4)
  expect(codeOf(store, Uint8Array.of(...head, 0xff, 0xff, 0xff, 0x7f))).toBe('malformed')
  expect(codeOf(store, Uint8Array.of(...head, 0xb0, 0x08, 0))).toBe('malformed')
})
