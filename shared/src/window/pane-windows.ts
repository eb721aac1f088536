/**
 * Tumbling and hopping windows: one aggregate a pane of gcd(size, hop), shared by all the windows that it lies in.
 *
 * A reading touches one pane; a closing window merges its size/pane panes. The windows that hold a pane end at `firstEnd`, then every hop
 * up to `lastEnd`. What is known of a window itself (the readings it had when it closed, whether it is to be emitted again) stands
 * with the pane that ends where it ends; an empty pane is made for that where there is none. A window without a reading is not
 * emitted: a late reading that makes it one gives it a revision above 0 at once.
 *
 * Memory: at most ceil((lateness + keepFor + size) / pane) + 1 panes a series, which `resolveSpec` holds against `maxWindows`.
 */
import { type ByteReader, malformed } from '../batch/byte-reader.ts'
import type { ByteWriter } from '../batch/byte-writer.ts'
import { addReading, mergeInto } from './aggregate.ts'
import { readAggregate, writeAggregate } from './aggregate-codec.ts'
import { allocate, clear, count } from './aggregate-store.ts'
import { type SeriesTable, seriesBytes, seriesField, seriesStride } from './series-table.ts'
import {
  adoptAfter,
  createWindowList,
  insertAfter,
  listBytes,
  newestOf,
  none,
  oldestOf,
  removeAll,
  removeWindow,
  unclosed,
  type WindowList,
} from './window-list.ts'
import { hopOf, paneOf, type ResolvedSpec } from './window-spec.ts'
import type { Emission, Taken, WindowKind } from './windows.ts'

/** Mark of a pane: the window that ends with it is to be emitted again. */
const corrected = 1

export class PaneWindows implements WindowKind {
  readonly #spec: ResolvedSpec
  readonly #table: SeriesTable
  readonly #list: WindowList
  readonly #emit: (window: Emission) => void
  readonly #sizeUs: number
  readonly #hopUs: number
  readonly #paneUs: number
  readonly #offsetUs: number
  /** Where panes are merged into a window. */
  readonly #scratch: number

  constructor(
    spec: ResolvedSpec & { kind: 'tumbling' | 'hopping' },
    table: SeriesTable,
    emit: (window: Emission) => void,
  ) {
    this.#spec = spec
    this.#table = table
    this.#emit = emit
    this.#list = createWindowList(table, spec.sketchBuckets)
    this.#sizeUs = spec.sizeUs
    this.#hopUs = hopOf(spec)
    this.#paneUs = paneOf(spec)
    this.#offsetUs = spec.offsetUs ?? 0
    this.#scratch = allocate(this.#list.aggregates)
  }

  add(series: number, tsUs: number, order: number, value: number): Taken {
    const list = this.#list
    const { rows } = this.#table
    const row = series * seriesStride
    const newest = rows[row + seriesField.newest]!
    if (newest !== none) {
      const start = list.starts[newest]!
      if (tsUs >= start && tsUs < start + this.#paneUs && rows[row + seriesField.closedUs]! < start + this.#paneUs) {
        addReading(list.aggregates, newest, tsUs, order, value)
        return 'taken'
      }
    }
    return this.#addAnywhere(series, tsUs, order, value)
  }

