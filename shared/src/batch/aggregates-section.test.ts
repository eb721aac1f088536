import { getHeapStatistics } from 'node:v8'
import { expect, test } from 'vitest'
import { isTributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { takeApart } from './aggregate-form.ts'
import { type Batch, noCounters, type SeriesAggregates } from './batch.ts'
import { maxRecallsDone, writeHeader } from './batch-header.ts'
import { ByteWriter } from './byte-writer.ts'
import { decodeBatch, encodeBatch, encodeContent } from './codec.ts'
import { wrap } from './frame.ts'
import { aggregateBytes } from './test-aggregates.ts'
import { encodeLayout1 } from './test-layout-1.ts'

const minuteUs = 60_000_000
const startUs = 1_763_800_020_000_000
const header: Batch['header'] = {
  agentId: 'ag-a',
  epoch: 1,
  seq: 1,
  bootId: '',
  monotonicUs: 1,
  wallUs: 2,
  counters: noCounters,
  losses: [],
  recallsDone: [],
}
const bytes = aggregateBytes([{ tsUs: startUs, value: 20.5 }])

function minutes(n: number, change: Partial<SeriesAggregates> = {}): SeriesAggregates {
  return {
    series: { device: 'd', metric: 'm', unit: 'Cel' },
    sizeUs: minuteUs,
    hopUs: minuteUs,
    startUs: Float64Array.from({ length: n }, () => startUs),
    revision: new Uint32Array(n),
    data: Array<Uint8Array>(n).fill(bytes),
    ...change,
  }
}

const batchOf = (...aggregates: SeriesAggregates[]): Batch => ({ header, columns: [], aggregates })

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isTributaryError(error)) return error.code
    throw error
  }
  return 'none'
}

test('aggregates of several windows of one series come back as they were', () => {
  const sketched = aggregateBytes([{ tsUs: startUs + 5, value: -3.25 }], 16)
  const batch = batchOf(
    minutes(2, { revision: Uint32Array.of(0, 3) }),
    minutes(1, { sizeUs: 5 * minuteUs, hopUs: minuteUs, data: [sketched] }),
    minutes(1, { series: { device: 'e', metric: 'm', unit: '' } }),
  )
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch)
})

test('a minute of 60 readings takes half of its bytes in a batch of many', () => {
  const starts = Array.from({ length: 1000 }, (_, minute) => startUs + minute * minuteUs)
  const data = starts.map((start, minute) =>
    aggregateBytes(
      Array.from({ length: 60 }, (_, i) => ({
        tsUs: start + 1_000_000 * i,
        value: (2000 + minute + ((i * 37) % 50)) / 100,
      })),
    ),
  )
  const body = encodeBatch(batchOf(minutes(1000, { startUs: Float64Array.from(starts), data })))
  const alone = data.reduce((sum, one) => sum + one.length, 0)
  expect(body.length).toBeLessThan(alone / 2)
})

test.each([
  ['one µs long', { sizeUs: 1, hopUs: 1 }, 'none'],
  ['of no length', { sizeUs: 0, hopUs: 0 }, 'malformed'],
  ['with gaps between them', { sizeUs: minuteUs, hopUs: minuteUs + 1 }, 'malformed'],
  ['of a fractional length', { sizeUs: 1.5, hopUs: 1 }, 'malformed'],
  ['that start at no whole µs', { startUs: Float64Array.of(0.5) }, 'malformed'],
  ['at the least time', { startUs: Float64Array.of(Number.MIN_SAFE_INTEGER) }, 'malformed'],
  ['with more revisions than starts', { revision: new Uint32Array(2) }, 'malformed'],
  ['without data', { data: [] }, 'malformed'],
  ['that are none', { startUs: new Float64Array(0), revision: new Uint32Array(0), data: [] }, 'malformed'],
  ['of a device without a name', { series: { device: '', metric: 'm', unit: '' } }, 'malformed'],
  ['of a device with a long name', { series: { device: 'd'.repeat(257), metric: 'm', unit: '' } }, 'too-large'],
  ['of the longest bytes', { data: [longest(batchLimits.aggregateBytes)] }, 'none'],
  ['of a byte more', { data: [longest(batchLimits.aggregateBytes + 1)] }, 'too-large'],
] satisfies [string, Partial<SeriesAggregates>, string][])('windows %s are encoded or refused', (_, change, code) => {
  expect(codeOf(() => decodeBatch(encodeBatch(batchOf(minutes(1, change)))))).toBe(code)
})

/** An aggregate in its outer form, with so many bytes. */
function longest(length: number): Uint8Array {
  const long = new Uint8Array(length)
  long.set(bytes)
  return long
}

const changed = (at: number, byte: number) => bytes.map((old, i) => (i === at ? byte : old))

