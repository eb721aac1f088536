/**
 * Sealing: the oldest unsent readings become a batch that never changes.
 *
 * Readings are taken in the order of their rows, at most `maxReadings`; a row may be split, the cursor says where. The body is stored
 * and fsynced before it is returned. A group of readings that the batch layout refuses (too large) is halved until it fits; one
 * reading that never fits goes to the ledger, so that it cannot stop what follows.
 */

import type { BatchHeader, SeriesColumns } from '@tributary/shared/batch/batch'
import { encodeBatch } from '@tributary/shared/batch/codec'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import { batchLimits } from '@tributary/shared/protocol'
import type { Quality, Value } from '@tributary/shared/reading'
import type { SealedBatch } from './buffer.ts'
import { repairing } from './repair.ts'
import { decodeRow, Kind, type RowColumns } from './row-codec.ts'
import { type Cursor, fileToRead, flushState, loseUnsealed, type StoreState, writeMark } from './state.ts'

/** What the API's side knows of the header: who, and its clocks at the moment of sealing. */
export type SealHeader = Pick<BatchHeader, 'agentId' | 'bootId' | 'monotonicUs' | 'wallUs'>

interface Part {
  readonly columns: RowColumns
  readonly from: number
  readonly to: number
}

interface Taken {
  readonly parts: Part[]
  readonly readings: number
  readonly next: Cursor
}

/** String bytes in one batch stay well below `batchLimits.inflatedBytes`. */
const maxStringUnits = 2 * 1024 * 1024

export function seal(state: StoreState, maxReadings: number, header: SealHeader): SealedBatch | null {
  let limit = Math.min(maxReadings, batchLimits.readings)
  if (!(limit >= 1))
    throw new TributaryError('unprocessable', `a batch of at most ${maxReadings} readings cannot be sealed`)
  for (;;) {
    const taken = take(state, limit)
    if (taken.readings === 0) {
      moveCursor(state, taken)
      return null
    }
    try {
      return sealTaken(state, taken, header)
    } catch (error) {
      if (!isTributaryError(error, 'too-large') && !isTributaryError(error, 'malformed')) throw error
      checkHeader(state, header)
      if (taken.readings === 1) {
        state.notices.push(`a reading cannot be sent: ${messageOf(error)}`)
        moveCursor(state, taken)
        loseUnsealed(state, 1, true, 'unsendable')
        flushState(state)
      } else {
        limit = Math.ceil(taken.readings / 2)
      }
    }
  }
}

/** Throws when it is the header that cannot be encoded: no reading is to blame then. */
function checkHeader(state: StoreState, header: SealHeader): void {
  const { epoch, counters } = state
  encodeBatch({ header: { ...header, epoch, seq: 1, counters, losses: [] }, columns: [] })
}

function sealTaken(state: StoreState, taken: Taken, header: SealHeader): SealedBatch {
  const epoch = state.epochs.get(state.epoch)
  const { nextSeq: seq } = epoch
  const losses = state.ledger.carry(state.epoch, seq)
  const columns = batchColumns(taken.parts)
  const body = encodeBatch({
    header: { ...header, epoch: state.epoch, seq, counters: state.counters, losses },
    columns,
  })
  const newestUs = newest(columns)
  const { row: nextRow, offset: nextOffset } = taken.next
  const batch = { epoch: state.epoch, seq, nextRow, nextOffset, readings: taken.readings, newestUs, body }
  state.tail.transaction(() => state.tail.putBatch(batch))
  state.epochs.sealed(batch, state.tailNo)
  moveCursor(state, taken)
  writeMark(state)
  return { epoch: state.epoch, seq, body, readings: taken.readings, newestUs, floor: state.epochs.floor(state.epoch) }
}

function moveCursor(state: StoreState, taken: Taken): void {
  if (state.cursor.row === taken.next.row && state.cursor.offset === taken.next.offset) return
  state.cursor = taken.next
  state.unsealed -= taken.readings
  state.dirty = true
}

/** Up to `limit` readings from the cursor on. */
function take(state: StoreState, limit: number): Taken {
  const parts: Part[] = []
  const names = new Set<string>()
  let readings = 0
  let strings = 0
  let next = state.cursor
  while (readings < limit) {
    const row = rowAt(state, next.row)
    if (!row) break
    const { columns } = row
    const from = row.n === next.row ? next.offset : 0
    if (parts.length > 0 && !fits(names, columns)) break
    let to = Math.min(columns.readings, from + limit - readings)
    for (let index = from; index < to; index++) {
      if ((columns.tags[index] as number) >> 2 !== Kind.string) continue
      strings += (columns.strings[columns.values[index] as number] as string).length
      if (strings > maxStringUnits && readings + index - from > 0) to = index
    }
    if (to > from) parts.push({ columns, from, to })
    readings += to - from
    next = to === columns.readings ? { row: row.n + 1, offset: 0 } : { row: row.n, offset: to }
    if (strings > maxStringUnits) break
  }
  return { parts, readings, next }
}

/** Adds the row's series to `names` unless the batch would hold too many. */
function fits(names: Set<string>, columns: RowColumns): boolean {
  const added: string[] = []
  for (let index = 0; index < columns.names.length; index += 3) {
    const name = `${columns.names[index]}\0${columns.names[index + 1]}\0${columns.names[index + 2]}`
    if (!names.has(name)) added.push(name)
  }
  if (names.size + added.length > batchLimits.series) return false
  for (const name of added) names.add(name)
  return true
}

/** The first row with a number of at least `n`, decoded, or null when there is none. */
function rowAt(state: StoreState, n: number): { n: number; columns: RowColumns } | null {
  if (state.decoded?.n === n) return state.decoded
  if (n > state.lastRow) return null
  const closed = state.closed.find(file => file.lastRow >= n)
  const no = closed?.no ?? state.tailNo
  const found = repairing(state, no, () => {
    const stored = fileToRead(state, no).rowFrom(n)
    if (closed && !closed.holes && (stored === null || stored.n !== Math.max(n, closed.firstRow))) {
      throw new TributaryError('corrupt', `row ${n} is missing in file ${no}`)
    }
    return stored && { n: stored.n, columns: decodeRow(stored.data).columns }
  })
  if (found === 'repaired') return rowAt(state, n)
  if (found) {
    state.decoded = found
    return found
  }
  return closed ? rowAt(state, closed.lastRow + 1) : null
}

/** The oldest event time in the row that is sealed next; null when nothing waits. */
export function oldestUnsealedUs(state: StoreState): number | null {
  const row = state.unsealed > 0 ? rowAt(state, state.cursor.row) : null
  if (!row) return null
  const from = row.n === state.cursor.row ? state.cursor.offset : 0
  return row.columns.tsUs
    .subarray(from, row.columns.readings)
    .reduce((oldest, time) => Math.min(oldest, time), Infinity)
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

function newest(columns: readonly SeriesColumns[]): number {
  let newestUs = -Infinity
  for (const { tsUs } of columns) for (const time of tsUs) if (time > newestUs) newestUs = time
  return newestUs
}
