/**
 * A row: the readings of one commit, in order of arrival, as one blob.
 *
 * Layout (varint = LEB128, signed = zig-zag varint, text = varint length + UTF-8, f64 = little endian):
 *   u8 version = 3 · counters after this commit
 *   varint readings · varint series · per series 3 × (varint shared prefix with the same part of the series before, text rest):
 *   device, metric, unit
 *   per reading: varint series index · u8 tag · time · value
 *   u8 form of the marks: 0 no reading has any; 1 per series u8 mark; 2 varint runs, per run: varint readings, u8 mark
 *   text boot id when a mark is `unplaced`
 * A row of aggregates has no readings here, and its parts behind it (aggregate-row.ts).
 * Counters: 7 varints (accepted, stored, suppressed, deadLettered, evicted, maybeDuplicate, folded) · u8 classes (0 … 2), those with
 *   anything to count, per class: u8 class (1 aggregate, 2 alarm), 5 varints (accepted, stored, folded, suppressed, evicted). Raw is
 *   what remains of the totals, so that a buffer without policies pays two bytes.
 * Version 2: 6 counters without `folded` and classes; marks always as runs, 0 of them when no reading has any. Version 1 ends before
 * the marks.
 * Tag: bits 0–1 quality, bits 2–3 kind, bits 4–6 detail, bit 7 time as f64 (else signed tsUs − tsUs of the reading before):
 *   kind 0  f64
 *   kind 1  signed difference to the last mantissa of the same series; detail = decimals 0 … 4, value = mantissa / 10^decimals
 *   kind 2  nothing; detail = 0 false, 1 true
 *   kind 3  text
 * Numbers come back bit for bit: kind 1 is used only where the division gives the value again (never for −0, NaN, ±Infinity).
 * About 6 bytes a reading in groups of 1000.
 */
import { TributaryError } from '@tributary/shared/errors'
import { limits, type Quality } from '@tributary/shared/reading'
import { ByteReader, ByteWriter } from './bytes.ts'
import {
  type ClassCounters,
  type ClassCounts,
  type Counters,
  type SeriesClass,
  seriesClasses,
  withClasses,
} from './counters.ts'

/** Readings as columns; entries at and above `readings` mean nothing. */
export interface RowColumns {
  readonly readings: number
  /** device, metric, unit of each series, one after another. */
  readonly names: readonly string[]
  readonly series: Uint32Array
  /** Quality | kind << 2, kind as in the layout but never 1. */
  readonly tags: Uint8Array
  readonly tsUs: Float64Array
  /** The number, 0 or 1, or the index in `strings`. */
  readonly values: Float64Array
  readonly strings: readonly string[]
  /** `Mark` bits of each reading. */
  readonly marks: Uint8Array
  /** The boot whose monotonic clock gave the times of the unplaced readings; '' when there are none. */
  readonly boot: string
}

export const emptyRow: RowColumns = {
  readings: 0,
  names: [],
  strings: [],
  series: new Uint32Array(0),
  tags: new Uint8Array(0),
  tsUs: new Float64Array(0),
  values: new Float64Array(0),
  marks: new Uint8Array(0),
  boot: '',
}

export interface DecodedRow {
  readonly counters: Counters
  readonly columns: RowColumns
  /** What follows: the parts of a row of aggregates (aggregate-row.ts). */
  readonly rest?: Uint8Array
}

export const Kind = { number: 0, decimal: 1, boolean: 2, string: 3 } as const

/** What is to be known of a reading besides its contents. */
export const Mark = {
  /** Not sent as it is: its policy folds it into aggregates, or keeps it for a recall. */
  held: 1,
  /** `tsUs` is the monotonic clock of the row's boot, whose place in time was not known yet. */
  unplaced: 2,
  /** Of a series of class alarm: given up last. */
  alarm: 4,
  /** A copy of a held reading that the hub asked for: sent, and folded once already. */
  recalled: 8,
  /** Counted with an earlier row, out of which it was moved here (carry.ts). */
  moved: 16,
  /** Sent, and folded by its policy as well. */
  both: 32,
} as const

