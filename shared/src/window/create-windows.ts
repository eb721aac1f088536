/** `Windows` for a spec: what is common to all kinds (bounds, watermarks, the clock, the head of a record) around one of them. */
import { ByteReader, malformed } from '../batch/byte-reader.ts'
import { ByteWriter } from '../batch/byte-writer.ts'
import { TributaryError } from '../errors.ts'
import { CountWindows } from './count-windows.ts'
import { PaneWindows } from './pane-windows.ts'
import {
  closeSeries,
  createSeriesTable,
  openSeries,
  resetSeries,
  type SeriesTable,
  seriesField,
  seriesStride,
} from './series-table.ts'
import { SessionWindows } from './session-windows.ts'
import { SlidingWindows } from './sliding-windows.ts'
import { type ResolvedSpec, resolveSpec, type WindowSpec, windowHash } from './window-spec.ts'
import type { Emission, Taken, WindowKind, Windows } from './windows.ts'

/** Throws `config` for a spec that cannot be kept. */
export function createWindows(spec: WindowSpec, emit: (window: Emission) => void): Windows {
  const resolved = resolveSpec(spec)
  const table = createSeriesTable(resolved.maxSeries)
  return new SeriesWindows(resolved, table, createKind(resolved, table, emit))
}

function createKind(spec: ResolvedSpec, table: SeriesTable, emit: (window: Emission) => void): WindowKind {
  switch (spec.kind) {
    case 'tumbling':
    case 'hopping':
      return new PaneWindows(spec, table, emit)
    case 'session':
      return new SessionWindows(spec, table, emit)
    case 'sliding':
      return new SlidingWindows(spec, table, emit)
    case 'count':
      return new CountWindows(spec, table, emit)
    default:
      return spec satisfies never
  }
}

const version = 1
const subject = 'stored window state'
/** Fields of a series that stand in its record, in this order. */
const recorded = [
  seriesField.newestUs,
  seriesField.watermarkUs,
  seriesField.nextUs,
  seriesField.closedUs,
  seriesField.finalUs,
  seriesField.heard,
  seriesField.quietSinceUs,
] as const

/**
 * A record: u8 version 1, uvarint hash of the spec, f64 × 7 newest, watermark, next, closed, final, heard, quietSince, then what its kind writes. Numbers as in
 * aggregate-codec.ts.
 */
class SeriesWindows implements Windows {
  readonly #spec: ResolvedSpec
  readonly #hash: number
  readonly #table: SeriesTable
  readonly #kind: WindowKind
  /** Series with something to settle. */
  readonly #corrected: number[] = []

  constructor(spec: ResolvedSpec, table: SeriesTable, kind: WindowKind) {
    this.#spec = spec
    this.#hash = windowHash(spec)
    this.#table = table
    this.#kind = kind
  }

  open(finalUs: number = Number.NEGATIVE_INFINITY): number {
    return openSeries(this.#table, finalUs)
  }

  add(series: number, tsUs: number, order: number, value: number): Taken {
    const row = this.#row(series)
    if (!Number.isFinite(value)) return 'not-finite'
    if (!Number.isSafeInteger(tsUs)) throw unusableTime(tsUs)
    const { rows } = this.#table
    rows[row + seriesField.heard] = 1
    if (tsUs > rows[row + seriesField.newestUs]!) {
      rows[row + seriesField.newestUs] = tsUs
      this.#moveWatermark(series, row, tsUs - this.#spec.latenessUs)
    }
    const taken = this.#kind.add(series, tsUs, order, value)
    if (taken === 'late' || taken === 'partly-too-late') this.#markCorrected(series)
    return taken
  }

  #moveWatermark(series: number, row: number, watermarkUs: number): void {
    const { rows } = this.#table
    if (watermarkUs <= rows[row + seriesField.watermarkUs]!) return
    rows[row + seriesField.watermarkUs] = watermarkUs
    const finalUs = watermarkUs - this.#spec.keepForUs
    if (finalUs > rows[row + seriesField.finalUs]!) rows[row + seriesField.finalUs] = finalUs
    if (watermarkUs >= rows[row + seriesField.nextUs]!) this.#kind.advance(series)
  }

  #markCorrected(series: number): void {
    const at = series * seriesStride + seriesField.corrected
    if (this.#table.rows[at] === 1) return
    this.#table.rows[at] = 1
    this.#corrected.push(series)
  }

  settle(): void {
    const { rows } = this.#table
    for (const series of this.#corrected) {
      const row = series * seriesStride
      if (rows[row + seriesField.corrected] !== 1) continue
      this.#kind.settle(series)
      rows[row + seriesField.corrected] = 0
    }
    this.#corrected.length = 0
  }

  idle(nowUs: number): void {
    this.settle()
    const { rows, open, used } = this.#table
    for (let series = 0; series < used; series++) {
      if (open[series] === 0) continue
      const row = series * seriesStride
      if (rows[row + seriesField.heard] === 1) {
        rows[row + seriesField.heard] = 0
        rows[row + seriesField.quietSinceUs] = nowUs
        continue
      }
      const silentUs = nowUs - rows[row + seriesField.quietSinceUs]!
      if (silentUs < this.#spec.idleAfterUs) continue
      this.#moveWatermark(series, row, rows[row + seriesField.newestUs]! + silentUs - this.#spec.latenessUs)
    }
  }

  close(series: number): number {
    const row = this.#row(series)
    this.settle()
    this.#kind.drop(series)
    closeSeries(this.#table, series)
    return this.#table.rows[row + seriesField.finalUs]!
  }

  finalUs(series: number): number {
    return this.#table.rows[this.#row(series) + seriesField.finalUs]!
  }

  record(series: number): Uint8Array {
    const row = this.#row(series)
    const { rows } = this.#table
    if (this.#corrected.length > 0) {
      throw new TributaryError('internal', 'window state recorded before the corrected windows were emitted', {
        hint: 'call settle() before record()',
      })
    }
    const out = new ByteWriter()
    out.u8(version)
    out.uvarint(this.#hash)
    for (const field of recorded) out.f64(rows[row + field]!)
    this.#kind.write(out, series)
    return out.bytes().slice()
  }

  restore(series: number, record: Uint8Array): boolean {
    const row = this.#row(series)
    const source = new ByteReader(record, 0, record.length, subject)
    if (source.u8() !== version || source.uvarint() !== this.#hash) return false
    this.#reset(series)
    try {
      for (const field of recorded) this.#table.rows[row + field] = source.f64()
      this.#kind.read(source, series)
      if (source.remaining > 0) throw malformed(`${source.remaining} bytes follow`, subject)
      return true
    } catch (error) {
      this.#reset(series)
      throw error
    }
  }

  bytes(): number {
    return this.#kind.bytes()
  }

  #reset(series: number): void {
    this.#kind.drop(series)
    resetSeries(this.#table, series, Number.NEGATIVE_INFINITY)
  }

  #row(series: number): number {
    if (this.#table.open[series] !== 1) throw new RangeError(`series ${series} is not open`)
    return series * seriesStride
  }
}

function unusableTime(tsUs: number): TributaryError {
  return new TributaryError('unprocessable', `a reading at ${tsUs}, which is no whole number of µs within ±2^53`, {
    hint: 'give event times in whole microseconds',
  })
}
