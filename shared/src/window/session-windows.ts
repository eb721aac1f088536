/**
 * Session windows: runs of readings at most `gap` apart, each an aggregate that knows its own first and last time.
 *
 * A reading joins the sessions that it touches, and may join two into one. A session is cut at times ≡ offset (mod maxLength): unlike a cut at
 * a distance from the first reading, that does not depend on which readings have been seen, so any order gives the same sessions.
 * A session closes when the watermark leaves no reading that could join it on time: beyond last + gap, or at its cut.
 *
 * The id is the time of the first reading. When a late reading gives a closed session an earlier start, or joins it to an earlier one, the
 * old id is retracted, with a revision above all that it ever had; a retraction carries no numbers.
 *
 * Memory: what touched the time since `finalUs`; `resolveSpec` holds it against `maxWindows`.
 */
import { type ByteReader, malformed } from '../batch/byte-reader.ts'
import type { ByteWriter } from '../batch/byte-writer.ts'
import { addReading, mergeInto } from './aggregate.ts'
import { readAggregate, writeAggregate } from './aggregate-codec.ts'
import { count, field, stride } from './aggregate-store.ts'
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
import { maxLengthOf, type ResolvedSpec } from './window-spec.ts'
import type { Emission, Taken, WindowKind } from './windows.ts'

/** Marks of a session: closed; to be emitted again. */
const closed = 1
const corrected = 2

/** The id of a session that is no more. */
interface Retraction {
  readonly startUs: number
  readonly revision: number
}

export class SessionWindows implements WindowKind {
  readonly #spec: ResolvedSpec
  readonly #table: SeriesTable
  readonly #list: WindowList
  readonly #emit: (window: Emission) => void
  readonly #gapUs: number
  readonly #maxLengthUs: number
  readonly #offsetUs: number
  /** By series, until `settle`. */
  readonly #retractions = new Map<number, Retraction[]>()

  constructor(spec: ResolvedSpec & { kind: 'session' }, table: SeriesTable, emit: (window: Emission) => void) {
    this.#spec = spec
    this.#table = table
    this.#emit = emit
    this.#list = createWindowList(table, spec.sketchBuckets)
    this.#gapUs = spec.gapUs
    this.#maxLengthUs = maxLengthOf(spec)
    this.#offsetUs = spec.offsetUs ?? 0
  }

