/**
 * Count windows: the last `n` readings, whenever `every` more have been counted; the first when there are `n`.
 *
 * Readings are counted in order of (time, arrival) as the watermark passes them. One that comes after its turn is too late and
 * changes nothing: it would renumber every window since. So a window is emitted once, as revision 0.
 *
 * At most `maxReadings` of a series are in memory, n of them in the window; with one more the oldest that waits is counted early.
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

interface CountSeries extends RollingSeries {
  /** Readings of the run that have been counted: all of them are in `rolling`. */
  counted: number
  /** Readings to be counted until the next window. */
  due: number
  /** Number of the next window. */
  ordinal: number
}

export class CountWindows implements WindowKind {
  readonly #spec: ResolvedSpec
  readonly #n: number
  readonly #every: number
  readonly #table: SeriesTable
  readonly #emit: (window: Emission) => void
  readonly #memory: RollingMemory
  readonly #states = new Map<number, CountSeries>()

  constructor(spec: ResolvedSpec & { kind: 'count' }, table: SeriesTable, emit: (window: Emission) => void) {
    this.#spec = spec
    this.#n = spec.n
    this.#every = spec.every ?? spec.n
    this.#table = table
    this.#emit = emit
    this.#memory = createRollingMemory(spec.sketchBuckets, spec.maxReadings)
  }

  add(series: number, tsUs: number, order: number, value: number): Taken {
    if (tsUs < this.#table.rows[series * seriesStride + seriesField.finalUs]!) return 'too-late'
    if (this.#isFull(series)) return 'full'
    const state = this.#state(series)
    if (isBehind(state, tsUs, order)) return 'too-late'
    if (state.run.length - state.counted >= this.#spec.maxReadings - this.#n) this.#countNext(series, state)
    insertReading(this.#memory, state, { tsUs, order, value, note: 0 })
    this.advance(series)
    return 'taken'
  }

  advance(series: number): void {
    const { rows } = this.#table
    const row = series * seriesStride
    const state = this.#state(series)
    while (this.#waitingUs(state) <= rows[row + seriesField.watermarkUs]!) this.#countNext(series, state)
    rows[row + seriesField.nextUs] = this.#waitingUs(state)
  }

  settle(): void {
    // Nothing is ever corrected.
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

  /** uvarint × 3 readings counted, due, ordinal, then the run (reading-run.ts). */
  write(out: ByteWriter, series: number): void {
    const state = this.#state(series)
    out.uvarint(state.counted)
    out.uvarint(state.due)
    out.uvarint(state.ordinal)
    state.run.write(out)
  }

  read(source: ByteReader, series: number): void {
    const state = this.#state(series)
    const { run, rolling } = state
    state.counted = source.count(this.#n, 'readings')
    state.due = source.count(Math.max(this.#n, this.#every), 'readings')
    state.ordinal = source.uvarint()
    this.#memory.runBytes -= run.bytes
    try {
      run.read(source, this.#spec.maxReadings)
    } finally {
      this.#memory.runBytes += run.bytes
    }
    if (state.counted > run.length) throw malformed('more readings counted than kept', source.subject)
    for (let i = 0; i < state.counted; i++) rolling.push(run)
  }

  bytes(): number {
    return rollingBytes(this.#memory) + seriesBytes(this.#table)
  }

  /** Whether a reading of this series needs memory that there is not. */
  #isFull(series: number): boolean {
    const state = this.#states.get(series)
    return (state === undefined || state.run.isFull) && this.bytes() >= this.#spec.maxBytes
  }

  #state(series: number): CountSeries {
    const known = this.#states.get(series)
    if (known !== undefined) return known
    const state = { ...createRollingSeries(this.#memory), counted: 0, due: this.#n, ordinal: 0 }
    this.#states.set(series, state)
    return state
  }

  /** Time of the first reading that waits to be counted; +∞ without one. */
  #waitingUs({ run, counted }: CountSeries): number {
    return counted === run.length ? Number.POSITIVE_INFINITY : run.tsUs[run.first + counted]!
  }

  #countNext(series: number, state: CountSeries): void {
    const { run, rolling } = state
    rolling.push(run)
    state.counted++
    if (state.counted > this.#n) {
      rolling.shift(run)
      run.dropFirst()
      rolling.moved()
      state.counted--
    }
    state.due--
    if (state.due > 0) return
    state.due = this.#every
    this.#send(series, state)
  }

  #send(series: number, state: CountSeries): void {
    const { run } = state
    copyWindow(this.#memory, state)
    this.#emit({
      series,
      startUs: run.tsUs[run.first]!,
      endUs: run.tsUs[run.first + state.counted - 1]!,
      ordinal: state.ordinal++,
      revision: 0,
      retracted: false,
      truncated: false,
      aggregates: this.#memory.windows,
      slot: this.#memory.slot,
    })
  }
}

/** Whether a reading stands before one that has been counted. */
function isBehind({ run, counted }: CountSeries, tsUs: number, order: number): boolean {
  if (counted === 0) return false
  const last = run.first + counted - 1
  return tsUs < run.tsUs[last]! || (tsUs === run.tsUs[last] && order < run.orders[last]!)
}
