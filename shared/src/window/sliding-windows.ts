/**
 * Sliding windows: one ending at each reading, over (t − duration, t]: the readings up to it in order of (time, arrival).
 *
 * Readings wait for the watermark, then are processed in order through a `Rolling`. They are kept for as long as a late one may still
 * share a window with them; a late one marks the windows that it belongs to, and `settle` rolls over that part again. That, like the
 * next reading on time after a late one, takes time in proportion to the readings kept (at most `maxReadings`).
 *
 * At most `maxReadings` of a series are in memory. One more and the oldest goes, processed before its time if need be; windows
 * that would have held it are `truncated`, and readings before it are too late.
 */
import { type ByteReader, malformed } from '../batch/byte-reader.ts'
import type { ByteWriter } from '../batch/byte-writer.ts'

import {
  copyWindow,
  createRollingMemory,
  createRollingSeries,
  insertReading,
  type RollingMemory,
  type RollingSeries,
  releaseRollingSeries,
  rollingBytes,
} from './rolling-memory.ts'
import { type SeriesTable, seriesBytes, seriesField, seriesStride } from './series-table.ts'
import type { ResolvedSpec } from './window-spec.ts'
import type { Emission, Taken, WindowKind } from './windows.ts'

/** A reading's note, on the window that ends with it: 4 × its revision, and two flags. */
const revised = 4
/** It was final before the reading came: it is never emitted. */
const final = 2
/** It is to be emitted again. */
const corrected = 1

interface SlidingSeries extends RollingSeries {
  /** Readings of the run whose windows have been emitted. */
  processed: number
  /** `rolling` must be made anew: a late reading came between. */
  stale: boolean
  /** Time of the newest reading that was dropped while windows still needed it; −∞ without one. */
  truncatedUs: number
}

export class SlidingWindows implements WindowKind {
  readonly #spec: ResolvedSpec
  readonly #durationUs: number
  readonly #table: SeriesTable
  readonly #emit: (window: Emission) => void
  readonly #memory: RollingMemory
  readonly #states = new Map<number, SlidingSeries>()

  constructor(spec: ResolvedSpec & { kind: 'sliding' }, table: SeriesTable, emit: (window: Emission) => void) {
    this.#spec = spec
    this.#durationUs = spec.durationUs
    this.#table = table
    this.#emit = emit
    this.#memory = createRollingMemory(spec.sketchBuckets, spec.maxReadings)
  }

