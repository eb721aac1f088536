/** The readings section of a batch: which series, how many readings each, and their columns (`readings` in codec.ts's layout comment). */
import { TributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { Quality } from '../reading.ts'
import type { SeriesColumns } from './batch.ts'
import type { BatchSummary } from './batch-header.ts'
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter, integerField } from './byte-writer.ts'
import { ColumnArena } from './column-arena.ts'
import type { Streams } from './integer-column.ts'
import { readIntegers, writeIntegers } from './integer-column.ts'
import type { StringTable, StringTableWriter } from './string-table.ts'
import { deviceBounds, lookUp, metricBounds, unitBounds } from './string-table.ts'
import type { ColumnSource, ValueKind } from './value-column.ts'
import { kindOfValues, readValues, writeValues } from './value-column.ts'

/** Added to a series' value kind when a quality column follows its values. */
const qualityFlag = 4
/** Integer columns of one entry a series: names, counts, kinds, times. */
const columnsPerSeries = 7
/** How many series back a column of equal times is looked for. */
const timesReach = 64

export function writeReadings(columns: readonly SeriesColumns[], table: StringTableWriter): Uint8Array {
  const out: Streams<ByteWriter> = { heads: new ByteWriter(1024), data: new ByteWriter(4096) }
  checkColumns(columns)
  if (columns.length > 0) {
    const perSeries = (value: (column: SeriesColumns, index: number) => number) =>
      writeIntegers(out, Float64Array.from(columns, value))
    const kinds = columns.map(column => kindOfValues(column.values))
    const qualities = columns.map(column => (column.quality?.some(q => q !== Quality.good) ? column.quality : null))
    const timesFrom = columns.map((_, index) => equalTimes(columns, index))
    const origins = columns.map(({ tsUs }) => originOf(tsUs))
    perSeries(column => table.indexOf(column.series.device, deviceBounds))
    perSeries(column => table.indexOf(column.series.metric, metricBounds))
    perSeries(column => table.indexOf(column.series.unit, unitBounds))
    perSeries(column => column.tsUs.length)
    perSeries((_, i) => kinds[i]! + (qualities[i] ? qualityFlag : 0))
    perSeries((_, i) => timesFrom[i]!)
    perSeries((_, i) => origins[i]!)
    columns.forEach((column, i) => {
      if (timesFrom[i] === 0)
        writeIntegers(
          out,
          column.tsUs.map(ts => ts - origins[i]!),
        )
      writeValues(out, table, kinds[i]!, column.values)
      const quality = qualities[i]
      if (quality) writeIntegers(out, Float64Array.from(quality))
    })
  }
  const section = new ByteWriter(out.heads.length + out.data.length + 8)
  section.uvarint(out.heads.length)
  section.raw(out.heads.bytes())
  section.raw(out.data.bytes())
  return section.bytes()
}

function checkColumns(columns: readonly SeriesColumns[]): void {
  if (columns.length > batchLimits.series) throw tooMany(columns.length, 'series', batchLimits.series)
  let readings = 0
  for (const { series, tsUs, values, quality } of columns) {
    const name = `${series.device}/${series.metric}`
    if (tsUs.length === 0)
      throw new TributaryError('malformed', `batch cannot be encoded: series ${name} holds no reading`)
    if (values.length !== tsUs.length || (quality !== null && quality.length !== tsUs.length)) {
      throw new TributaryError('malformed', `batch cannot be encoded: columns of series ${name} differ in length`)
    }
    const unsafe = tsUs.findIndex(ts => !Number.isSafeInteger(ts))
    if (unsafe >= 0) integerField(tsUs[unsafe]!, `time ${unsafe} of series ${name}`)
    if (quality?.some(q => q > Quality.bad)) {
      throw new TributaryError('malformed', `batch cannot be encoded: series ${name} has an unknown quality`)
    }
    readings += tsUs.length
  }
  if (readings > batchLimits.readings) throw tooMany(readings, 'readings', batchLimits.readings)
}

