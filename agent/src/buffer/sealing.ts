/**
 * Sealing: the oldest unsent readings of a lane become a batch that never changes.
 *
 * Readings are taken in the order of their rows, at most `maxReadings`; a row may be split. The body, and with it the interval that it
 * was taken from, is stored and fsynced before it is returned. A group of readings that the batch layout refuses (too large) is halved until it fits; one
 * reading that never fits goes to the ledger, so that it cannot stop what follows.
 *
 * Sealing comes to rest before a row whose boot has no place in time yet (place.ts). Nothing is delayed by that: the hub cannot be reached
 * and not be asked for its time, which places every row there is.
 */

import type { BatchHeader, SeriesColumns } from '@tributary/shared/batch/batch'
import { encodeBatch } from '@tributary/shared/batch/codec'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import { batchLimits, type Lane } from '@tributary/shared/protocol'
import type { Quality, Value } from '@tributary/shared/reading'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { aggregateColumns, decodeAggregateRow, foldedInto } from './aggregate-row.ts'
import type { SealedBatch } from './buffer.ts'
import { type ClassCounts, plus } from './counters.ts'
import { place } from './place.ts'
import { type Cursor, isBefore, touches, type UnsealedRange } from './ranges.ts'
import { countWithin } from './recount.ts'
import { repairing } from './repair.ts'
import { classesIn, decodeRow, Kind, type RowColumns } from './row-codec.ts'
import { type DecodedAt, fileToRead, floorOf, flushState, loseUnsealed, type StoreState, writeMark } from './state.ts'
import type { StoredRow } from './stored-records.ts'

/** What the API's side knows of the header: who, and its clocks at the moment of sealing. */
export type SealHeader = Pick<BatchHeader, 'agentId' | 'bootId' | 'monotonicUs' | 'wallUs'>

interface Part {
  readonly columns: RowColumns
  readonly from: number
  readonly to: number
}

interface Taken {
  readonly range: UnsealedRange
  readonly parts: Part[]
  readonly aggregates: ClosedPart[]
  /** Readings and aggregates. */
  readonly count: number
  readonly first: Cursor
  readonly next: Cursor
  /** What follows has no place in time yet. */
  readonly waits: boolean
}

/** String bytes in one batch stay well below `batchLimits.inflatedBytes`. */
const maxStringUnits = 2 * 1024 * 1024

/** Rows decoded that are kept: one a lane. */
const keptDecoded = 2

/** The next batch of a lane: `live` from the open range, `backlog` from the oldest closed one; null when it holds nothing. */
export function seal(state: StoreState, maxReadings: number, lane: Lane, header: SealHeader): SealedBatch | null {
  let limit = Math.min(maxReadings, batchLimits.readings)
  if (!(limit >= 1))
    throw new TributaryError('unprocessable', `a batch of at most ${maxReadings} readings cannot be sealed`)
  for (;;) {
    const range = lane === 'live' ? state.unsealed.live : state.unsealed.behind[0]
    if (!range) return null
    const taken = take(state, range, limit)
    if (taken.count === 0) {
      if (taken.waits) return null
      pass(state, taken)
      if (lane === 'live') return null
      continue
    }
    try {
      return sealTaken(state, taken, header)
    } catch (error) {
      if (!isTributaryError(error, 'too-large') && !isTributaryError(error, 'malformed')) throw error
      checkHeader(state, header)
      if (taken.count === 1) {
        state.notices.push(`a reading or aggregate cannot be sent: ${messageOf(error)}`)
        pass(state, taken)
        loseUnsealed(state, classesOfTaken(taken), true, 'unsendable')
        flushState(state)
      } else {
        limit = Math.ceil(taken.count / 2)
      }
    }
  }
}

/** Throws when it is the header that cannot be encoded: no reading is to blame then. */
function checkHeader(state: StoreState, header: SealHeader): void {
  const { epoch, counters } = state
  encodeBatch({
    header: { ...header, epoch, seq: 1, counters, losses: [], recallsDone: [] },
    columns: [],
    aggregates: [],
  })
}

function sealTaken(state: StoreState, taken: Taken, header: SealHeader): SealedBatch {
  const epoch = state.epochs.get(state.epoch)
  const { nextSeq: seq } = epoch
  const losses = state.ledger.carry(state.epoch, seq)
  const recallsDone = state.recalls.carry({ epoch: state.epoch, seq }, row => isSealed(state, row, taken))
  const columns = batchColumns(taken.parts)
  const body = encodeBatch({
    header: { ...header, epoch: state.epoch, seq, counters: state.counters, losses, recallsDone },
    columns,
    aggregates: aggregateColumns(taken.aggregates),
  })
  const newestUs = newest(columns, taken.aggregates)
  const place = {
    firstRow: taken.first.row,
    firstOffset: taken.first.offset,
    nextRow: taken.next.row,
    nextOffset: taken.next.offset,
  }
  const { raw, alarm: alarms, aggregate, thinned = 0 } = classesOfTaken(taken)
  const readings = raw + alarms
  const counted = { readings, alarms, aggregated: aggregate + thinned, thinned }
  const batch = { epoch: state.epoch, seq, ...place, ...counted, newestUs, body }
  state.tail.transaction(() => state.tail.putBatch(batch))
  state.epochs.sealed(batch, state.tailNo)
  state.fold.counts.sealed += taken.aggregates.length
  pass(state, taken)
  writeMark(state)
  const { length: aggregates } = taken.aggregates
  return { epoch: state.epoch, seq, body, readings, aggregates, newestUs, floor: floorOf(state, state.epoch) }
}

