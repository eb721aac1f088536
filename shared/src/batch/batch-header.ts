/** The header section of a batch: identity, clocks, counters, ledger, recalls, and how much follows (`header` in codec.ts's layout comment). */
import { TributaryError } from '../errors.ts'
import type { BatchHeader, ClassCounters, LossRange, RecallDone } from './batch.ts'
import { readingClasses } from './batch.ts'
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { integerField } from './byte-writer.ts'
import type { Layout } from './frame.ts'
import { agentBounds, bootBounds, readString, reasonBounds, writeString } from './string-table.ts'

/** Most ledger ranges in one batch. */
export const maxLosses = 10_000
/** Most recalls told as done in one batch. */
export const maxRecallsDone = 64
/** Most counters by class: numbers of classes that this build does not know are refused, and there is room for them. */
const maxClasses = 8

const maxEpoch = 2 ** 48 - 1
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const counterNames = ['accepted', 'stored', 'suppressed', 'deadLettered', 'evicted', 'maybeDuplicate'] as const
const classCounterNames = ['accepted', 'stored', 'folded', 'suppressed', 'evicted'] as const

/** A header and the totals that stand beside it. */
export interface BatchSummary {
  readonly header: BatchHeader
  readonly series: number
  readonly readings: number
  /** Series with aggregates, once for each of their windows. */
  readonly aggregateSeries: number
  readonly aggregates: number
}

export function writeHeader(out: ByteWriter, summary: BatchSummary): void {
  writeFirstPart(out, summary)
  writeSecondPart(out, summary)
}

/** What layout 1 has for a header. */
export function writeFirstPart(out: ByteWriter, { header, series, readings }: BatchSummary): void {
  writeString(out, header.agentId, agentBounds)
  out.uvarint(epochField(header.epoch, malformedField))
  out.uvarint(integerField(header.seq, 'seq', 1))
  out.uvarint(series)
  out.uvarint(readings)
  const isUuid = uuid.test(header.bootId)
  out.u8(isUuid ? 1 : 0)
  if (isUuid) out.raw(Buffer.from(header.bootId.replaceAll('-', ''), 'hex'))
  else writeString(out, header.bootId, bootBounds)
  out.svarint(integerField(header.monotonicUs, 'monotonicUs'))
  out.svarint(integerField(header.wallUs, 'wallUs'))
  for (const name of counterNames) out.uvarint(integerField(header.counters[name], name, 0))
  out.uvarint(atMost(header.losses.length, maxLosses, 'ledger ranges'))
  for (const loss of header.losses) writeLoss(out, loss)
}

function writeSecondPart(out: ByteWriter, { header, aggregateSeries, aggregates }: BatchSummary): void {
  const { counters, recallsDone } = header
  out.uvarint(integerField(counters.folded, 'folded', 0))
  out.uvarint(atMost(counters.classes.length, maxClasses, 'counters by class'))
  checkClasses(counters.classes, malformedField)
  for (const one of counters.classes) {
    out.u8(readingClasses.indexOf(one.class))
    for (const name of classCounterNames) out.uvarint(integerField(one[name], `${name} of class ${one.class}`, 0))
  }
  out.uvarint(atMost(recallsDone.length, maxRecallsDone, 'recalls done'))
  for (const { id, readings, complete } of recallsDone) {
    out.uvarint(integerField(id, 'id of a recall', 0))
    out.uvarint(integerField(readings, 'readings of a recall', 0))
    out.u8(complete ? 1 : 0)
  }
  out.uvarint(aggregateSeries)
  out.uvarint(aggregates)
}

function writeLoss(out: ByteWriter, loss: LossRange): void {
  out.uvarint(integerField(loss.epoch, 'epoch of a loss', 0))
  out.uvarint(integerField(loss.fromSeq, 'fromSeq of a loss', 0))
  out.uvarint(integerField(loss.toSeq, 'toSeq of a loss', 0))
  out.uvarint(integerField(loss.readings, 'readings of a loss', 0))
  out.u8(loss.exact ? 1 : 0)
  writeString(out, loss.reason, reasonBounds)
}

