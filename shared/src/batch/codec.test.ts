import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { isTributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { limits, type Value } from '../reading.ts'
import { type Batch, noCounters, type SeriesColumns } from './batch.ts'
import { maxLosses } from './batch-header.ts'
import { batchDigest, decodeBatch, encodeBatch } from './codec.ts'

const header: Batch['header'] = {
  agentId: 'ag-abcdefghij2345klmnop',
  epoch: 123_456_789_012_345,
  seq: 17,
  bootId: '3f2c1a00-1234-4abc-8def-0123456789ab',
  monotonicUs: 86_400_000_123,
  wallUs: 1_763_800_000_123_456,
  counters: { ...noCounters, accepted: 1_000_000, stored: 999_997, deadLettered: 3, maybeDuplicate: 1 },
  losses: [{ epoch: 5, fromSeq: 3, toSeq: 9, readings: 700, exact: false, reason: 'evicted' }],
  recallsDone: [],
}

function column(values: Float64Array | readonly Value[], change: Partial<SeriesColumns> = {}): SeriesColumns {
  return {
    series: { device: 'press-1', metric: 'temperature', unit: 'Cel' },
    tsUs: Float64Array.from({ length: values.length }, (_, i) => 1_763_800_000_000_000 + 1000 * i),
    values,
    quality: null,
    ...change,
  }
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isTributaryError(error)) return error.code
    throw error
  }
  return 'none'
}

const encodeOne = (one: SeriesColumns) => encodeBatch({ header, columns: [one], aggregates: [] })
const decodeOne = (one: SeriesColumns) => decodeBatch(encodeOne(one)).columns[0]!

test('a batch of every kind of column comes back equal', () => {
  const batch: Batch = {
    header,
    columns: [
      column(Float64Array.of(20.5, 20.25, -0), { quality: Uint8Array.of(0, 2, 1) }),
      column([true, false, true]),
      column(['geschlossen – 閉'], { series: { device: 'Tür', metric: 'state', unit: '' } }),
      column(['', 1.5, false]),
    ],
    aggregates: [],
  }
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch)
})

test('a batch without readings carries its header and ledger', () => {
  const batch: Batch = { header, columns: [], aggregates: [] }
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch)
})

test('a plain array of numbers comes back as a Float64Array', () => {
  expect(decodeOne(column([1, 2.5])).values).toEqual(Float64Array.of(1, 2.5))
})

test('a quality column of good alone comes back as none', () => {
  expect(decodeOne(column([true], { quality: Uint8Array.of(0) })).quality).toBeNull()
})

test('columns that are views into a larger buffer are encoded as what they show', () => {
  const whole = Float64Array.of(1, 2, 3, 4, 5, 6)
  const one = decodeOne(column(whole.subarray(2, 4), { tsUs: whole.subarray(3, 5) }))
  expect([...one.values]).toEqual([3, 4])
  expect([...one.tsUs]).toEqual([4, 5])
})

test('a lone surrogate is replaced, everything else of a string is kept', () => {
  expect(decodeOne(column(['a\ud800b', '\ufeffbom', '\u0000', '😀'])).values).toEqual([
    'a\ufffdb',
    '\ufeffbom',
    '\u0000',
    '😀',
  ])
})

test('a NaN keeps its payload in a column of numbers', () => {
  const bits = BigUint64Array.of(0x7ff0_0000_0000_0001n, 0x7ff8_0000_0000_0000n, 0xffff_1234_5678_9abcn)
  const { values } = decodeOne(column(new Float64Array(bits.buffer)))
  expect(values).toBeInstanceOf(Float64Array)
  const { buffer, byteOffset, length } = values as Float64Array
  expect(new BigUint64Array(buffer, byteOffset, length)).toEqual(bits)
})

test('the digest is the SHA-256 of the body', () => {
  const body = encodeOne(column([1]))
  expect(Buffer.from(batchDigest(body))).toEqual(createHash('sha256').update(body).digest())
})

test('decimals of a thousand readings take less than a third of their doubles', () => {
  const values = Float64Array.from(
    { length: 1000 },
    (_, i) => Math.round(2000 + 300 * Math.sin(i / 50) + (i % 7)) / 100,
  )
  expect(encodeOne(column(values)).length).toBeLessThan(1000)
})

