/**
 * The batch on the wire, layout version 2, and version 1, which is read too. Encoding is deterministic: equal batches give equal content. It is lossless: every
 * time, value bit and quality comes back, a NaN's payload and the sign of a zero included. Whatever bytes come in, a decode ends
 * in a Batch or in one TributaryError: `malformed`, `too-large` or `unsupported-version`.
 *
 * MEMORY. Every count is checked before memory is taken for it; all are within `batchLimits`. One decode allocates at most
 *   4 × inflated bytes + 160 × readings + 1024 × series + 1024 × aggregates + 2048 × series with aggregates
 *   + 256 × ledger ranges + 131,072 bytes,
 * of which the batch keeps 16 bytes a reading of numbers. Numeric columns are views of one buffer: mind their `byteOffset`.
 *
 * NOTATION. Integers of several bytes are little-endian.
 *   u8        one byte
 *   uvarint   0 … 2^53 − 1: 7 bits a byte, low bits first, the top bit set on every byte but the last (LEB128)
 *   svarint   −(2^53 − 1) … 2^53 − 1: the uvarint of 2v for v ≥ 0, of −2v − 1 for v < 0; this one may need 54 bits
 *   string    uvarint length in bytes, then UTF-8
 *   bits      a bit stream fills each byte from its low bit, and gives the low bit of a number first; it starts on a whole byte
 *             and is padded with zeros to a whole byte
 *
 * BODY
 *   3 bytes   "TRB"
 *   u8        layout version, 1 or 2; any other is refused as `unsupported-version`
 *   4 bytes   CRC-32 (as in zlib) of the content followed by the zstd frame
 *   rest      one zstd frame; inflated it is the content
 *
 * CONTENT: sections, each `u8 kind, uvarint length, <length bytes>`, in this order: header (1), strings (2), readings (3), and, when the
 * header counts any, aggregates (4). Another kind is refused as `unsupported-version`. Nothing follows the last section.
 * Layout 1 ends with the readings, and its header with the ledger ranges.
 *
 * HEADER (kind 1)
 *   string    agent id, 1 to 64 bytes
 *   uvarint   epoch, 1 … 2^48 − 1
 *   uvarint   seq, from 1
 *   uvarint   number of series
 *   uvarint   number of readings
 *   u8        form of the boot id: 1 = the 16 bytes of a UUID follow, written in lower case with hyphens;
 *             0 = a string of up to 64 bytes follows
 *   svarint   monotonic clock, µs
 *   svarint   wall clock at the same moment, µs since 1970
 *   6 uvarint counters: accepted, stored, suppressed, dead-lettered, evicted, maybe-duplicate
 *   uvarint   number of ledger ranges, at most 10,000; then of each: uvarint epoch, uvarint first seq, uvarint last seq,
 *             uvarint readings, u8 exact (0 or 1), string reason (up to 256 bytes)
 *   uvarint   one more counter: folded
 *   uvarint   number of counters by class, at most 8; then of each: u8 class (0 raw, 1 aggregate, 2 alarm; each at most once),
 *             5 uvarint: accepted, stored, folded, suppressed, evicted
 *   uvarint   number of recalls done, at most 64; then of each: uvarint id, uvarint readings, u8 complete (1) or partly gone (0)
 *   uvarint   number of series with aggregates, once for each of their windows
 *   uvarint   number of aggregates
 *
 * STRINGS (kind 2): every text of the columns once
 *   uvarint   count, then a uvarint length in bytes of each, then the UTF-8 of all, one after another
 *
 * READINGS (kind 3)
 *   uvarint   length of the heads
 *   heads     small descriptors of all columns, in the order of the columns
 *   data      the rest: packed residuals of all columns, in the same order
 * Heads and data are two streams, each read from front to back; what is read from which is said below each time. With no series
 * both are empty. Otherwise seven INTS of one entry a series come first:
 *   device, metric, unit   indices into the strings, from 0 (device and metric of 1 to 256 bytes, unit of 0 to 32)
 *   count     readings of the series, at least 1; they add up to the header's number
 *   kind      of the values: 0 numbers, 1 booleans, 2 strings, 3 mixed; 4 more when a quality column follows them
 *   from      0 = times of its own; b > 0 = the times are those of the series b places before, which has the same count
 *   origin    µs, to be added to each of its own times; without meaning when `from` is not 0
 * Then of each series in order: its times (INTS, + origin; absent when `from` is not 0), its values (VALUES), its quality (INTS of
 * 0 good, 1 uncertain, 2 bad; all are good without it).
 *
 * AGGREGATES (kind 4): heads and data as of the readings. What window/aggregate-codec.ts writes of each aggregate is taken apart into
 * columns, because 32 of its bytes are doubles that are mostly decimals, and times that hardly differ.
 *   Of all series in order, six INTS of one entry a series:
 *     device, metric, unit   indices into the strings, as of the readings
 *     size, hop              µs, 1 ≤ hop ≤ size
 *     count                  aggregates of the series, at least 1; they add up to the header's number
 *   Of all aggregates in the order of their series, nine INTS of one entry an aggregate:
 *     start      µs
 *     revision   0 … 2^32 − 1
 *     form       256 × version + flags of the aggregate
 *     n          readings in it, at least 1
 *     first, last   time of its first reading − start, time of the last − time of the first; µs
 *     first order, last order   arrival numbers
 *     length     of its rest, bytes; with what stands before it the aggregate takes at most 8192
 *   Then of each series in order: NUMBERS, 4 × count: min, max, first, last of each aggregate.
 *   Data, at its end: the rests of all aggregates, one after another: sums and sketch.
 *
 * VALUES, n of them, by kind
 *   numbers   see NUMBERS
 *   booleans  INTS of 0 and 1
 *   strings   INTS, indices into the strings (of up to 4096 bytes)
 *   mixed     INTS, the kind (0, 1, 2) of each value; then the numbers among them, the booleans among them, the strings among
 *             them, each as above with their own n; a part without values is absent
 *
 * NUMBERS, n of them
 *   heads     u8 form
 *   form 15   doubles given by halves: INTS of their bits 63…32, then INTS of their bits 31…0, each 0 … 2^32 − 1
 *   others    form = p, + 16 when nudges follow, + 32 when exceptions follow; p = 0 … 9 decimals.
 *             INTS m, n of them: the values are m / 10^p, each rounded to the nearest double.
 *             Nudges: INTS, n of them, −8 … 8, each added to the 64 bits of its double taken as an integer.
 *             Exceptions: heads: uvarint count; data, count times: uvarint how many values stand between this exception and the
 *             one before (or the start), 8 bytes the double that replaces the value
 *
 * INTS, n ≥ 1 safe integers x[0] … x[n−1]
 *   heads     u8: bits 0–1 model, bits 2–3 packing, bits 4–7 tick code; svarint base
 *   model 0   constant: all are base; the other bits are 0 and nothing more follows
 *   others    heads: uvarint tick when the tick code is 15, otherwise tick = 10^code; svarint step; u8 k (0 … 48) for packing 1,
 *             u8 w (0 … 53) for packing 3; data: residuals r in their packing
 *   model 1   line, n residuals r[0] …: x[i] = base + tick · (i · step + r[i])
 *   model 2   delta, n − 1 residuals r[1] …: x[0] = base, x[i] = x[i−1] + tick · (step + r[i])
 *   model 3   delta of delta, n − 1 residuals r[1] …: x[0] = base, d[0] = step, d[i] = d[i−1] + r[i], x[i] = x[i−1] + tick · d[i]
 *   packing 0 an svarint each
 *   packing 1 Rice, a bit stream: z = 2r for r ≥ 0, −2r − 1 for r < 0; q = floor(z / 2^k); when q < 24, q one bits, a zero bit and
 *             z's k low bits; otherwise 24 one bits and z in 53 bits
 *   packing 2 runs, until all residuals are there: svarint r, uvarint how many times, at least 1
 *   packing 3 fixed, a bit stream: r, here never negative, in w bits each
 */