export function readHeader(source: ByteReader, layout: Layout): BatchSummary {
  const first = readFirstPart(source)
  const second = layout === 1 ? nothingMore : readSecondPart(source)
  const { counters, series, readings, ...rest } = first
  const { folded, classes, recallsDone, aggregateSeries, aggregates } = second
  const header: BatchHeader = { ...rest, counters: { ...counters, folded, classes }, recallsDone }
  return { header, series, readings, aggregateSeries, aggregates }
}

function readFirstPart(source: ByteReader) {
  const agentId = readString(source, agentBounds)
  const epoch = epochField(source.uvarint(), malformed)
  const seq = source.uvarint()
  if (seq < 1) throw malformed('seq is 0')
  const series = source.uvarint()
  const readings = source.uvarint()
  const bootId = readFlag(source, 'form of the boot id') ? formatUuid(source.take(16)) : readString(source, bootBounds)
  const monotonicUs = source.svarint()
  const wallUs = source.svarint()
  const counters = {
    accepted: source.uvarint(),
    stored: source.uvarint(),
    suppressed: source.uvarint(),
    deadLettered: source.uvarint(),
    evicted: source.uvarint(),
    maybeDuplicate: source.uvarint(),
  }
  const losses = readList(source, maxLosses, 'ledger ranges', readLoss)
  return { agentId, epoch, seq, series, readings, bootId, monotonicUs, wallUs, counters, losses }
}

interface SecondPart {
  readonly folded: number
  readonly classes: readonly ClassCounters[]
  readonly recallsDone: readonly RecallDone[]
  readonly aggregateSeries: number
  readonly aggregates: number
}

const nothingMore: SecondPart = { folded: 0, classes: [], recallsDone: [], aggregateSeries: 0, aggregates: 0 }

function readSecondPart(source: ByteReader): SecondPart {
  const folded = source.uvarint()
  const classes = readList(source, maxClasses, 'counters by class', readClass)
  checkClasses(classes, malformed)
  const recallsDone = readList(source, maxRecallsDone, 'recalls done', readRecallDone)
  return { folded, classes, recallsDone, aggregateSeries: source.uvarint(), aggregates: source.uvarint() }
}

function readClass(source: ByteReader): ClassCounters {
  const number = source.u8()
  const name = readingClasses[number]
  if (name === undefined) throw malformed(`counters of an unknown class ${number}`)
  return {
    class: name,
    accepted: source.uvarint(),
    stored: source.uvarint(),
    folded: source.uvarint(),
    suppressed: source.uvarint(),
    evicted: source.uvarint(),
  }
}

function readRecallDone(source: ByteReader): RecallDone {
  const id = source.uvarint()
  const readings = source.uvarint()
  return { id, readings, complete: readFlag(source, 'completeness of a recall') }
}

function checkClasses(classes: readonly ClassCounters[], refuse: (what: string) => TributaryError): void {
  const names = classes.map(one => one.class)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined) throw refuse(`counters of class ${twice} stand twice`)
}

function readList<T>(source: ByteReader, max: number, what: string, readOne: (source: ByteReader) => T): T[] {
  const count = atMost(source.uvarint(), max, what)
  const list: T[] = []
  for (let i = 0; i < count; i++) list.push(readOne(source))
  return list
}

function atMost(count: number, max: number, what: string): number {
  if (count > max) throw new TributaryError('too-large', `batch holds ${count} ${what}, at most ${max} allowed`)
  return count
}

function readLoss(source: ByteReader): LossRange {
  return {
    epoch: source.uvarint(),
    fromSeq: source.uvarint(),
    toSeq: source.uvarint(),
    readings: source.uvarint(),
    exact: readFlag(source, 'exactness of a loss'),
    reason: readString(source, reasonBounds),
  }
}

function readFlag(source: ByteReader, what: string): boolean {
  const byte = source.u8()
  if (byte > 1) throw malformed(`${what} is ${byte}, not 0 or 1`)
  return byte === 1
}

function epochField(epoch: number, refuse: (what: string) => TributaryError): number {
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > maxEpoch) throw refuse(`epoch is ${epoch}, not 1 … 2^48 − 1`)
  return epoch
}

function malformedField(what: string): TributaryError {
  return new TributaryError('malformed', `batch cannot be encoded: ${what}`)
}

function formatUuid(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
