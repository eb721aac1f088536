/** The aggregates section of a batch: which series and windows, and the aggregates as columns (`aggregates` in codec.ts's layout comment). */
import { TributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'
import { type AggregateForm, checkForm, putTogether, takeApart } from './aggregate-form.ts'
import type { SeriesAggregates } from './batch.ts'
import type { BatchSummary } from './batch-header.ts'
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter, integerField } from './byte-writer.ts'
import { ColumnArena } from './column-arena.ts'
import type { Streams } from './integer-column.ts'
import { readIntegers, writeIntegers } from './integer-column.ts'
import { readNumbers, writeNumbers } from './number-column.ts'
import type { StringTable, StringTableWriter } from './string-table.ts'
import { deviceBounds, lookUp, metricBounds, unitBounds } from './string-table.ts'
import type { ColumnSource } from './value-column.ts'

/** Integer columns of one entry a series, and of one entry an aggregate. */
const columnsPerSeries = 6
const columnsPerAggregate = 9
/** min, max, first, last. */
const numbersPerAggregate = 4
const maxRevision = 2 ** 32 - 1

/** The bound that a decode of this section keeps to, beside the totals of the header. */
export interface AggregateLimits {
  readonly aggregateBytes: number
}

export function writeAggregates(all: readonly SeriesAggregates[], table: StringTableWriter): Uint8Array {
  checkTotals(all)
  for (const one of all) checkSeries(one)
  const forms = all.map(({ data }) => data.map(takeApart))
  const out: Streams<ByteWriter> = { heads: new ByteWriter(512), data: new ByteWriter(4096) }
  const perSeries = (value: (one: SeriesAggregates) => number) => writeIntegers(out, Float64Array.from(all, value))
  perSeries(one => table.indexOf(one.series.device, deviceBounds))
  perSeries(one => table.indexOf(one.series.metric, metricBounds))
  perSeries(one => table.indexOf(one.series.unit, unitBounds))
  perSeries(one => one.sizeUs)
  perSeries(one => one.hopUs)
  perSeries(one => one.startUs.length)
  const starts = Float64Array.from(all.flatMap(one => [...one.startUs]))
  writeIntegers(out, starts)
  writeIntegers(out, Float64Array.from(all.flatMap(one => [...one.revision])))
  const flat = forms.flat()
  const perAggregate = (value: (form: AggregateForm, i: number) => number) =>
    writeIntegers(out, Float64Array.from(flat, value))
  perAggregate(({ form }) => form)
  perAggregate(({ n }) => n)
  perAggregate(({ firstUs }, i) =>
    integerField(firstUs - starts[i]!, 'time of a first reading after its window’s start'),
  )
  perAggregate(({ spanUs }) => spanUs)
  perAggregate(({ firstOrder }) => firstOrder)
  perAggregate(({ lastOrder }) => lastOrder)
  perAggregate(({ rest }) => rest.length)
  for (const ofSeries of forms) {
    writeNumbers(out, Float64Array.from(ofSeries.flatMap(({ min, max, first, last }) => [min, max, first, last])))
  }
  for (const { rest } of flat) out.data.raw(rest)
  const section = new ByteWriter(out.heads.length + out.data.length + 8)
  section.uvarint(out.heads.length)
  section.raw(out.heads.bytes())
  section.raw(out.data.bytes())
  return section.bytes()
}

function checkTotals(all: readonly SeriesAggregates[]): void {
  const aggregates = all.reduce((sum, one) => sum + one.startUs.length, 0)
  if (all.length > batchLimits.aggregateSeries) {
    throw tooMany(all.length, 'series with aggregates', batchLimits.aggregateSeries)
  }
  if (aggregates > batchLimits.aggregates) throw tooMany(aggregates, 'aggregates', batchLimits.aggregates)
}

function checkSeries({ series, sizeUs, hopUs, startUs, revision, data }: SeriesAggregates): void {
  const name = `${series.device}/${series.metric}`
  const refuse = (what: string) => new TributaryError('malformed', `batch cannot be encoded: series ${name} ${what}`)
  if (startUs.length === 0) throw refuse('holds no aggregate')
  if (revision.length !== startUs.length || data.length !== startUs.length) {
    throw refuse('has columns of aggregates that differ in length')
  }
  if (!isWindow(sizeUs, hopUs)) throw refuse(`has windows of ${sizeUs} µs every ${hopUs} µs`)
  const unsafe = startUs.findIndex(start => !Number.isSafeInteger(start))
  if (unsafe >= 0) throw refuse(`has an aggregate that starts at ${startUs[unsafe]}`)
  const longest = Math.max(...data.map(bytes => bytes.length))
  if (longest > batchLimits.aggregateBytes) throw tooLong(longest, batchLimits.aggregateBytes)
}

