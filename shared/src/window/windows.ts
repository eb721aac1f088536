/**
 * Windows over many series: the seam between whoever has readings and whoever wants finished windows.
 *
 * Pure: readings, event times and the clock come in as arguments, windows go out through `emit`, during the call that finished them;
 * `emit` must not call back.
 * The same calls give the same emissions. With `record` and `restore` a caller that was killed goes on from a record: the
 * readings since then, fed again, give the same emissions again, the same ids with the same numbers. Batches may be cut elsewhere
 * the second time: a revision counts the readings that came after its window had closed, not the calls of `settle`.
 */
import type { ByteReader } from '../batch/byte-reader.ts'
import type { ByteWriter } from '../batch/byte-writer.ts'
import type { AggregateStore } from './aggregate-store.ts'

/** A finished window. What it points to is valid during the call alone. */
export interface Emission {
  readonly series: number
  /** First instant of a tumbling or hopping window; time of the first reading of the others. */
  readonly startUs: number
  /** First instant after a tumbling or hopping window; time of the last reading of the others. */
  readonly endUs: number
  /** sliding: arrival number of the reading it ends with; count: number of the window, from 0; else 0. */
  readonly ordinal: number
  /**
   * 0 when the watermark closed it; later the number of readings that came after that. Of one id the highest holds.
   * The id is (series, startUs); for sliding (series, endUs, ordinal), for count (series, ordinal).
   */
  readonly revision: number
  /** session: a late reading made it part of an earlier session, emitted under that one's id: delete it. */
  readonly retracted: boolean
  /** sliding: `maxReadings` was reached, the window holds its newest readings alone. */
  readonly truncated: boolean
  /** The numbers: `finish`, `quantile` and `encodeAggregate` of this slot. */
  readonly aggregates: AggregateStore
  readonly slot: number
}

/**
 * What became of a reading.
 *   taken            in its windows, or waiting for the watermark
 *   late             in, and windows that had closed are to be emitted again by `settle`
 *   partly-too-late  in, but its oldest windows are final, those whose last instant lies before `finalUs`
 *   too-late         not in: every window of it is final
 *   full             not in: `maxBytes` is reached
 *   not-finite       not in: NaN and ±Infinity belong to no number of a window
 * Windows that a reading came too late for, or that were full, are to be corrected from stored readings.
 */
export type Taken = 'taken' | 'late' | 'partly-too-late' | 'too-late' | 'full' | 'not-finite'

export interface Windows {
  /** A new series' number; for readings of windows that are final by `finalUs` it is too late. Throws `too-large` at `maxSeries`. */
  open(finalUs?: number): number
  /** Feed a reading. `order` numbers the arrivals of the series. Throws `unprocessable` for a time that is no safe integer. */
  add(series: number, tsUs: number, order: number, value: number): Taken
  /** Emit the windows that late readings have corrected since the last time. To be called after each batch, and before `record`. */
  settle(): void
  /**
   * Tell the time, by any clock that moves forward, if only in jumps. A series that had no reading for `idleAfter` of it is taken to live on
   * at the clock's rate: its watermark moves from where its readings left it by the time it has been silent. Series with readings
   * feel nothing, and neither does one whose own clock is slow or fast.
   */
  idle(nowUs: number): void
  /** Forget a series; its number may be used again. Returns its `finalUs`, for a later `open`. */
  close(series: number): number
  /** Windows whose last instant lies before this time are final. */
  finalUs(series: number): number
  /** A series' state as bytes: a series restored from it gives the same record and the same emissions. */
  record(series: number): Uint8Array
  /**
   * Replace the state of an open series. False, with nothing changed, when other windows or another version wrote it. Throws
   * `malformed` for bytes that are no such record, and leaves the series as after `open()`.
   */
  restore(series: number, record: Uint8Array): boolean
  /** Bytes of state in use. */
  bytes(): number
}

/** What differs between kinds of windows. `Windows` is one of these behind what is common to all. */
export interface WindowKind {
  /** Close what ends by the watermark and free what is final. Called when it reaches the series' `nextUs`, which is then set anew. */
  advance(series: number): void
  add(series: number, tsUs: number, order: number, value: number): Taken
  /** Emit what was corrected. */
  settle(series: number): void
  /** Free everything, emitting nothing; windows of its readings are final. */
  drop(series: number): void
  write(out: ByteWriter, series: number): void
  /** Into a series that has just been opened, whose row stands already. */
  read(source: ByteReader, series: number): void
  bytes(): number
}