test.each([
  ['nothing', new Uint8Array(0)],
  ['an aggregate cut short', bytes.subarray(0, 40)],
  ['an aggregate of no reading', Uint8Array.of(1, 0, 0)],
  ['a value that is not finite', changed(10, 0x7f).map((byte, i) => (i === 9 ? 0xf0 : byte))],
  ['a number in a longer form', Uint8Array.from([1, 0, 0x81, 0x00, ...bytes.subarray(3)])],
])('%s is no aggregate', (_, data) => {
  expect(codeOf(() => takeApart(data))).toBe('malformed')
  expect(codeOf(() => encodeBatch(batchOf(minutes(1, { data: [data] }))))).toBe('malformed')
})

test('20,000 aggregates and 10,000 series are the most in a batch', () => {
  const most = minutes(batchLimits.aggregates)
  expect(decodeBatch(encodeBatch(batchOf(most))).aggregates[0]?.data.length).toBe(batchLimits.aggregates)
  expect(codeOf(() => encodeBatch(batchOf(most, minutes(1))))).toBe('too-large')
  const series = Array<SeriesAggregates>(batchLimits.aggregateSeries).fill(minutes(1))
  expect(decodeBatch(encodeBatch(batchOf(...series))).aggregates.length).toBe(batchLimits.aggregateSeries)
  expect(codeOf(() => encodeBatch(batchOf(...series, minutes(1))))).toBe('too-large')
})

test('a caller may set tighter bounds on the aggregates that it decodes', () => {
  const body = encodeBatch(batchOf(minutes(2), minutes(1)))
  expect(codeOf(() => decodeBatch(body, { aggregates: 3, aggregateSeries: 2, aggregateBytes: bytes.length }))).toBe(
    'none',
  )
  expect(codeOf(() => decodeBatch(body, { aggregates: 2 }))).toBe('too-large')
  expect(codeOf(() => decodeBatch(body, { aggregateSeries: 1 }))).toBe('too-large')
  expect(codeOf(() => decodeBatch(body, { aggregateBytes: bytes.length - 1 }))).toBe('too-large')
})

test.each([
  ['aggregates', [minutes(batchLimits.aggregates)]],
  ['series with aggregates', Array<SeriesAggregates>(batchLimits.aggregateSeries).fill(minutes(1))],
])('a batch of the most %s stays within the stated memory', (_, all) => {
  const batch = batchOf(...all)
  const body = encodeBatch(batch)
  const inflated = encodeContent(batch).length
  const allocated = () => {
    const heap = getHeapStatistics()
    return heap.used_heap_size + heap.external_memory
  }
  const growths = [1, 2, 3].map(() => {
    const before = allocated()
    decodeBatch(body)
    return allocated() - before
  })
  const aggregates = all.reduce((sum, { data }) => sum + data.length, 0)
  expect(Math.min(...growths)).toBeLessThanOrEqual(4 * inflated + 1024 * aggregates + 2048 * all.length + 131_072)
})

test('content with aggregates that is cut off anywhere is refused behind a correct CRC', () => {
  const content = encodeContent(batchOf(minutes(3))).slice()
  for (let length = 0; length < content.length; length++) {
    expect(
      codeOf(() => decodeBatch(wrap(content.subarray(0, length)))),
      `cut at ${length}`,
    ).toBe('malformed')
  }
})

interface Announced {
  readonly aggregateSeries?: number
  readonly aggregates?: number
  /** Of the one series: size, hop, count; and of its one aggregate: start, revision, form, n, first, last, orders, length of the rest. */
  readonly integers?: Readonly<Record<number, number>>
  readonly rest?: number
}

/** A body with a correct CRC around one aggregate of the test's own making: all columns are constants. */
function bodyOf({ aggregateSeries = 1, aggregates = 1, integers = {}, rest = 4 }: Announced): Uint8Array {
  const parts = [new ByteWriter(), new ByteWriter(), new ByteWriter(), new ByteWriter()] as const
  writeHeader(parts[0], { header, series: 0, readings: 0, aggregateSeries, aggregates })
  parts[1].raw(Uint8Array.of(1, 1, 0x64))
  parts[2].u8(0)
  const heads = new ByteWriter()
  const columns = [0, 0, 0, minuteUs, minuteUs, 1, startUs, 0, 256, 1, 0, 0, 0, 0, 4]
  columns.forEach((value, i) => {
    heads.u8(0)
    heads.svarint(integers[i] ?? value)
  })
  heads.raw(Uint8Array.of(0, 0, 4))
  parts[3].uvarint(heads.length)
  parts[3].raw(heads.bytes())
  parts[3].raw(new Uint8Array(rest))
  const content = new ByteWriter()
  parts.forEach((part, i) => {
    content.u8(i + 1)
    content.uvarint(part.length)
    content.raw(part.bytes())
  })
  return wrap(content.bytes())
}

