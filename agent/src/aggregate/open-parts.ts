/**
 * The windows that are open: parts of windows that still take readings. Pure; clocks and row numbers come in as arguments.
 *
 * - A window goes out in parts whose readings are disjoint; nearly always there is one. The window is the merge of its parts, exact to
 *   the last bit, however it was cut. `revision` is the number of the row that brought a part's first reading, modulo 2^32, and so is
 *   its own within the window, and the same when a row is folded again.
 * - A part closes when its series' watermark (newest reading − lateness) reaches the end of the window. A series silent for `idleMs`
 *   lives on: its watermark moves at the rate of the clock. A part begun after the watermark had passed its window is late, and closes
 *   `idleMs` after it was begun.
 * - Bounded: above `maxBytes` the series open longest are closed early, at once; what comes for their windows later is another part.
 * A series is known here only while it has an open part.
 */
import { ByteReader, malformed } from '@tributary/shared/batch/byte-reader'
import { ByteWriter } from '@tributary/shared/batch/byte-writer'
import type { SeriesName } from '@tributary/shared/reading'
import { addReading } from '@tributary/shared/window/aggregate'
import { encodeAggregate, readAggregate, writeAggregate } from '@tributary/shared/window/aggregate-codec'
import {
  type AggregateStore,
  allocate,
  bytesInUse,
  createAggregateStore,
  defaultMaxBuckets,
  release,
} from '@tributary/shared/window/aggregate-store'
import type { WindowPolicy } from './policy.ts'

/** Which window of which series. */
export interface PartKey {
  readonly series: SeriesName
  readonly sizeUs: number
  readonly hopUs: number
  readonly startUs: number
}

export interface ClosedPart extends PartKey {
  readonly revision: number
  /** Of its readings, those that leave the gateway in no other way and in no part of another window before. */
  readonly folded: number
  /** Its readings are of class raw: their file was given up. */
  readonly thinned?: boolean
  /** As of shared's aggregate-codec. */
  readonly data: Uint8Array
}

export interface FoldedReading {
  readonly tsUs: number
  readonly value: number
  /** The row that brought it. */
  readonly row: number
  /** It is not sent as it is. */
  readonly held: boolean
}

interface Part {
  readonly startUs: number
  readonly slot: number
  readonly firstRow: number
  readonly late: boolean
  readonly openedMs: number
  folded: number
}

export interface OpenSeries {
  readonly key: string
  readonly name: SeriesName
  readonly window: WindowPolicy
  readonly store: AggregateStore
  readonly parts: Map<number, Part>
  newestUs: number
  heardMs: number
  /** The earliest end of a part that is not late. */
  nextEndUs: number
  late: number
}

/** What a series and a part take beside their aggregate, about. */
const seriesBytes = 512
const partBytes = 128
const version = 1
const subject = 'stored open windows'
const utf8 = new TextDecoder()

export class OpenParts {
  private readonly maxBytes: number
  private readonly plain = createAggregateStore(0)
  private readonly sketched = createAggregateStore(defaultMaxBuckets)
  /** In the order in which they were opened. */
  private readonly series = new Map<string, OpenSeries>()
  private parts = 0
  /** Numbers the readings: which of two of one time came first. */
  private order = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Open parts. */
  get count(): number {
    return this.parts
  }

  get bytes(): number {
    const aggregates = bytesInUse(this.plain) + bytesInUse(this.sketched)
    return aggregates + this.series.size * seriesBytes + this.parts * partBytes
  }

  /** The series with these windows, to add readings to until the next `close…`. */
  open(name: SeriesName, window: WindowPolicy, nowMs: number): OpenSeries {
    const key = `${name.device}\0${name.metric}\0${name.unit}`
    const known = this.series.get(key)
    if (known) return known
    const store = window.quantiles ? this.sketched : this.plain
    const parts = new Map<number, Part>()
    const fresh = { newestUs: Number.NEGATIVE_INFINITY, heardMs: nowMs, nextEndUs: Number.POSITIVE_INFINITY, late: 0 }
    const series = { key, name, window, store, parts, ...fresh }
    this.series.set(key, series)
    return series
  }

  /** Returns whether it came late: after the watermark had passed a window of it. */
  add(series: OpenSeries, reading: FoldedReading, nowMs: number): boolean {
    const { sizeUs, hopUs } = series.window
    const { tsUs, value, row, held } = reading
    const order = this.order++
    let late = false
    const lastStartUs = Math.floor(tsUs / hopUs) * hopUs
    for (let startUs = lastStartUs; startUs > tsUs - sizeUs; startUs -= hopUs) {
      let part = series.parts.get(startUs)
      part ??= this.begin(series, startUs, row, nowMs)
      late ||= part.late
      addReading(series.store, part.slot, tsUs, order, value)
      if (held && startUs === lastStartUs) part.folded++
    }
    if (tsUs > series.newestUs) series.newestUs = tsUs
    series.heardMs = nowMs
    return late
  }

  /** Close what the watermark of the series has passed. */
  closeDue(series: OpenSeries): ClosedPart[] {
    return this.closeUntil(series, series.newestUs - series.window.latenessUs)
  }

  /** Close what is due by the clock: windows of silent series, and late parts. */
  closeIdle(nowMs: number): ClosedPart[] {
    const closed: ClosedPart[] = []
    for (const series of this.series.values()) {
      const { idleMs, latenessUs } = series.window
      const silentMs = nowMs - series.heardMs
      if (silentMs >= idleMs) closed.push(...this.closeUntil(series, series.newestUs + silentMs * 1000 - latenessUs))
      if (series.late === 0) continue
      for (const part of [...series.parts.values()]) {
        if (part.late && nowMs - part.openedMs >= idleMs) closed.push(this.close(series, part))
      }
    }
    return closed
  }