  #addAnywhere(series: number, tsUs: number, order: number, value: number): Taken {
    const { rows } = this.#table
    const row = series * seriesStride
    const start = this.#alignDown(tsUs, this.#paneUs, this.#offsetUs)
    const finalUs = rows[row + seriesField.finalUs]!
    if (this.#lastEnd(start) <= finalUs) return 'too-late'
    const firstEnd = this.#firstEnd(start)
    if (firstEnd <= finalUs && rows[row + seriesField.corrected] === 1) this.settle(series)
    const pane = this.#pane(series, start, true)
    if (pane === none) return 'full'
    addReading(this.#list.aggregates, pane, tsUs, order, value)
    const closedUs = rows[row + seriesField.watermarkUs]!
    if (firstEnd > closedUs) {
      rows[row + seriesField.nextUs] = Math.min(rows[row + seriesField.nextUs]!, firstEnd)
      return 'taken'
    }
    this.#correct(series, start, closedUs)
    return firstEnd <= finalUs ? 'partly-too-late' : 'late'
  }

  /** Mark the closed windows of a pane for `settle`; the first open one, if any, is still to close. */
  #correct(series: number, start: number, closedUs: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const lastEnd = this.#lastEnd(start)
    let end = Math.max(this.#firstEnd(start), this.#nextEnd(rows[row + seriesField.finalUs]!))
    for (; end <= Math.min(lastEnd, closedUs); end += this.#hopUs) {
      const pane = this.#pane(series, end - this.#paneUs, false)
      this.#list.marks[pane] = corrected
    }
    rows[row + seriesField.closedUs] = closedUs
    const nextUs = Math.min(rows[row + seriesField.nextUs]!, lastEnd + this.#spec.keepForUs)
    rows[row + seriesField.nextUs] = end <= lastEnd ? Math.min(nextUs, end) : nextUs
  }

  advance(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    this.#closeUntil(series, rows[row + seriesField.watermarkUs]!)
    const finalUs = rows[row + seriesField.finalUs]!
    const oldest = oldestOf(this.#list, series)
    if (oldest !== none && this.#lastEnd(this.#list.starts[oldest]!) <= finalUs) this.#free(series, finalUs)
    this.#setNext(series)
  }

  settle(series: number): void {
    const list = this.#list
    for (let pane = oldestOf(list, series); pane !== none; pane = list.newer[pane]!) {
      if (list.marks[pane] !== corrected) continue
      list.marks[pane] = 0
      const end = list.starts[pane]! + this.#paneUs
      const slot = this.#window(series, end)
      const base = list.bases[pane] === unclosed ? 0 : list.bases[pane]!
      this.#send(series, end, slot, count(list.aggregates, slot) - base)
    }
  }

  drop(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const newest = newestOf(this.#list, series)
    if (newest !== none) {
      const lastEnd = this.#lastEnd(this.#list.starts[newest]!)
      rows[row + seriesField.finalUs] = Math.max(rows[row + seriesField.finalUs]!, lastEnd)
    }
    removeAll(this.#list, series)
    rows[row + seriesField.nextUs] = Number.POSITIVE_INFINITY
  }

  write(out: ByteWriter, series: number): void {
    const list = this.#list
    let panes = 0
    for (let pane = oldestOf(list, series); pane !== none; pane = list.newer[pane]!) panes++
    out.uvarint(panes)
    for (let pane = oldestOf(list, series); pane !== none; pane = list.newer[pane]!) {
      out.svarint(list.starts[pane]!)
      out.uvarint(list.bases[pane]! + 1)
      writeAggregate(out, list.aggregates, pane)
    }
  }

  read(source: ByteReader, series: number): void {
    const list = this.#list
    const panes = source.count(this.#spec.maxWindows, 'panes')
    for (let i = 0; i < panes; i++) {
      const start = source.svarint()
      const older = newestOf(list, series)
      if (start !== this.#alignDown(start, this.#paneUs, this.#offsetUs) || (i > 0 && start <= list.starts[older]!)) {
        throw malformed(`no pane starts at ${start}`, source.subject)
      }
      const base = source.uvarint() - 1
      const pane = adoptAfter(list, series, older, start, readAggregate(source, list.aggregates))
      list.bases[pane] = base
    }
  }

  bytes(): number {
    return listBytes(this.#list) + seriesBytes(this.#table)
  }

  /** The pane that starts there, made if need be; `none` if it would have to be made and `bounded` memory is full. */
  #pane(series: number, start: number, bounded: boolean): number {
    const list = this.#list
    let older = newestOf(list, series)
    while (older !== none && list.starts[older]! > start) older = list.older[older]!
    if (older !== none && list.starts[older] === start) return older
    if (bounded && this.bytes() >= this.#spec.maxBytes) return none
    return insertAfter(list, series, older, start)
  }

  /** Close every window with a reading that ends after those already closed, up to `untilUs`. */
  #closeUntil(series: number, untilUs: number): void {
    const list = this.#list
    const { rows } = this.#table
    const row = series * seriesStride
    const closedUs = rows[row + seriesField.closedUs]!
    if (untilUs <= closedUs) return
    rows[row + seriesField.closedUs] = untilUs
    let end = Number.NEGATIVE_INFINITY
    for (let pane = this.#firstUnclosed(series, closedUs); pane !== none; pane = list.newer[pane]!) {
      if (count(list.aggregates, pane) === 0) continue
      const start = list.starts[pane]!
      end = Math.max(end, this.#firstEnd(start), this.#nextEnd(closedUs))
      const lastEnd = Math.min(this.#lastEnd(start), untilUs)
      for (; end <= lastEnd; end += this.#hopUs) this.#close(series, end)
    }
  }

  #close(series: number, end: number): void {
    const list = this.#list
    const slot = this.#window(series, end)
    const n = count(list.aggregates, slot)
    this.#send(series, end, slot, 0)
    // Making the pane may replace the columns.
    const pane = this.#pane(series, end - this.#paneUs, false)
    list.bases[pane] = n
  }

  /** The oldest pane that lies in a window not closed yet. */
  #firstUnclosed(series: number, closedUs: number): number {
    const list = this.#list
    let found = none
    let pane = newestOf(list, series)
    for (; pane !== none && this.#lastEnd(list.starts[pane]!) > closedUs; pane = list.older[pane]!) found = pane
    return found
  }

  /** A slot with all readings of the window that ends there. */
  #window(series: number, end: number): number {
    const list = this.#list
    let pane = newestOf(list, series)
    while (list.starts[pane]! >= end) pane = list.older[pane]!
    if (this.#paneUs === this.#sizeUs) return pane
    for (; pane !== none && list.starts[pane]! >= end - this.#sizeUs; pane = list.older[pane]!) {
      mergeInto(list.aggregates, this.#scratch, list.aggregates, pane)
    }
    return this.#scratch
  }

  #send(series: number, endUs: number, slot: number, revision: number): void {
    this.#emit({
      series,
      startUs: endUs - this.#sizeUs,
      endUs,
      ordinal: 0,
      revision,
      retracted: false,
      truncated: false,
      aggregates: this.#list.aggregates,
      slot,
    })
    if (slot === this.#scratch) clear(this.#list.aggregates, slot)
  }

  /** Free the panes whose windows are all final. */
  #free(series: number, finalUs: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    if (rows[row + seriesField.corrected] === 1) this.settle(series)
    for (let pane = oldestOf(this.#list, series); pane !== none; pane = oldestOf(this.#list, series)) {
      if (this.#lastEnd(this.#list.starts[pane]!) > finalUs) return
      removeWindow(this.#list, series, pane)
    }
  }

  #setNext(series: number): void {
    const list = this.#list
    const { rows } = this.#table
    const row = series * seriesStride
    const oldest = oldestOf(list, series)
    const closedUs = rows[row + seriesField.closedUs]!
    let nextUs = oldest === none ? Number.POSITIVE_INFINITY : this.#lastEnd(list.starts[oldest]!) + this.#spec.keepForUs
    for (let pane = this.#firstUnclosed(series, closedUs); pane !== none; pane = list.newer[pane]!) {
      if (count(list.aggregates, pane) === 0) continue
      nextUs = Math.min(nextUs, Math.max(this.#firstEnd(list.starts[pane]!), this.#nextEnd(closedUs)))
      break
    }
    rows[row + seriesField.nextUs] = nextUs
  }

  #firstEnd(start: number): number {
    return this.#alignDown(start + this.#paneUs - 1, this.#hopUs, this.#offsetUs + this.#sizeUs) + this.#hopUs
  }

  #lastEnd(start: number): number {
    return this.#alignDown(start + this.#sizeUs, this.#hopUs, this.#offsetUs + this.#sizeUs)
  }

  /** The first end of a window after this time. */
  #nextEnd(afterUs: number): number {
    if (!Number.isFinite(afterUs)) return Number.NEGATIVE_INFINITY
    return this.#alignDown(afterUs, this.#hopUs, this.#offsetUs + this.#sizeUs) + this.#hopUs
  }

  /** The quotient of safe integers is never rounded up to a whole number it does not reach. */
  #alignDown(timeUs: number, stepUs: number, offsetUs: number): number {
    return offsetUs + Math.floor((timeUs - offsetUs) / stepUs) * stepUs
  }
}