/** The class that a reading's mark puts it in. */
export function classOf(mark: number): SeriesClass {
  if (mark & Mark.held) return 'aggregate'
  return mark & Mark.alarm ? 'alarm' : 'raw'
}

/** Readings from one index to another by class. */
export function classesIn({ marks, readings }: RowColumns, from = 0, to = readings): ClassCounts {
  const counts = { raw: 0, aggregate: 0, alarm: 0 }
  for (let index = from; index < to; index++) counts[classOf(marks[index] as number)]++
  return counts
}

export function tagOf(quality: Quality, kind: number): number {
  return quality | (kind << 2)
}

const version = 3
const allMarks = Mark.held | Mark.unplaced | Mark.alarm | Mark.recalled | Mark.moved | Mark.both
const markForm = { none: 0, bySeries: 1, runs: 2 } as const
const maxDecimals = 4
const powers = [1, 10, 100, 1000, 10_000]
/** Differences of mantissas stay safe integers after zig-zag. */
const maxMantissa = 2 ** 50
/** 142 years; the first reading of a row counts from 1970. */
const maxTimeDifferenceUs = 2 ** 52 - 1
const absoluteTime = 0x80
const noMark = 0xff
const writer = new ByteWriter(64 * 1024)

export function encodeRow(columns: RowColumns, counters: Counters): Uint8Array {
  writer.reset()
  writer.byte(version)
  writeCounters(counters)
  writer.varint(columns.readings)
  writeNames(columns.names)
  const mantissas = new Float64Array(columns.names.length / 3)
  const decimals = new Uint8Array(columns.names.length / 3)
  let beforeUs = 0
  for (let index = 0; index < columns.readings; index++) {
    const series = columns.series[index] as number
    const tag = columns.tags[index] as number
    const tsUs = columns.tsUs[index] as number
    const value = columns.values[index] as number
    const kind = tag >> 2
    const places = kind === Kind.number ? decimalPlaces(value, decimals[series] as number) : -1
    writer.varint(series)
    if (places >= 0) {
      const mantissa = Math.round(value * (powers[places] as number))
      writeTagAndTime((tag & 3) | (Kind.decimal << 2) | (places << 4), tsUs, beforeUs)
      writer.signed(mantissa - (mantissas[series] as number))
      mantissas[series] = mantissa
      decimals[series] = places
    } else {
      writeTagAndTime(kind === Kind.boolean ? tag | (value << 4) : tag, tsUs, beforeUs)
      if (kind === Kind.number) writer.float64(value)
      else if (kind === Kind.string) writer.text(columns.strings[value] as string)
    }
    beforeUs = tsUs
  }
  writeMarks(columns)
  return writer.take()
}

function writeMarks(columns: RowColumns): void {
  const { readings, marks, boot } = columns
  let all = 0
  for (let index = 0; index < readings; index++) all |= marks[index] as number
  const ofSeries = all === 0 ? null : marksOfSeries(columns)
  if (all === 0) writer.byte(markForm.none)
  else if (ofSeries) {
    writer.byte(markForm.bySeries)
    for (const mark of ofSeries) writer.byte(mark)
  } else {
    writer.byte(markForm.runs)
    writeRuns(marks, readings)
  }
  if (all & Mark.unplaced) writer.text(boot)
}

/** The mark of each series; null when readings of one series have different ones. */
function marksOfSeries({ readings, names, series, marks }: RowColumns): Uint8Array | null {
  const ofSeries = new Uint8Array(names.length / 3).fill(noMark)
  for (let index = 0; index < readings; index++) {
    const at = series[index] as number
    const mark = marks[index] as number
    if (ofSeries[at] === noMark) ofSeries[at] = mark
    else if (ofSeries[at] !== mark) return null
  }
  return ofSeries.map(mark => (mark === noMark ? 0 : mark))
}