import { createHash } from 'node:crypto'
import { TributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { readAggregates, writeAggregates } from './aggregates-section.ts'
import type { Batch } from './batch.ts'
import type { BatchSummary } from './batch-header.ts'
import { readHeader, writeHeader } from './batch-header.ts'
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Layout, Unwrapped } from './frame.ts'
import { unwrap, wrap } from './frame.ts'
import { readReadings, writeReadings } from './readings-section.ts'
import type { StringTable } from './string-table.ts'
import { readStringTable, StringTableWriter } from './string-table.ts'

const Section = { header: 1, strings: 2, readings: 3, aggregates: 4 } as const

/** Bounds of a decode; those of protocol.ts by default. */
export type DecodeLimits = { readonly [bound in keyof typeof batchLimits]: number }

/** Encode a batch into a request body. Throws `malformed` or `too-large` for a batch that breaks the stated bounds. */
export function encodeBatch(batch: Batch): Uint8Array {
  return wrap(encodeContent(batch))
}

/** The uncompressed content of a body. Deterministic: equal batches give equal bytes. */
export function encodeContent(batch: Batch): Uint8Array {
  const table = new StringTableWriter()
  const readings = writeReadings(batch.columns, table)
  const aggregates = batch.aggregates.length > 0 ? writeAggregates(batch.aggregates, table) : null
  const content = new ByteWriter(4096)
  const header = new ByteWriter()
  writeHeader(header, summarize(batch))
  const strings = new ByteWriter()
  table.write(strings)
  writeSection(content, Section.header, header.bytes())
  writeSection(content, Section.strings, strings.bytes())
  writeSection(content, Section.readings, readings)
  if (aggregates !== null) writeSection(content, Section.aggregates, aggregates)
  return content.bytes()
}