export function readAggregates(
  section: ByteReader,
  table: StringTable,
  { aggregateSeries, aggregates }: BatchSummary,
  limits: AggregateLimits,
): SeriesAggregates[] {
  const heads = section.slice(section.uvarint())
  const data = new ByteReader(section.bytes, section.position, section.end)
  const arena = new ColumnArena(
    columnsPerSeries * aggregateSeries + (columnsPerAggregate + numbersPerAggregate) * aggregates,
  )
  const source: ColumnSource = { heads, data, table, arena }
  const column = (length: number) => {
    const integers = arena.take(length)
    readIntegers(source, integers)
    return integers
  }
  const series = {
    devices: column(aggregateSeries),
    metrics: column(aggregateSeries),
    units: column(aggregateSeries),
    sizes: column(aggregateSeries),
    hops: column(aggregateSeries),
    counts: column(aggregateSeries),
  }
  checkCounts(series.counts, aggregates)
  const columns = {
    starts: column(aggregates),
    revisions: column(aggregates),
    forms: column(aggregates),
    ns: column(aggregates),
    firsts: column(aggregates),
    spans: column(aggregates),
    firstOrders: column(aggregates),
    lastOrders: column(aggregates),
    lengths: column(aggregates),
  }
  const numbers = Array.from(series.counts, count => readNumbers(source, numbersPerAggregate * count))
  const bytes = rebuild(columns, numbers, data, limits)
  if (heads.remaining > 0 || data.remaining > 0) throw malformed('bytes follow the last aggregate')
  let next = 0
  return Array.from(series.counts, (count, i) => {
    const from = next
    const to = from + count
    next = to
    const [sizeUs, hopUs] = [series.sizes[i]!, series.hops[i]!]
    if (!isWindow(sizeUs, hopUs)) throw malformed(`windows of ${sizeUs} µs every ${hopUs} µs`)
    return {
      series: {
        device: lookUp(table, series.devices[i]!, deviceBounds),
        metric: lookUp(table, series.metrics[i]!, metricBounds),
        unit: lookUp(table, series.units[i]!, unitBounds),
      },
      sizeUs,
      hopUs,
      startUs: columns.starts.subarray(from, to),
      revision: revisionsOf(columns.revisions.subarray(from, to)),
      data: bytes.slice(from, to),
    }
  })
}

type Columns = Readonly<
  Record<'starts' | 'forms' | 'ns' | 'firsts' | 'spans' | 'firstOrders' | 'lastOrders' | 'lengths', Float64Array>
>

/** The bytes of every aggregate, as views of one buffer. */
function rebuild(
  columns: Columns,
  numbers: readonly Float64Array[],
  data: ByteReader,
  { aggregateBytes }: AggregateLimits,
): Uint8Array[] {
  const out = new ByteWriter(data.remaining + 64 * columns.ns.length)
  const ends: number[] = []
  let i = 0
  for (const values of numbers) {
    for (let at = 0; at < values.length; at += numbersPerAggregate, i++) {
      const start = out.length
      if (!(columns.lengths[i]! >= 0)) throw malformed(`the rest of an aggregate takes ${columns.lengths[i]} bytes`)
      const parts: AggregateForm = {
        form: columns.forms[i]!,
        n: columns.ns[i]!,
        min: values[at]!,
        max: values[at + 1]!,
        first: values[at + 2]!,
        last: values[at + 3]!,
        firstUs: columns.starts[i]! + columns.firsts[i]!,
        spanUs: columns.spans[i]!,
        firstOrder: columns.firstOrders[i]!,
        lastOrder: columns.lastOrders[i]!,
        rest: data.take(columns.lengths[i]!),
      }
      checkForm(parts)
      putTogether(out, parts)
      if (out.length - start > aggregateBytes) throw tooLong(out.length - start, aggregateBytes)
      ends.push(out.length)
    }
  }
  const bytes = out.bytes()
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

function checkCounts(counts: Float64Array, aggregates: number): void {
  let sum = 0
  for (const count of counts) {
    if (count < 1) throw malformed(`a series of ${count} aggregates`)
    sum += count
  }
  if (sum !== aggregates) throw malformed(`the series hold ${sum} aggregates, the header says ${aggregates}`)
}

function revisionsOf(integers: Float64Array): Uint32Array {
  const wrong = integers.find(revision => !(revision >= 0 && revision <= maxRevision))
  if (wrong !== undefined) throw malformed(`a revision of ${wrong}`)
  return Uint32Array.from(integers)
}

function isWindow(sizeUs: number, hopUs: number): boolean {
  return Number.isSafeInteger(sizeUs) && Number.isSafeInteger(hopUs) && hopUs >= 1 && hopUs <= sizeUs
}

function tooMany(count: number, what: string, limit: number): TributaryError {
  return new TributaryError('too-large', `batch holds ${count} ${what}, at most ${limit} allowed`, {
    hint: 'seal smaller batches',
  })
}

function tooLong(bytes: number, limit: number): TributaryError {
  return new TributaryError('too-large', `batch holds an aggregate of ${bytes} bytes, at most ${limit} allowed`)
}