  add(series: number, tsUs: number, order: number, value: number): Taken {
    const { rows } = this.#table
    const row = series * seriesStride
    const finalUs = rows[row + seriesField.finalUs]!
    if (tsUs <= finalUs - this.#durationUs) return 'too-late'
    if (this.#isFull(series)) return 'full'
    const state = this.#state(series)
    if (tsUs < state.truncatedUs) return 'too-late'
    const partly = tsUs < finalUs
    if (partly && rows[row + seriesField.corrected] === 1) this.settle(series)
    if (state.run.length >= this.#spec.maxReadings) this.#makeRoom(series, state)
    const at = insertReading(this.#memory, state, { tsUs, order, value, note: partly ? final : 0 })
    const late = at < state.processed
    if (late) this.#correct(state, at, finalUs)
    else this.#process(series, state)
    this.#setNext(series, state)
    if (partly) return 'partly-too-late'
    return late ? 'late' : 'taken'
  }

  advance(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const state = this.#state(series)
    if (rows[row + seriesField.corrected] === 1) this.settle(series)
    this.#process(series, state)
    const neededUs = rows[row + seriesField.finalUs]! - this.#durationUs
    while (state.processed > 0 && state.run.tsUs[state.run.first]! <= neededUs) this.#dropFirst(state)
    this.#setNext(series, state)
  }

  settle(series: number): void {
    const state = this.#state(series)
    const { run } = state
    let at = run.first
    while (at < run.end && (run.notes[at]! & corrected) === 0) at++
    if (at === run.end) return
    this.#roll(state, run.tsUs[at]!, i => {
      if ((run.notes[i]! & corrected) === 0) return
      run.notes[i] = run.notes[i]! - corrected
      this.#send(series, state, i)
    })
  }

  drop(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const state = this.#states.get(series)
    rows[row + seriesField.nextUs] = Number.POSITIVE_INFINITY
    if (state === undefined) return
    if (state.run.length > 0) {
      const newestUs = state.run.tsUs[state.run.end - 1]!
      rows[row + seriesField.finalUs] = Math.max(rows[row + seriesField.finalUs]!, newestUs)
    }
    releaseRollingSeries(this.#memory, state)
    this.#states.delete(series)
  }

  /** uvarint readings processed, f64 truncatedUs, then the run (reading-run.ts). */
  write(out: ByteWriter, series: number): void {
    const state = this.#state(series)
    out.uvarint(state.processed)
    out.f64(state.truncatedUs)
    state.run.write(out)
  }

  read(source: ByteReader, series: number): void {
    const state = this.#state(series)
    const { run } = state
    state.processed = source.count(this.#spec.maxReadings, 'readings')
    state.truncatedUs = source.f64()
    state.stale = true
    this.#memory.runBytes -= run.bytes
    try {
      run.read(source, this.#spec.maxReadings)
    } finally {
      this.#memory.runBytes += run.bytes
    }
    if (state.processed > run.length) throw malformed('more readings processed than kept', source.subject)
  }

  bytes(): number {
    return rollingBytes(this.#memory) + seriesBytes(this.#table)
  }

  /** Whether a reading of this series needs memory that there is not. */
  #isFull(series: number): boolean {
    const state = this.#states.get(series)
    return (state === undefined || state.run.isFull) && this.bytes() >= this.#spec.maxBytes
  }

  #state(series: number): SlidingSeries {
    const known = this.#states.get(series)
    if (known !== undefined) return known
    const fresh = { processed: 0, stale: false, truncatedUs: Number.NEGATIVE_INFINITY }
    const state = { ...createRollingSeries(this.#memory), ...fresh }
    this.#states.set(series, state)
    return state
  }

  /** Mark the closed windows that hold the late reading at this distance, and count it among their readings. */
  #correct(state: SlidingSeries, at: number, finalUs: number): void {
    const { run } = state
    const late = run.first + at
    const endUs = run.tsUs[late]! + this.#durationUs
    state.processed++
    state.stale = true
    for (let i = late; i < run.first + state.processed && run.tsUs[i]! < endUs; i++) {
      if (run.tsUs[i]! >= finalUs) run.notes[i] = (run.notes[i]! + revised) | corrected
    }
  }

  /** Emit the windows that end by the watermark. */
  #process(series: number, state: SlidingSeries): void {
    const { run } = state
    const untilUs = this.#table.rows[series * seriesStride + seriesField.watermarkUs]!
    while (state.processed < run.length && run.tsUs[run.first + state.processed]! <= untilUs) {
      this.#processNext(series, state)
    }
  }

  #processNext(series: number, state: SlidingSeries): void {
    if (state.stale) this.#refresh(state)
    const at = state.run.first + state.processed++
    this.#enter(state, at)
    if ((state.run.notes[at]! & final) === 0) this.#send(series, state, at)
  }

  /** Let the next reading into the range, and those out that its window does not hold. */
  #enter({ run, rolling }: SlidingSeries, at: number): void {
    rolling.push(run)
    const afterUs = run.tsUs[at]! - this.#durationUs
    while (run.tsUs[run.first + rolling.from]! <= afterUs) rolling.shift(run)
  }

  /** Roll over the processed readings, from the window that ends at `fromUs` on. */
  #roll(state: SlidingSeries, fromUs: number, visit: (at: number) => void): void {
    const { run, rolling } = state
    const first = run.indexFrom(fromUs - this.#durationUs + 1)
    rolling.reset(first - run.first)
    for (let at = first; at < run.first + state.processed; at++) {
      this.#enter(state, at)
      visit(at)
    }
    state.stale = false
  }

  #refresh(state: SlidingSeries): void {
    const { run, processed, rolling } = state
    if (processed > 0) this.#roll(state, run.tsUs[run.first + processed - 1]!, () => undefined)
    else rolling.reset(0)
    state.stale = false
  }

  #makeRoom(series: number, state: SlidingSeries): void {
    if (this.#table.rows[series * seriesStride + seriesField.corrected] === 1) this.settle(series)
    if (state.processed === 0) this.#processNext(series, state)
    state.truncatedUs = state.run.tsUs[state.run.first]!
    this.#dropFirst(state)
  }

  /** Drop the oldest reading, which has been processed. */
  #dropFirst(state: SlidingSeries): void {
    const { run, rolling } = state
    if (state.stale) this.#refresh(state)
    if (rolling.from === 0) rolling.shift(run)
    run.dropFirst()
    rolling.moved()
    state.processed--
  }

  #setNext(series: number, { run, processed }: SlidingSeries): void {
    const keptUs = this.#durationUs + this.#spec.keepForUs
    const freeUs = processed === 0 ? Number.POSITIVE_INFINITY : run.tsUs[run.first]! + keptUs
    const pendingUs = processed === run.length ? Number.POSITIVE_INFINITY : run.tsUs[run.first + processed]!
    this.#table.rows[series * seriesStride + seriesField.nextUs] = Math.min(freeUs, pendingUs)
  }

  /** Emit the range of `rolling`, which ends with the reading at this index. */
  #send(series: number, state: SlidingSeries, at: number): void {
    const { run, rolling } = state
    copyWindow(this.#memory, state)
    const endUs = run.tsUs[at]!
    this.#emit({
      series,
      startUs: run.tsUs[run.first + rolling.from]!,
      endUs,
      ordinal: run.orders[at]!,
      revision: Math.floor(run.notes[at]! / revised),
      retracted: false,
      truncated: state.truncatedUs > endUs - this.#durationUs,
      aggregates: this.#memory.windows,
      slot: this.#memory.slot,
    })
  }
}