function writeRuns(marks: Uint8Array, readings: number): void {
  const runs: number[] = []
  for (let index = 0; index < readings; index++) {
    const mark = marks[index] as number
    if (mark === runs.at(-1)) runs[runs.length - 2] = (runs.at(-2) as number) + 1
    else runs.push(1, mark)
  }
  writer.varint(runs.length / 2)
  for (let at = 0; at < runs.length; at += 2) {
    writer.varint(runs[at] as number)
    writer.byte(runs[at + 1] as number)
  }
}

function writeTagAndTime(tag: number, tsUs: number, beforeUs: number): void {
  const difference = tsUs - beforeUs
  if (Math.abs(difference) <= maxTimeDifferenceUs) {
    writer.byte(tag)
    writer.signed(difference)
  } else {
    writer.byte(tag | absoluteTime)
    writer.float64(tsUs)
  }
}

function writeCounters(counters: Counters): void {
  writer.varint(counters.accepted)
  writer.varint(counters.stored)
  writer.varint(counters.suppressed)
  writer.varint(counters.deadLettered)
  writer.varint(counters.evicted)
  writer.varint(counters.maybeDuplicate)
  writer.varint(counters.folded)
  const told = counters.classes.filter(one => one.class !== 'raw' && one.accepted > 0)
  writer.byte(told.length)
  for (const one of told) {
    writer.byte(seriesClasses.indexOf(one.class))
    writer.varint(one.accepted)
    writer.varint(one.stored)
    writer.varint(one.folded)
    writer.varint(one.suppressed)
    writer.varint(one.evicted)
  }
}

function writeNames(names: readonly string[]): void {
  writer.varint(names.length / 3)
  for (let index = 0; index < names.length; index++) {
    writer.textAfter(names[index] as string, names[index - 3] ?? '')
  }
}

/** Decimals that give the number back exactly, tried from those of the series' reading before; −1 when there are none. */
function decimalPlaces(value: number, first: number): number {
  if (isDecimal(value, first)) return first
  for (let places = 0; places <= maxDecimals; places++) {
    if (places !== first && isDecimal(value, places)) return places
  }
  return -1
}

function isDecimal(value: number, places: number): boolean {
  const power = powers[places] as number
  const mantissa = Math.round(value * power)
  return mantissa / power === value && Math.abs(mantissa) <= maxMantissa && (mantissa !== 0 || !Object.is(value, -0))
}

/** Counters alone: what a start needs of the last row. */
export function decodeRowCounters(bytes: Uint8Array): Counters {
  const reader = new ByteReader(bytes)
  return readCounters(reader, readVersion(reader))
}

function readVersion(reader: ByteReader): number {
  const found = reader.byte()
  if (found < 1 || found > version) {
    throw new TributaryError(
      'unsupported-version',
      `a buffer row has layout ${found}; this build reads 1 to ${version}`,
    )
  }
  return found
}

function readCounters(reader: ByteReader, found: number): Counters {
  const six = {
    accepted: reader.varint(),
    stored: reader.varint(),
    suppressed: reader.varint(),
    deadLettered: reader.varint(),
    evicted: reader.varint(),
    maybeDuplicate: reader.varint(),
  }
  if (found < 3) return withClasses(six)
  const folded = reader.varint()
  const told: ClassCounters[] = []
  for (let left = reader.byte(); left > 0; left--) {
    const name = seriesClasses[reader.byte()]
    if (name === undefined || name === 'raw')
      throw new TributaryError('corrupt', 'a buffer row counts an unknown class')
    told.push({
      class: name,
      accepted: reader.varint(),
      stored: reader.varint(),
      folded: reader.varint(),
      suppressed: reader.varint(),
      evicted: reader.varint(),
    })
  }
  return withClasses({ ...six, folded }, told)
}

