import { createHash } from 'node:crypto'
import { TributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import type { Batch, SeriesColumns } from './batch.ts'
import type { BatchSummary } from './batch-header.ts'
import { readHeader, writeHeader } from './batch-header.ts'
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
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
  const content = new ByteWriter(4096)
  const header = new ByteWriter()
  writeHeader(header, { header: batch.header, series: batch.columns.length, readings: countReadings(batch.columns) })
  const strings = new ByteWriter()
  table.write(strings)
  writeSection(content, Section.header, header.bytes())
  writeSection(content, Section.strings, strings.bytes())
  writeSection(content, Section.readings, readings)
  return content.bytes()
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
export function decodeContent(content: Uint8Array, limits: DecodeLimits = batchLimits): Batch {
  const source = new ByteReader(content)
  const summary = readSummary(source, limits)
  const strings = readSection(source, Section.strings)
  const table: StringTable = readStringTable(strings, 3 * limits.series + limits.readings)
  expectEnd(strings)
  const readings = readSection(source, Section.readings)
  const columns = readReadings(readings, table, summary)
  if (source.remaining > 0) throw unknownSection(source.u8())
  return { header: summary.header, columns }
}

/** Identity, clocks, counters and totals of a body, without decoding its columns. Throws what `decodeBatch` throws. */
export function peekBatch(bytes: Uint8Array, limits: Partial<DecodeLimits> = {}): BatchSummary {
  const bounds = { ...batchLimits, ...limits }
  return readSummary(new ByteReader(unwrap(bytes, bounds)), bounds)
}

/** SHA-256 of a body: equal identity and equal digest is a repeat, equal identity and another digest a conflict. */
export function batchDigest(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function readSummary(source: ByteReader, limits: DecodeLimits): BatchSummary {
  const section = readSection(source, Section.header)
  const summary = readHeader(section)
  expectEnd(section)
  if (summary.series > limits.series) throw tooMany(summary.series, 'series', limits.series)
  if (summary.readings > limits.readings) throw tooMany(summary.readings, 'readings', limits.readings)
  return summary
}

function readSection(source: ByteReader, kind: number): ByteReader {
  const found = source.u8()
  if (found !== kind)
    throw found > Section.readings ? unknownSection(found) : malformed(`section ${found} where ${kind} belongs`)
  return source.slice(source.uvarint())
}

function expectEnd(section: ByteReader): void {
  if (section.remaining > 0) throw malformed(`${section.remaining} bytes too many in a section`)
}

function unknownSection(kind: number): TributaryError {
  const what = kind === Section.aggregates ? 'aggregates' : `a section of kind ${kind}`
  return new TributaryError('unsupported-version', `batch holds ${what}, which this program does not read`, {
    hint: 'update the hub',
  })
}

function tooMany(count: number, what: string, limit: number): TributaryError {
  return new TributaryError('too-large', `batch announces ${count} ${what}, at most ${limit} allowed`)
}

function countReadings(columns: readonly SeriesColumns[]): number {
  return columns.reduce((sum, column) => sum + column.tsUs.length, 0)
}