  add(series: number, tsUs: number, order: number, value: number): Taken {
    const list = this.#list
    if (tsUs < this.#table.rows[series * seriesStride + seriesField.finalUs]!) return 'too-late'
    const older = this.#newestStartingBy(series, tsUs)
    const newer = older === none ? oldestOf(list, series) : list.newer[older]!
    const before = this.#touches(older, tsUs) ? older : none
    const after = this.#touches(newer, tsUs) ? newer : none
    if (before === none && after === none && this.bytes() >= this.#spec.maxBytes) return 'full'
    // A session that was emitted and is open again has no closed mark, but an id to keep or to retract.
    const late = this.#wasEmitted(before) || this.#wasEmitted(after)
    const session = before === none ? insertAfter(list, series, older, tsUs) : before
    addReading(list.aggregates, session, tsUs, order, value)
    if (after !== none) this.#absorb(series, session, after)
    return this.#place(series, session) || late ? 'late' : 'taken'
  }

  /** Join a later session to this one, whose id remains. */
  #absorb(series: number, session: number, later: number): void {
    const list = this.#list
    const base = list.bases[later]!
    if (base !== unclosed) {
      const retractions = this.#retractions.get(series) ?? []
      retractions.push({ startUs: list.starts[later]!, revision: count(list.aggregates, later) - base + 1 })
      this.#retractions.set(series, retractions)
    }
    mergeInto(list.aggregates, session, list.aggregates, later)
    removeWindow(list, series, later)
  }

  /** Open, or closed and to be emitted again: as the watermark has it. True when closed. */
  #place(series: number, session: number): boolean {
    const list = this.#list
    const { rows } = this.#table
    const row = series * seriesStride
    const closeUs = this.#closeUs(session)
    if (closeUs > rows[row + seriesField.watermarkUs]!) {
      list.marks[session] = 0
      rows[row + seriesField.nextUs] = Math.min(rows[row + seriesField.nextUs]!, closeUs)
      return false
    }
    if (list.bases[session] === unclosed) list.bases[session] = 0
    list.marks[session] = closed | corrected
    rows[row + seriesField.nextUs] = Math.min(rows[row + seriesField.nextUs]!, this.#freeUs(session))
    return true
  }

  advance(series: number): void {
    const list = this.#list
    const { rows } = this.#table
    const row = series * seriesStride
    const watermarkUs = rows[row + seriesField.watermarkUs]!
    if (rows[row + seriesField.corrected] === 1) this.settle(series)
    for (let session = oldestOf(list, series); session !== none; session = oldestOf(list, series)) {
      if (!this.#isClosed(session) || this.#freeUs(session) > watermarkUs) break
      removeWindow(list, series, session)
    }
    this.#closeUntil(series, watermarkUs)
  }

  settle(series: number): void {
    const list = this.#list
    for (const { startUs, revision } of this.#retractions.get(series) ?? []) {
      this.#send(series, newestOf(list, series), { startUs, revision, retracted: true })
    }
    this.#retractions.delete(series)
    for (let session = oldestOf(list, series); session !== none; session = list.newer[session]!) {
      if ((list.marks[session]! & corrected) === 0) continue
      list.marks[session] = closed
      this.#sendRevision(series, session)
    }
  }

  drop(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const newest = newestOf(this.#list, series)
    if (newest !== none) {
      const untouchedUs = this.#lastUs(newest) + this.#gapUs + 1
      rows[row + seriesField.finalUs] = Math.max(rows[row + seriesField.finalUs]!, untouchedUs)
    }
    removeAll(this.#list, series)
    this.#retractions.delete(series)
    rows[row + seriesField.nextUs] = Number.POSITIVE_INFINITY
  }

  write(out: ByteWriter, series: number): void {
    const list = this.#list
    let sessions = 0
    for (let session = oldestOf(list, series); session !== none; session = list.newer[session]!) sessions++
    out.uvarint(sessions)
    for (let session = oldestOf(list, series); session !== none; session = list.newer[session]!) {
      out.u8(list.marks[session]!)
      out.uvarint(list.bases[session]! + 1)
      writeAggregate(out, list.aggregates, session)
    }
  }

  read(source: ByteReader, series: number): void {
    const list = this.#list
    const sessions = source.count(this.#spec.maxWindows, 'sessions')
    for (let i = 0; i < sessions; i++) {
      const mark = source.u8()
      const base = source.uvarint() - 1
      const slot = readAggregate(source, list.aggregates)
      const older = newestOf(list, series)
      const startUs = list.aggregates.numbers[slot * stride + field.firstUs]!
      const session = adoptAfter(list, series, older, startUs, slot)
      list.bases[session] = base
      list.marks[session] = mark
      if (mark > closed || (older !== none && this.#touches(older, startUs)) || startUs < this.#lastUs(older)) {
        throw malformed(`session ${i} is not after the one before it`, source.subject)
      }
    }
  }

  bytes(): number {
    return listBytes(this.#list) + seriesBytes(this.#table)
  }

  #closeUntil(series: number, untilUs: number): void {
    const list = this.#list
    for (let session = oldestOf(list, series); session !== none; session = list.newer[session]!) {
      if (this.#isClosed(session) || this.#closeUs(session) > untilUs) continue
      list.marks[session] = closed
      if (list.bases[session] === unclosed) list.bases[session] = count(list.aggregates, session)
      this.#sendRevision(series, session)
    }
    this.#table.rows[series * seriesStride + seriesField.nextUs] = this.#nextUs(series)
  }

  #nextUs(series: number): number {
    const list = this.#list
    const oldest = oldestOf(list, series)
    let nextUs = oldest === none ? Number.POSITIVE_INFINITY : this.#freeUs(oldest)
    for (let session = oldest; session !== none; session = list.newer[session]!) {
      if (!this.#isClosed(session)) nextUs = Math.min(nextUs, this.#closeUs(session))
    }
    return nextUs
  }

  #sendRevision(series: number, session: number): void {
    const revision = count(this.#list.aggregates, session) - this.#list.bases[session]!
    this.#send(series, session, { startUs: this.#list.starts[session]!, revision, retracted: false })
  }

  #send(series: number, slot: number, what: Retraction & { readonly retracted: boolean }): void {
    const endUs = what.retracted ? what.startUs : this.#lastUs(slot)
    this.#emit({ series, endUs, ordinal: 0, truncated: false, aggregates: this.#list.aggregates, slot, ...what })
  }

  #newestStartingBy(series: number, tsUs: number): number {
    const list = this.#list
    let session = newestOf(list, series)
    while (session !== none && list.starts[session]! > tsUs) session = list.older[session]!
    return session
  }

  /** Whether a reading at that time would be part of the session. */
  #touches(session: number, tsUs: number): boolean {
    if (session === none) return false
    const startUs = this.#list.starts[session]!
    return (
      tsUs >= startUs - this.#gapUs &&
      tsUs <= this.#lastUs(session) + this.#gapUs &&
      this.#cut(tsUs) === this.#cut(startUs)
    )
  }

  #isClosed(session: number): boolean {
    return (this.#list.marks[session]! & closed) !== 0
  }

  #wasEmitted(session: number): boolean {
    return session !== none && this.#list.bases[session] !== unclosed
  }

  /** Watermark at which no reading on time can join any more. */
  #closeUs(session: number): number {
    return Math.min(this.#lastUs(session) + this.#gapUs + 1, this.#cut(this.#list.starts[session]!))
  }

  /** Watermark at which no reading that is taken at all can. */
  #freeUs(session: number): number {
    return this.#lastUs(session) + this.#gapUs + this.#spec.keepForUs + 1
  }

  #lastUs(session: number): number {
    return this.#list.aggregates.numbers[session * stride + field.lastUs]!
  }

  /** The first cut after a time. */
  #cut(tsUs: number): number {
    return this.#offsetUs + (Math.floor((tsUs - this.#offsetUs) / this.#maxLengthUs) + 1) * this.#maxLengthUs
  }
}