/** The header and totals of a batch. */
export function summarize({ header, columns, aggregates }: Batch): BatchSummary {
  return {
    header,
    series: columns.length,
    readings: columns.reduce((sum, { tsUs }) => sum + tsUs.length, 0),
    aggregateSeries: aggregates.length,
    aggregates: aggregates.reduce((sum, { startUs }) => sum + startUs.length, 0),
  }
}

function writeSection(out: ByteWriter, kind: number, bytes: Uint8Array): void {
  out.u8(kind)
  out.uvarint(bytes.length)
  out.raw(bytes)
}

/** Decode a request body. Throws `malformed`, `too-large` or `unsupported-version`, and nothing else. */
export function decodeBatch(bytes: Uint8Array, limits: Partial<DecodeLimits> = {}): Batch {
  const bounds = { ...batchLimits, ...limits }
  return decodeContent(unwrap(bytes, bounds), bounds)
}

/** Decode the uncompressed content of a body. */
export function decodeContent({ layout, content }: Unwrapped, limits: DecodeLimits = batchLimits): Batch {
  const source = new ByteReader(content)
  const summary = readSummary(source, layout, limits)
  const strings = readSection(source, Section.strings)
  const mostStrings = 3 * (summary.series + summary.aggregateSeries) + summary.readings
  const table: StringTable = readStringTable(strings, mostStrings)
  expectEnd(strings)
  const columns = readReadings(readSection(source, Section.readings), table, summary)
  const aggregates =
    summary.aggregates > 0 ? readAggregates(readSection(source, Section.aggregates), table, summary, limits) : []
  if (source.remaining > 0) throw misplacedSection(source.u8(), 'nothing')
  return { header: summary.header, columns, aggregates }
}

/** Identity, clocks, counters and totals of a body, without decoding its columns. Throws what `decodeBatch` throws. */
export function peekBatch(bytes: Uint8Array, limits: Partial<DecodeLimits> = {}): BatchSummary {
  const bounds = { ...batchLimits, ...limits }
  const { layout, content } = unwrap(bytes, bounds)
  return readSummary(new ByteReader(content), layout, bounds)
}

/** SHA-256 of a body: equal identity and equal digest is a repeat, equal identity and another digest a conflict. */
export function batchDigest(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function readSummary(source: ByteReader, layout: Layout, limits: DecodeLimits): BatchSummary {
  const section = readSection(source, Section.header)
  const summary = readHeader(section, layout)
  expectEnd(section)
  for (const what of ['series', 'readings', 'aggregateSeries', 'aggregates'] as const) {
    if (summary[what] > limits[what]) throw tooMany(summary[what], what, limits[what])
  }
  if (summary.aggregateSeries > summary.aggregates || (summary.aggregates > 0 && summary.aggregateSeries === 0)) {
    throw malformed(`${summary.aggregates} aggregates in ${summary.aggregateSeries} series`)
  }
  return summary
}

function readSection(source: ByteReader, kind: number): ByteReader {
  const found = source.u8()
  if (found !== kind) throw misplacedSection(found, `section ${kind}`)
  return source.slice(source.uvarint())
}

function expectEnd(section: ByteReader): void {
  if (section.remaining > 0) throw malformed(`${section.remaining} bytes too many in a section`)
}

function misplacedSection(found: number, expected: string): TributaryError {
  if (found <= Section.aggregates) return malformed(`section ${found} where ${expected} belongs`)
  return new TributaryError(
    'unsupported-version',
    `batch holds a section of kind ${found}, which this program does not read`,
    {
      hint: 'update the older side',
    },
  )
}

const limitNames = {
  series: 'series',
  readings: 'readings',
  aggregateSeries: 'series with aggregates',
  aggregates: 'aggregates',
} as const

function tooMany(count: number, what: keyof typeof limitNames, limit: number): TributaryError {
  return new TributaryError('too-large', `batch announces ${count} ${limitNames[what]}, at most ${limit} allowed`)
}
