import { getHeapStatistics } from 'node:v8'
import { crc32, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { isTributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { type Batch, noCounters, type SeriesColumns } from './batch.ts'
import { writeHeader } from './batch-header.ts'
import { ByteWriter } from './byte-writer.ts'
import { decodeBatch, encodeBatch, encodeContent, peekBatch } from './codec.ts'
import { wrap } from './frame.ts'

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
const small: Batch = {
  header,
  columns: [
    {
      series: { device: 'd', metric: 'm', unit: '' },
      tsUs: Float64Array.of(1000, 2000, 3000, 4001),
      values: Float64Array.of(1.5, Math.PI, 2.25, -0),
      quality: Uint8Array.of(0, 0, 1, 0),
    },
    {
      series: { device: 'd', metric: 's', unit: '' },
      tsUs: Float64Array.of(1, 2),
      values: ['on', false],
      quality: null,
    },
  ],
  aggregates: [],
}

function codeOf(body: Uint8Array): string {
  try {
    decodeBatch(body)
  } catch (error) {
    if (isTributaryError(error)) return error.code
    throw error
  }
  return 'none'
}

interface Sections {
  readonly series?: number
  readonly readings?: number
  readonly strings?: (out: ByteWriter) => void
  readonly heads?: (out: ByteWriter) => void
  readonly data?: (out: ByteWriter) => void
}

/** A body with a correct CRC around sections of the test's own making. */
function bodyOf({ series = 1, readings = 1, strings, heads, data }: Sections): Uint8Array {
  const parts = [new ByteWriter(), new ByteWriter(), new ByteWriter()] as const
  writeHeader(parts[0], { header, series, readings, aggregateSeries: 0, aggregates: 0 })
  if (strings) strings(parts[1])
  else {
    parts[1].uvarint(1)
    parts[1].uvarint(1)
    parts[1].u8(0x64)
  }
  const headBytes = new ByteWriter()
  heads?.(headBytes)
  parts[2].uvarint(headBytes.length)
  parts[2].raw(headBytes.bytes())
  data?.(parts[2])
  const content = new ByteWriter()
  parts.forEach((part, i) => {
    content.u8(i + 1)
    content.uvarint(part.length)
    content.raw(part.bytes())
  })
  return wrap(content.bytes())
}

/** A constant column of integers. */
function constant(out: ByteWriter, value: number): void {
  out.u8(0)
  out.svarint(value)
}

/** Names, count, kind, source of times and origin of every series. */
function describe(out: ByteWriter, count: number, kind = 0, from = 0): void {
  for (const value of [0, 0, 0, count, kind, from, 0]) constant(out, value)
}

test('the hand-made body of these tests is sound', () => {
  const body = bodyOf({
    readings: 3,
    heads: out => {
      describe(out, 3)
      constant(out, 77)
      out.u8(2)
      constant(out, 150)
    },
  })
  expect(decodeBatch(body).columns).toEqual([
    {
      series: { device: 'd', metric: 'd', unit: 'd' },
      tsUs: Float64Array.of(77, 77, 77),
      values: Float64Array.of(1.5, 1.5, 1.5),
      quality: null,
    },
  ])
})

test('a body cut off anywhere is refused', () => {
  const body = encodeBatch(small)
  for (let length = 0; length < body.length; length++) expect(codeOf(body.subarray(0, length))).toBe('malformed')
})

test('a body with a byte too many is refused', () => {
  expect(codeOf(Buffer.concat([encodeBatch(small), Buffer.of(0)]))).toBe('malformed')
})

test('content cut off anywhere is refused behind a correct CRC', () => {
  const content = encodeContent(small).slice()
  for (let length = 0; length < content.length; length++) {
    expect(codeOf(wrap(content.subarray(0, length))), `cut at ${length}`).toBe('malformed')
  }
})

test('every flipped bit of a body is found', () => {
  const body = encodeBatch(small)
  for (let bit = 0; bit < body.length * 8; bit++) {
    const damaged = body.slice()
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    const inVersion = bit >> 3 === 3
    expect(codeOf(damaged), `bit ${bit}`).toBe(inVersion ? 'unsupported-version' : 'malformed')
  }
})

test('every flipped bit of content behind a correct CRC ends in a typed error or another batch', () => {
  const content = encodeContent(small).slice()
  for (let bit = 0; bit < content.length * 8; bit++) {
    const damaged = content.slice()
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    expect(['none', 'malformed', 'too-large', 'unsupported-version'], `bit ${bit}`).toContain(codeOf(wrap(damaged)))
  }
})

test.each([
  ['nothing', new Uint8Array(0)],
  ['JSON', new TextEncoder().encode('{"readings":[]}')],
  ['a bare zstd frame', zstdCompressSync('hello')],
])('%s is no batch', (_, body) => {
  expect(codeOf(body)).toBe('malformed')
  expect(() => peekBatch(body)).toThrow('not a batch')
})

test('a later layout version is refused as such', () => {
  const body = encodeBatch(small)
  body[3] = 3
  expect(() => decodeBatch(body)).toThrow('batch has layout version 3, this program reads versions 1 to 2')
  expect(codeOf(body)).toBe('unsupported-version')
})

test('a section of a kind that is not known is refused as unsupported', () => {
  const content = Buffer.concat([encodeContent(small), Buffer.of(5, 0)])
  expect(() => decodeBatch(wrap(content))).toThrow('section of kind 5')
  expect(codeOf(wrap(content))).toBe('unsupported-version')
})

test('a section of aggregates where the header counts none is refused', () => {
  expect(codeOf(wrap(Buffer.concat([encodeContent(small), Buffer.of(4, 0)])))).toBe('malformed')
})

test('a section that stands twice is refused', () => {
  const content = encodeContent(small).slice()
  const headerSection = content.subarray(0, 2 + content[1]!)
  expect(codeOf(wrap(Buffer.concat([headerSection, content])))).toBe('malformed')
  expect(codeOf(wrap(Buffer.concat([content, headerSection])))).toBe('malformed')
})

test('a body that inflates beyond the bound is too large', () => {
  const bomb = bombOf(batchLimits.inflatedBytes + 1)
  expect(bomb.length).toBeLessThan(10_000)
  expect(codeOf(bomb)).toBe('too-large')
})

function bombOf(bytes: number): Uint8Array {
  const content = new Uint8Array(bytes)
  const frame = zstdCompressSync(content)
  const body = Buffer.concat([Buffer.from('TRB\u0001'), Buffer.alloc(4), frame])
  body.writeUInt32LE(crc32(frame, crc32(content)), 4)
  return body
}

test.each<[string, string, Sections]>([
  ['more readings than a batch may hold', 'too-large', { readings: batchLimits.readings + 1 }],
  ['more series than a batch may hold', 'too-large', { series: batchLimits.series + 1 }],
  ['2^53 − 1 readings', 'too-large', { readings: Number.MAX_SAFE_INTEGER }],
  ['2^53 − 1 series', 'too-large', { series: Number.MAX_SAFE_INTEGER }],
  ['2^53 − 1 strings', 'too-large', { strings: out => out.uvarint(Number.MAX_SAFE_INTEGER) }],
  ['strings that are not there', 'malformed', { strings: out => out.uvarint(4) }],
  ['more strings than names and values', 'too-large', { strings: out => out.uvarint(5) }],
  [
    'a string of 2^53 − 1 bytes',
    'too-large',
    {
      strings: out => {
        out.uvarint(1)
        out.uvarint(Number.MAX_SAFE_INTEGER)
      },
    },
  ],
  ['readings in no series', 'malformed', { series: 0 }],
  ['counts that do not add up', 'malformed', { heads: out => describe(out, 2) }],
  ['a negative count', 'malformed', { heads: out => describe(out, -1) }],
  ['times of a series that is not there', 'malformed', { heads: out => describe(out, 1, 0, 1) }],
  ['times of a later series', 'malformed', { heads: out => describe(out, 1, 0, -1) }],
  ['an unknown kind of values', 'malformed', { heads: out => describe(out, 1, 8) }],
  [
    'an index beyond the strings',
    'malformed',
    {
      heads: out => {
        for (const value of [1, 0, 0, 1, 0, 0, 0, 0]) constant(out, value)
      },
    },
  ],
  [
    'a run longer than the column',
    'malformed',
    {
      readings: 100_000,
      heads: out => {
        describe(out, 100_000)
        out.u8(1 | (2 << 2))
        out.svarint(0)
        out.svarint(0)
      },
      data: out => {
        out.svarint(0)
        out.uvarint(Number.MAX_SAFE_INTEGER)
      },
    },
  ],
  [
    'packed values that are not there',
    'malformed',
    {
      readings: 100_000,
      heads: out => {
        describe(out, 100_000)
        out.u8(2 | (1 << 2))
        out.svarint(0)
        out.svarint(0)
        out.u8(0)
      },
      data: out => out.u8(0),
    },
  ],
  [
    'times that leave the safe integers',
    'malformed',
    {
      readings: 100_000,
      heads: out => {
        describe(out, 100_000)
        out.u8(3 | (2 << 2) | (15 << 4))
        out.svarint(Number.MAX_SAFE_INTEGER)
        out.uvarint(Number.MAX_SAFE_INTEGER)
        out.svarint(Number.MAX_SAFE_INTEGER)
      },
      data: out => {
        out.svarint(Number.MAX_SAFE_INTEGER)
        out.uvarint(99_999)
      },
    },
  ],
])('a batch that announces %s is refused: %s', (_, code, sections) => {
  expect(codeOf(bodyOf(sections))).toBe(code)
})

/** What codec.ts states as the most that one decode allocates. */
function allocationBound(inflatedBytes: number, readings: number, series: number): number {
  return 4 * inflatedBytes + 160 * readings + 1024 * series + 131_072
}

const greedy: readonly [string, SeriesColumns[]][] = [
  ['numbers', oneSeries(new Float64Array(100_000))],
  ['booleans', oneSeries(Array(100_000).fill(true))],
  ['equal strings', oneSeries(Array(100_000).fill('x'.repeat(4096)))],
  ['different strings', oneSeries(Array.from({ length: 100_000 }, (_, i) => `${i}`))],
  ['a mixture', oneSeries(Array.from({ length: 100_000 }, (_, i) => (i % 2 === 0 ? i + 0.5 : true)))],
  ['series of one reading', Array.from({ length: 10_000 }, (_, i) => oneSeries(Float64Array.of(i))[0]!)],
]

function oneSeries(values: SeriesColumns['values']): SeriesColumns[] {
  return [
    {
      series: { device: 'd', metric: 'm', unit: '' },
      tsUs: new Float64Array(values.length),
      values,
      quality: new Uint8Array(values.length).fill(1),
    },
  ]
}

test.each(greedy)('a small body that decodes to many %s stays within the stated memory', (_, columns) => {
  const batch: Batch = { header, columns, aggregates: [] }
  const body = encodeBatch(batch)
  const readings = columns.reduce((sum, column) => sum + column.tsUs.length, 0)
  const bound = allocationBound(encodeContent(batch).length, readings, columns.length)
  const allocated = () => {
    const heap = getHeapStatistics()
    return heap.used_heap_size + heap.external_memory
  }
  const growths = [1, 2, 3].map(() => {
    const before = allocated()
    decodeBatch(body)
    return allocated() - before
  })
  expect(Math.min(...growths)).toBeLessThanOrEqual(bound)
})