/** Is all of a row in batches, once what was taken is? */
function isSealed(state: StoreState, row: number, { range: takenFrom, next }: Taken): boolean {
  return !state.unsealed.all.some(range => touches(range === takenFrom ? { ...range, from: next } : range, row, row))
}

/** Of its aggregates, the readings that leave the gateway in them alone. */
function classesOfTaken({ parts, aggregates }: Taken): ClassCounts {
  return parts.reduce((sum, { columns, from, to }) => plus(sum, classesIn(columns, from, to)), foldedInto(aggregates))
}

/** The range begins after what was taken; a closed one that holds nothing more is gone, whatever empty rows it ends with. */
function pass(state: StoreState, { range, first, next, count }: Taken): void {
  if (!isBefore(first, next)) return
  state.unsealed.advance(range, next, count)
  state.dirty = true
  if (range.to === null || range.readings > 0 || !isBefore(range.from, range.to)) return
  const { count: left, waits } = take(state, range, 1)
  if (left === 0 && !waits) state.unsealed.advance(range, range.to, 0)
}

/**
 * Close the open range before the rows that came within `freshMs`, so that they and what follows go by the live lane. Durable when it
 * returns. False when there is nothing older, or too many ranges.
 */
export function splitLanes(state: StoreState, freshMs: number): boolean {
  const row = state.arrivals.firstWithin(freshMs, performance.now()) ?? state.lastRow + 1
  const at = { row, offset: 0 }
  const readingsAfter = countWithin(state, { from: at, to: null, readings: 0 })
  if (!state.unsealed.split(at, readingsAfter)) return false
  state.dirty = true
  flushState(state)
  return true
}

/** Up to `limit` readings and aggregates from the start of the range on. */
function take(state: StoreState, range: UnsealedRange, limit: number): Taken {
  const parts: Part[] = []
  const aggregates: ClosedPart[] = []
  const names = new Set<string>()
  let count = 0
  let strings = 0
  let waits = false
  const first = range.from
  let next = first
  while (count < limit && strings <= maxStringUnits) {
    const row = rowIn(state, range, next)
    if (!row) {
      next = range.to ?? next
      break
    }
    const columns = placedColumns(state, row)
    if (!columns) {
      waits = true
      break
    }
    const from = row.n === next.row ? next.offset : 0
    if (row.toSend > 0 && !fits(names, row) && count > 0) break
    const end = row.n === range.to?.row ? Math.min(row.toSend, range.to.offset) : row.toSend
    const room = row.aggregates ? Math.min(limit - count, batchLimits.aggregates - aggregates.length) : limit - count
    let to = Math.min(end, from + room)
    for (let index = from; index < to && !row.aggregates; index++) {
      if ((columns.tags[index] as number) >> 2 !== Kind.string) continue
      strings += (columns.strings[columns.values[index] as number] as string).length
      if (strings > maxStringUnits && count + index - from > 0) to = index
    }
    if (row.aggregates) aggregates.push(...row.aggregates.parts.slice(from, to))
    else if (to > from) parts.push({ columns, from, to })
    count += Math.max(0, to - from)
    next = to >= row.toSend ? { row: row.n + 1, offset: 0 } : { row: row.n, offset: to }
    if (row.aggregates && to < end) break
  }
  return { range, parts, aggregates, count, first, next, waits }
}

/** The row's columns with their times, kept so for the next look; null while its boot has no place in time. */
function placedColumns(state: StoreState, row: DecodedAt): RowColumns | null {
  const columns = place(state.times, row.columns)
  if (columns === null || columns === row.columns) return columns
  state.decoded = state.decoded.map(known => (known.n === row.n ? { ...row, columns } : known))
  return columns
}

/** Adds the row's series to `names` unless the batch would hold too many. */
function fits(names: Set<string>, { columns, aggregates }: DecodedAt): boolean {
  const added = new Set<string>()
  for (let index = 0; index < columns.names.length; index += 3) {
    added.add(`${columns.names[index]}\0${columns.names[index + 1]}\0${columns.names[index + 2]}`)
  }
  for (const { series } of aggregates?.parts ?? []) added.add(`${series.device}\0${series.metric}\0${series.unit}`)
  for (const name of added) if (names.has(name)) added.delete(name)
  if (names.size + added.size > batchLimits.series) return false
  for (const name of added) names.add(name)
  return true
}