test('the hand-made body of these tests is sound', () => {
  const [one] = decodeBatch(bodyOf({})).aggregates
  expect(one).toMatchObject({ series: { device: 'd', metric: 'd', unit: 'd' }, sizeUs: minuteUs })
  expect(takeApart(one!.data[0]!)).toMatchObject({ n: 1, min: 2, last: 2, firstUs: startUs })
})

test.each<[string, string, Announced]>([
  ['more aggregates than a batch may hold', 'too-large', { aggregates: batchLimits.aggregates + 1 }],
  ['2^53 − 1 aggregates', 'too-large', { aggregates: Number.MAX_SAFE_INTEGER }],
  ['2^53 − 1 series of aggregates', 'too-large', { aggregateSeries: Number.MAX_SAFE_INTEGER }],
  ['aggregates in no series', 'malformed', { aggregateSeries: 0 }],
  ['series of no aggregates', 'malformed', { aggregates: 0 }],
  ['more series than aggregates', 'malformed', { aggregateSeries: 2 }],
  ['counts that do not add up', 'malformed', { integers: { 5: 2 } }],
  ['a negative count', 'malformed', { integers: { 5: -1 } }],
  ['an index beyond the strings', 'malformed', { integers: { 0: 1 } }],
  ['windows of no length', 'malformed', { integers: { 3: 0, 4: 0 } }],
  ['windows with gaps', 'malformed', { integers: { 4: minuteUs + 1 } }],
  ['a negative revision', 'malformed', { integers: { 7: -1 } }],
  ['a revision of 2^32', 'malformed', { integers: { 7: 2 ** 32 } }],
  ['a version of 256', 'malformed', { integers: { 8: 2 ** 16 } }],
  ['a negative version', 'malformed', { integers: { 8: -1 } }],
  ['an aggregate of no reading', 'malformed', { integers: { 9: 0 } }],
  ['times that leave the safe integers', 'malformed', { integers: { 10: Number.MAX_SAFE_INTEGER } }],
  ['a last reading before the first', 'malformed', { integers: { 11: -1 } }],
  ['a rest of a negative length', 'malformed', { integers: { 14: -1 } }],
  ['a rest that is not there', 'malformed', { integers: { 14: 5 } }],
  ['a rest of 2^53 − 1 bytes', 'malformed', { integers: { 14: Number.MAX_SAFE_INTEGER } }],
  ['a byte after the last rest', 'malformed', { rest: 5 }],
  ['a rest beyond the bound', 'too-large', { integers: { 14: 9000 }, rest: 9000 }],
])('a batch that announces %s is refused: %s', (_, code, announced) => {
  expect(codeOf(() => decodeBatch(bodyOf(announced)))).toBe(code)
})

test.each([
  ['64 recalls done', { recallsDone: recalls(maxRecallsDone) }, 'none'],
  ['65 recalls done', { recallsDone: recalls(maxRecallsDone + 1) }, 'too-large'],
  ['a fractional recall', { recallsDone: [{ id: 0.5, readings: 0, complete: true }] }, 'malformed'],
  ['a negative number folded', { counters: { ...noCounters, folded: -1 } }, 'malformed'],
  ['each class once', { counters: { ...noCounters, classes: [ofClass('alarm'), ofClass('raw')] } }, 'none'],
  ['a class twice', { counters: { ...noCounters, classes: [ofClass('raw'), ofClass('raw')] } }, 'malformed'],
] satisfies [string, Partial<Batch['header']>, string][])(
  'a header with %s is encoded or refused',
  (_, change, code) => {
    const batch = { header: { ...header, ...change }, columns: [], aggregates: [] }
    expect(codeOf(() => expect(decodeBatch(encodeBatch(batch))).toEqual(batch))).toBe(code)
  },
)

function recalls(n: number) {
  return Array.from({ length: n }, (_, id) => ({ id, readings: 2 * id, complete: id % 2 === 0 }))
}

function ofClass(name: 'raw' | 'alarm') {
  return { class: name, accepted: 9, stored: 5, folded: 1, suppressed: 2, evicted: 1 }
}

test('a batch of layout 1 decodes with nothing in what layout 2 added', () => {
  const columns = [
    {
      series: { device: 'd', metric: 'm', unit: '' },
      tsUs: Float64Array.of(1, 2),
      values: Float64Array.of(20.5, 21),
      quality: null,
    },
  ]
  const batch = { header: { ...header, recallsDone: recalls(2) }, columns, aggregates: [minutes(1)] }
  expect(decodeBatch(encodeLayout1(batch))).toEqual({ header, columns, aggregates: [] })
})
