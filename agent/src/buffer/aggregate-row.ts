/**
 * A row of aggregates: parts of windows that closed, to be sent like readings. It holds no readings; its contents stand behind those of an
 * empty row (row-codec.ts), and its `readings` in the table is their number.
 *
 * Layout: varint folded to · varint texts/3 · per series device, metric, unit as in a row of readings · varint parts · per part varint
 *   series index · varint size µs · varint hop µs · signed start µs · varint revision · varint folded · varint bytes, aggregate
 *   · u8 1 when the parts are of thinned readings (thin.ts), nothing else
 * `folded to` is the row up to which readings were folded when these parts closed: a start folds up to it and drops them again, so
 * that it goes on with the windows that were open, whatever closed the others (a later reading, a clock, a bound).
 */
import type { SeriesAggregates } from '@tributary/shared/batch/batch'
import { TributaryError } from '@tributary/shared/errors'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { type ClassCounts, noReadings, plus } from './counters.ts'

export interface AggregateRow {
  /** 0 for parts that were moved here from another row, and for those of thinned readings. */
  readonly foldedTo: number
  /** All thinned, or none. */
  readonly parts: readonly ClosedPart[]
}

/** Parts of a row; with their series far below the limits of a batch. */
const maxParts = 500
const thinnedRow = 1
const writer = new ByteWriter(16 * 1024)

export function encodeAggregateRow({ foldedTo, parts }: AggregateRow): Uint8Array {
  const series = new Map<string, number>()
  const names: string[] = []
  for (const { series: name } of parts) {
    const key = keyOf(name)
    if (series.has(key)) continue
    series.set(key, series.size)
    names.push(name.device, name.metric, name.unit)
  }
  writer.reset()
  writer.varint(foldedTo)
  writer.varint(series.size)
  for (const [index, text] of names.entries()) writer.textAfter(text, names[index - 3] ?? '')
  writer.varint(parts.length)
  for (const part of parts) {
    writer.varint(series.get(keyOf(part.series)) ?? 0)
    writer.varint(part.sizeUs)
    writer.varint(part.hopUs)
    writer.signed(part.startUs)
    writer.varint(part.revision)
    writer.varint(part.folded)
    writer.varint(part.data.length)
    writer.raw(part.data)
  }
  if (parts.some(({ thinned }) => thinned)) writer.byte(thinnedRow)
  return writer.take()
}

/** Throws `corrupt`. */
export function decodeAggregateRow(bytes: Uint8Array): AggregateRow {
  const reader = new ByteReader(bytes)
  const foldedTo = reader.varint()
  const names: string[] = []
  for (let left = reader.varint() * 3; left > 0; left--) names.push(reader.textAfter(names.at(-3) ?? ''))
  const parts: ClosedPart[] = []
  for (let left = reader.varint(); left > 0; left--) parts.push(readPart(reader, names))
  const thinned = reader.left > 0 && reader.byte() === thinnedRow
  return { foldedTo, parts: thinned ? parts.map(part => ({ ...part, thinned })) : parts }
}

function readPart(reader: ByteReader, names: readonly string[]): ClosedPart {
  const at = reader.varint() * 3
  const [device, metric, unit] = names.slice(at, at + 3)
  if (device === undefined || metric === undefined || unit === undefined) {
    throw new TributaryError('corrupt', 'a row of aggregates names a series that it does not define')
  }
  const window = { sizeUs: reader.varint(), hopUs: reader.varint(), startUs: reader.signed() }
  const numbers = { revision: reader.varint(), folded: reader.varint() }
  return { series: { device, metric, unit }, ...window, ...numbers, data: Uint8Array.from(reader.raw(reader.varint())) }
}

/** Parts as they stand in a batch: by series and window, in the order in which these come first. */
export function aggregateColumns(parts: readonly ClosedPart[]): SeriesAggregates[] {
  const groups = Map.groupBy(parts, ({ series, sizeUs, hopUs }) => `${keyOf(series)}\0${sizeUs}\0${hopUs}`)
  return [...groups.values()].map(group => {
    const { series, sizeUs, hopUs } = group[0] as ClosedPart
    const startUs = Float64Array.from(group, part => part.startUs)
    const revision = Uint32Array.from(group, part => part.revision)
    return { series, sizeUs, hopUs, startUs, revision, data: group.map(part => part.data) }
  })
}

/** Parts that closed together, in rows of a bounded size. */
export function intoRows(foldedTo: number, parts: readonly ClosedPart[]): AggregateRow[] {
  const rows: AggregateRow[] = []
  for (const alike of Map.groupBy(parts, ({ thinned = false }) => thinned).values()) {
    for (let from = 0; from < alike.length; from += maxParts) {
      rows.push({ foldedTo, parts: alike.slice(from, from + maxParts) })
    }
  }
  return rows
}

/** The readings that leave the gateway in these parts alone. */
export function foldedInto(parts: readonly ClosedPart[]): ClassCounts {
  return parts.reduce(
    (sum, { folded, thinned }) => plus(sum, { ...noReadings, [thinned ? 'thinned' : 'aggregate']: folded }),
    noReadings,
  )
}

function keyOf({ device, metric, unit }: ClosedPart['series']): string {
  return `${device}\0${metric}\0${unit}`
}