/** The row at `position`, or the first after it, as long as it is in the range. */
function rowIn(state: StoreState, range: UnsealedRange, position: Cursor): DecodedAt | null {
  if (range.to !== null && !isBefore(position, range.to)) return null
  const row = rowAt(state, position.row)
  if (!row || range.to === null) return row
  const at = row.n === position.row ? position : { row: row.n, offset: 0 }
  return isBefore(at, range.to) ? row : null
}

/** The first row with a number of at least `n`, decoded, or null when there is none. */
export function rowAt(state: StoreState, n: number): DecodedAt | null {
  const known = state.decoded.find(row => row.n === n)
  if (known) return known
  if (n > state.lastRow) return null
  const closed = state.closed.find(file => file.lastRow >= n)
  const no = closed?.no ?? state.tailNo
  const found = repairing(state, no, () => {
    const stored = fileToRead(state, no).rowFrom(n)
    if (closed && !closed.holes && (stored === null || stored.n !== Math.max(n, closed.firstRow))) {
      throw new TributaryError('corrupt', `row ${n} is missing in file ${no}`)
    }
    return stored && decodedAt(stored)
  })
  if (found === 'repaired') return rowAt(state, n)
  if (found) {
    state.decoded = [found, ...state.decoded].slice(0, keptDecoded)
    return found
  }
  return closed ? rowAt(state, closed.lastRow + 1) : null
}

function decodedAt({ n, readings, held, data }: StoredRow): DecodedAt {
  const { columns, rest } = decodeRow(data)
  return { n, columns, aggregates: rest ? decodeAggregateRow(rest) : null, toSend: readings - held }
}

/** The oldest event time in the row that the oldest range is sealed from next; null when nothing waits, or that has no time yet. */
export function oldestUnsealedUs(state: StoreState): number | null {
  const range = state.unsealed.all.find(({ readings }) => readings > 0)
  const row = range ? rowIn(state, range, range.from) : null
  if (!range || !row) return null
  const from = row.n === range.from.row ? range.from.offset : 0
  if (row.aggregates) return Math.min(...row.aggregates.parts.slice(from).map(({ startUs }) => startUs))
  const columns = placedColumns(state, row)
  if (!columns) return null
  return columns.tsUs.subarray(from, row.toSend).reduce((oldest, time) => Math.min(oldest, time), Infinity)
}

function batchColumns(parts: readonly Part[]): SeriesColumns[] {
  const builders = new Map<string, SeriesBuilder>()
  for (const { columns, from, to } of parts) {
    const ofRow: (SeriesBuilder | undefined)[] = []
    for (let index = from; index < to; index++) {
      const series = columns.series[index] as number
      const builder = ofRow[series] ?? builderOf(builders, columns.names, series)
      ofRow[series] = builder
      builder.add(columns, index)
    }
  }
  return [...builders.values()].map(builder => builder.columns())
}

function builderOf(builders: Map<string, SeriesBuilder>, names: readonly string[], series: number): SeriesBuilder {
  const [device = '', metric = '', unit = ''] = names.slice(series * 3, series * 3 + 3)
  const key = `${device}\0${metric}\0${unit}`
  let builder = builders.get(key)
  if (!builder) {
    builder = new SeriesBuilder(device, metric, unit)
    builders.set(key, builder)
  }
  return builder
}

class SeriesBuilder {
  private readonly device: string
  private readonly metric: string
  private readonly unit: string
  private readonly tsUs: number[] = []
  private readonly values: Value[] = []
  private readonly qualities: Quality[] = []
  private numbers = true
  private good = true

  constructor(device: string, metric: string, unit: string) {
    this.device = device
    this.metric = metric
    this.unit = unit
  }

  add(columns: RowColumns, index: number): void {
    const tag = columns.tags[index] as number
    const quality = (tag & 3) as Quality
    const value = columns.values[index] as number
    this.tsUs.push(columns.tsUs[index] as number)
    this.qualities.push(quality)
    if (quality !== 0) this.good = false
    if (tag >> 2 === Kind.number) {
      this.values.push(value)
      return
    }
    this.numbers = false
    this.values.push(tag >> 2 === Kind.boolean ? value === 1 : (columns.strings[value] as string))
  }

  columns(): SeriesColumns {
    return {
      series: { device: this.device, metric: this.metric, unit: this.unit },
      tsUs: Float64Array.from(this.tsUs),
      values: this.numbers ? Float64Array.from(this.values as number[]) : this.values,
      quality: this.good ? null : Uint8Array.from(this.qualities),
    }
  }
}

/** Newest event time; of an aggregate the end of its window. */
function newest(columns: readonly SeriesColumns[], aggregates: readonly ClosedPart[]): number {
  let newestUs = -Infinity
  for (const { startUs, sizeUs } of aggregates) newestUs = Math.max(newestUs, startUs + sizeUs)
  for (const { tsUs } of columns) for (const time of tsUs) if (time > newestUs) newestUs = time
  return newestUs
}