function tooMany(count: number, what: string, limit: number): TributaryError {
  return new TributaryError('too-large', `batch holds ${count} ${what}, at most ${limit} allowed`, {
    hint: 'seal smaller batches',
  })
}

/** How many series back the same times stand, 0 when nowhere near. */
function equalTimes(columns: readonly SeriesColumns[], index: number): number {
  const tsUs = columns[index]!.tsUs
  for (let back = 1; back <= Math.min(index, timesReach); back++) {
    const other = columns[index - back]!.tsUs
    if (other.length === tsUs.length && other.every((ts, i) => ts === tsUs[i])) return back
  }
  return 0
}

/** The first time, or 0 where the distance from it would not be a safe integer. */
function originOf(tsUs: Float64Array): number {
  const first = tsUs[0]!
  return tsUs.every(ts => Number.isSafeInteger(ts - first)) ? first : 0
}

export function readReadings(
  section: ByteReader,
  table: StringTable,
  { series, readings }: BatchSummary,
): SeriesColumns[] {
  const heads = section.slice(section.uvarint())
  const data = new ByteReader(section.bytes, section.position, section.end)
  const arena = new ColumnArena(columnsPerSeries * series + 2 * readings)
  const columns = series > 0 ? readColumns({ heads, data, table, arena }, series, readings) : []
  if (series === 0 && readings > 0) throw malformed(`${readings} readings in no series`)
  if (heads.remaining > 0 || data.remaining > 0) throw malformed('bytes follow the last column')
  return columns
}

function readColumns(source: ColumnSource, series: number, readings: number): SeriesColumns[] {
  const perSeries = () => {
    const column = source.arena.take(series)
    readIntegers(source, column)
    return column
  }
  const devices = perSeries()
  const metrics = perSeries()
  const units = perSeries()
  const counts = perSeries()
  const kinds = perSeries()
  const timesFrom = perSeries()
  const origins = perSeries()
  checkCounts(counts, readings)
  const columns: SeriesColumns[] = []
  for (let i = 0; i < series; i++) {
    const n = counts[i]!
    const kind = kinds[i]!
    if (!(kind >= 0 && kind < 2 * qualityFlag)) throw malformed(`a column of unknown kind ${kind}`)
    columns.push({
      series: {
        device: lookUp(source.table, devices[i]!, deviceBounds),
        metric: lookUp(source.table, metrics[i]!, metricBounds),
        unit: lookUp(source.table, units[i]!, unitBounds),
      },
      tsUs: readTimes(source, columns, n, timesFrom[i]!, origins[i]!),
      values: readValues(source, (kind % qualityFlag) as ValueKind, n),
      quality: kind >= qualityFlag ? readQuality(source, n) : null,
    })
  }
  return columns
}

function checkCounts(counts: Float64Array, readings: number): void {
  let sum = 0
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!
    if (count < 1) throw malformed(`a series of ${count} readings`)
    sum += count
  }
  if (sum !== readings) throw malformed(`the series hold ${sum} readings, the header says ${readings}`)
}

function readTimes(
  source: ColumnSource,
  before: readonly SeriesColumns[],
  n: number,
  from: number,
  origin: number,
): Float64Array {
  const tsUs = source.arena.take(n)
  if (from === 0) {
    readIntegers(source, tsUs, origin)
    return tsUs
  }
  const other = from > 0 ? before[before.length - from]?.tsUs : undefined
  if (other?.length !== n) throw malformed(`times taken from ${from} series back, where they do not stand`)
  tsUs.set(other)
  return tsUs
}

function readQuality(source: ColumnSource, n: number): Uint8Array {
  const integers = source.arena.scratch(n)
  readIntegers(source, integers)
  const quality = new Uint8Array(n)
  for (let i = 0; i < n; i++) {
    const q = integers[i]!
    if (!(q >= 0 && q <= Quality.bad)) throw malformed(`a quality of ${q}`)
    quality[i] = q
  }
  return quality
}