test.each([
  [
    'a name of 256 bytes',
    { series: { device: 'é'.repeat(128), metric: 'm'.repeat(limits.nameBytes), unit: 'u'.repeat(32) } },
    'none',
  ],
  ['a device name of 257 bytes', { series: { device: `${'é'.repeat(128)}x`, metric: 'm', unit: '' } }, 'too-large'],
  ['a metric name of 257 bytes', { series: { device: 'd', metric: 'm'.repeat(257), unit: '' } }, 'too-large'],
  ['a unit of 33 bytes', { series: { device: 'd', metric: 'm', unit: 'u'.repeat(33) } }, 'too-large'],
  ['an empty device name', { series: { device: '', metric: 'm', unit: '' } }, 'malformed'],
  ['an empty metric name', { series: { device: 'd', metric: '', unit: '' } }, 'malformed'],
  ['a string value of 4096 bytes', { values: ['x'.repeat(limits.stringBytes)] }, 'none'],
  ['a string value of 4097 bytes', { values: ['x'.repeat(limits.stringBytes + 1)] }, 'too-large'],
  ['a fractional time', { tsUs: Float64Array.of(0.5) }, 'malformed'],
  ['a time beyond 2^53', { tsUs: Float64Array.of(2 ** 53) }, 'malformed'],
  ['a time that is no number', { tsUs: Float64Array.of(Number.NaN) }, 'malformed'],
  ['more times than values', { tsUs: Float64Array.of(1, 2) }, 'malformed'],
  ['a shorter quality column', { quality: new Uint8Array(0) }, 'malformed'],
  ['an unknown quality', { quality: Uint8Array.of(3) }, 'malformed'],
  ['no reading', { tsUs: new Float64Array(0), values: [] }, 'malformed'],
] satisfies [string, Partial<SeriesColumns>, string][])('a series with %s is encoded or refused', (_, change, code) => {
  expect(codeOf(() => decodeOne(column([true], change)))).toBe(code)
})

test.each([
  ['epoch 0', { epoch: 0 }, 'malformed'],
  ['epoch 2^48 − 1', { epoch: 2 ** 48 - 1 }, 'none'],
  ['epoch 2^48', { epoch: 2 ** 48 }, 'malformed'],
  ['seq 0', { seq: 0 }, 'malformed'],
  ['a fractional seq', { seq: 1.5 }, 'malformed'],
  ['an agent id of 64 bytes', { agentId: 'a'.repeat(64) }, 'none'],
  ['an agent id of 65 bytes', { agentId: 'a'.repeat(65) }, 'too-large'],
  ['no agent id', { agentId: '' }, 'malformed'],
  ['a boot id of 65 bytes', { bootId: 'a'.repeat(65) }, 'too-large'],
  ['a negative counter', { counters: { ...header.counters, evicted: -1 } }, 'malformed'],
  ['a clock that is no integer', { wallUs: Number.NaN }, 'malformed'],
  ['10,000 ledger ranges', { losses: Array(maxLosses).fill(header.losses[0]) }, 'none'],
  ['10,001 ledger ranges', { losses: Array(maxLosses + 1).fill(header.losses[0]) }, 'too-large'],
] satisfies [string, Partial<Batch['header']>, string][])(
  'a header with %s is encoded or refused',
  (_, change, code) => {
    expect(
      codeOf(() => decodeBatch(encodeBatch({ header: { ...header, ...change }, columns: [], aggregates: [] }))),
    ).toBe(code)
  },
)

test('100,000 readings are the most in a batch', () => {
  const most = new Float64Array(batchLimits.readings)
  expect(decodeOne(column(most)).values.length).toBe(batchLimits.readings)
  expect(codeOf(() => encodeOne(column(new Float64Array(batchLimits.readings + 1))))).toBe('too-large')
})

test('a batch whose content or body is larger than the hub takes is not encoded', () => {
  const noise = (n: number) => Array.from({ length: n }, () => randomBytes(2048).toString('hex'))
  const random = noise(2100)
  expect(codeOf(() => encodeOne(column(random.slice(0, 1000))))).toBe('none')
  expect(codeOf(() => encodeOne(column(random)))).toBe('too-large')
  const repetitive = Array.from({ length: 8200 }, (_, i) => `${i}`.padEnd(limits.stringBytes, 'x'))
  expect(codeOf(() => encodeOne(column(repetitive)))).toBe('too-large')
})

test('10,000 series are the most in a batch', () => {
  const one = column([1.5])
  const most = Array<SeriesColumns>(batchLimits.series).fill(one)
  expect(decodeBatch(encodeBatch({ header, columns: most, aggregates: [] })).columns.length).toBe(batchLimits.series)
  expect(codeOf(() => encodeBatch({ header, columns: [...most, one], aggregates: [] }))).toBe('too-large')
})

test('a caller may set tighter bounds on what it decodes', () => {
  const body = encodeBatch({ header, columns: [column([1, 2, 3]), column([4])], aggregates: [] })
  expect(codeOf(() => decodeBatch(body, { readings: 4, series: 2, bodyBytes: body.length }))).toBe('none')
  expect(codeOf(() => decodeBatch(body, { readings: 3 }))).toBe('too-large')
  expect(codeOf(() => decodeBatch(body, { series: 1 }))).toBe('too-large')
  expect(codeOf(() => decodeBatch(body, { bodyBytes: body.length - 1 }))).toBe('too-large')
  expect(codeOf(() => decodeBatch(body, { inflatedBytes: 100 }))).toBe('too-large')
})