export function decodeRow(bytes: Uint8Array): DecodedRow {
  const reader = new ByteReader(bytes)
  const found = readVersion(reader)
  const counters = readCounters(reader, found)
  const readings = reader.varint()
  if (readings > reader.left) throw new TributaryError('corrupt', 'a buffer row counts more readings than it has bytes')
  const names = readNames(reader)
  const columns = {
    readings,
    names,
    series: new Uint32Array(readings),
    tags: new Uint8Array(readings),
    tsUs: new Float64Array(readings),
    values: new Float64Array(readings),
    strings: [] as string[],
    marks: new Uint8Array(readings),
    boot: '',
  }
  const mantissas = new Float64Array(names.length / 3)
  let tsUs = 0
  for (let index = 0; index < readings; index++) {
    const series = reader.varint()
    if (series >= mantissas.length)
      throw new TributaryError('corrupt', 'a buffer row names a series that it does not define')
    const tag = reader.byte()
    const kind = (tag >> 2) & 3
    tsUs = tag & absoluteTime ? reader.float64() : tsUs + reader.signed()
    columns.series[index] = series
    columns.tsUs[index] = tsUs
    columns.tags[index] = (tag & 3) | ((kind === Kind.decimal ? Kind.number : kind) << 2)
    if (kind === Kind.number) columns.values[index] = reader.float64()
    else if (kind === Kind.boolean) columns.values[index] = (tag >> 4) & 1
    else if (kind === Kind.string) columns.values[index] = columns.strings.push(readString(reader)) - 1
    else {
      const mantissa = (mantissas[series] as number) + reader.signed()
      mantissas[series] = mantissa
      columns.values[index] = mantissa / (powers[Math.min((tag >> 4) & 7, maxDecimals)] as number)
    }
  }
  if (found >= 2) columns.boot = readMarks(reader, found, columns)
  return { counters, columns, ...(reader.left > 0 && { rest: reader.raw(reader.left) }) }
}

/** Fills the marks; returns the boot that they are of. */
function readMarks(reader: ByteReader, found: number, { series, marks, names }: RowColumns): string {
  const form = found >= 3 ? reader.byte() : markForm.runs
  if (form === markForm.bySeries) {
    const ofSeries = Uint8Array.from({ length: names.length / 3 }, () => readMark(reader))
    for (let index = 0; index < marks.length; index++) marks[index] = ofSeries[series[index] as number] as number
  } else if (form === markForm.runs) {
    readRuns(reader, marks)
  } else if (form !== markForm.none) {
    throw new TributaryError('corrupt', 'the marks of a buffer row have an unknown form')
  }
  return marks.some(mark => (mark & Mark.unplaced) !== 0) ? reader.text() : ''
}

function readRuns(reader: ByteReader, marks: Uint8Array): void {
  const runs = reader.varint()
  let at = 0
  for (let run = 0; run < runs; run++) {
    const length = reader.varint()
    if (length === 0 || length > marks.length - at)
      throw new TributaryError('corrupt', 'the marks of a buffer row do not fit its readings')
    marks.fill(readMark(reader), at, at + length)
    at += length
  }
  if (runs > 0 && at !== marks.length) throw new TributaryError('corrupt', 'a buffer row has readings without marks')
}

function readMark(reader: ByteReader): number {
  const mark = reader.byte()
  if (mark > allMarks) throw new TributaryError('corrupt', 'a reading in a buffer row has an unknown mark')
  return mark
}

function readString(reader: ByteReader): string {
  const text = reader.text()
  if (text.length > limits.stringBytes) throw new TributaryError('corrupt', 'a stored string is longer than its limit')
  return text
}

function readNames(reader: ByteReader): string[] {
  const count = reader.varint() * 3
  if (count > reader.left) throw new TributaryError('corrupt', 'a buffer row counts more series than it has bytes')
  const names: string[] = []
  for (let index = 0; index < count; index++) names.push(reader.textAfter(names[index - 3] ?? ''))
  return names
}