  /** Close early what is above the bound. */
  relieve(): ClosedPart[] {
    const closed: ClosedPart[] = []
    if (this.bytes <= this.maxBytes) return closed
    for (const series of this.series.values()) {
      if (this.bytes <= this.maxBytes * 0.75) break
      closed.push(...this.closeSeries(series))
    }
    return closed
  }

  /** Every part, however early. */
  closeAll(): ClosedPart[] {
    return [...this.series.values()].flatMap(series => this.closeSeries(series))
  }

  /** Of a part that went out already. */
  drop({ series: { device, metric, unit }, sizeUs, hopUs, startUs }: PartKey): void {
    const series = this.series.get(`${device}\0${metric}\0${unit}`)
    const part = series?.parts.get(startUs)
    if (!series || !part || series.window.sizeUs !== sizeUs || series.window.hopUs !== hopUs) return
    this.remove(series, part)
  }

  /**
   * Everything as bytes: u8 version 1, uvarint readings numbered, uvarint series; per series device, metric, unit (uvarint length,
   * UTF-8), uvarint size, uvarint hop, svarint newest, uvarint parts; per part svarint start, uvarint first row, uvarint folded,
   * u8 late, aggregate.
   */
  record(): Uint8Array {
    const out = new ByteWriter(4096)
    out.u8(version)
    out.uvarint(this.order)
    out.uvarint(this.series.size)
    for (const { name, window, newestUs, parts, store } of this.series.values()) {
      for (const text of [name.device, name.metric, name.unit]) writeText(out, text)
      out.uvarint(window.sizeUs)
      out.uvarint(window.hopUs)
      out.svarint(newestUs)
      out.uvarint(parts.size)
      for (const part of parts.values()) {
        out.svarint(part.startUs)
        out.uvarint(part.firstRow)
        out.uvarint(part.folded)
        out.u8(part.late ? 1 : 0)
        writeAggregate(out, store, part.slot)
      }
    }
    return out.bytes().slice()
  }

  /** Into an empty one. `windowOf` tells the windows of a series; throws `malformed` when they are others than those recorded. */
  restore(record: Uint8Array, windowOf: (name: SeriesName) => WindowPolicy | null, nowMs: number): void {
    const source = new ByteReader(record, 0, record.length, subject)
    if (source.u8() !== version) throw malformed('another version wrote it', subject)
    this.order = source.uvarint()
    for (let left = source.uvarint(); left > 0; left--) {
      const name = { device: readText(source), metric: readText(source), unit: readText(source) }
      const window = windowOf(name)
      const [sizeUs, hopUs] = [source.uvarint(), source.uvarint()]
      if (window === null || window.sizeUs !== sizeUs || window.hopUs !== hopUs) {
        throw malformed(`no policy gives ${name.device} ${name.metric} its windows`, subject)
      }
      const series = this.open(name, window, nowMs)
      series.newestUs = source.svarint()
      for (let parts = source.uvarint(); parts > 0; parts--) this.readPart(source, series, nowMs)
    }
    if (source.remaining > 0) throw malformed(`${source.remaining} bytes follow`, subject)
  }

  private readPart(source: ByteReader, series: OpenSeries, openedMs: number): void {
    const startUs = source.svarint()
    const firstRow = source.uvarint()
    const folded = source.uvarint()
    const late = source.u8() === 1
    const slot = readAggregate(source, series.store)
    this.keep(series, { startUs, slot, firstRow, late, openedMs, folded })
  }

  private begin(series: OpenSeries, startUs: number, firstRow: number, openedMs: number): Part {
    const { sizeUs, latenessUs } = series.window
    const late = startUs + sizeUs <= series.newestUs - latenessUs
    const part = { startUs, slot: allocate(series.store), firstRow, late, openedMs, folded: 0 }
    this.keep(series, part)
    return part
  }

  private keep(series: OpenSeries, part: Part): void {
    series.parts.set(part.startUs, part)
    this.parts++
    if (part.late) series.late++
    else series.nextEndUs = Math.min(series.nextEndUs, part.startUs + series.window.sizeUs)
  }

  private closeUntil(series: OpenSeries, watermarkUs: number): ClosedPart[] {
    if (watermarkUs < series.nextEndUs) return []
    const closed: ClosedPart[] = []
    for (const part of [...series.parts.values()]) {
      if (!part.late && part.startUs + series.window.sizeUs <= watermarkUs) closed.push(this.close(series, part))
    }
    return closed
  }

  private closeSeries(series: OpenSeries): ClosedPart[] {
    return [...series.parts.values()].map(part => this.close(series, part))
  }

  private close(series: OpenSeries, part: Part): ClosedPart {
    const { sizeUs, hopUs } = series.window
    const { startUs, firstRow, folded } = part
    const data = encodeAggregate(series.store, part.slot)
    this.remove(series, part)
    return { series: series.name, sizeUs, hopUs, startUs, revision: firstRow % 2 ** 32, folded, data }
  }

  private remove(series: OpenSeries, part: Part): void {
    release(series.store, part.slot)
    series.parts.delete(part.startUs)
    this.parts--
    if (part.late) series.late--
    if (series.parts.size === 0) this.series.delete(series.key)
    else if (!part.late) series.nextEndUs = firstEnd(series)
  }
}

function firstEnd({ parts, window }: OpenSeries): number {
  let first = Number.POSITIVE_INFINITY
  for (const { late, startUs } of parts.values()) if (!late) first = Math.min(first, startUs + window.sizeUs)
  return first
}

function writeText(out: ByteWriter, text: string): void {
  const bytes = new TextEncoder().encode(text)
  out.uvarint(bytes.length)
  out.raw(bytes)
}

function readText(source: ByteReader): string {
  return utf8.decode(source.take(source.uvarint()))
}
