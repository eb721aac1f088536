/**
 * What the writer knows, in memory, and how it is kept in the tail file.
 *
 * The tail alone tells a start everything: its `progress`, `catalogue` and `ledger` as last written, and its rows and batches, which
 * are newer than they where they differ (a seal writes its batch only, a commit its row only). So start-up reads one file in full,
 * whatever the backlog. An acknowledgement is written with the next commit, or by `tick` within ten seconds.
 *
 * A loss goes into the ledger and, by class, from `stored` or `folded` to `evicted` in the counters (counters.ts) in the same step.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { LossRange } from '@tributary/shared/batch/batch'
import { messageOf } from '@tributary/shared/errors'
import type { BootClock } from '../time/boot-clock.ts'
import type { BootTimes, BootTimesState } from '../time/boot-times.ts'
import type { AggregateRow } from './aggregate-row.ts'
import type { Arrivals } from './arrivals.ts'
import type { BufferConfig } from './buffer-config.ts'
import { BufferFile } from './buffer-file.ts'
import { type ClassCounts, type Counters, minus, noReadings, plus, sumOf, withLoss } from './counters.ts'
import type { DeadLetterBox, LetterRun } from './dead-letter-box.ts'
import { batchReadings, classesOfBatch, type EpochState, type Epochs } from './epochs.ts'
import { type Fold, writeFold } from './fold.ts'
import type { GoneRange, Ledger, LedgerEntry } from './ledger.ts'
import type { FolderLock } from './lock.ts'
import type { MarkFile } from './mark.ts'
import type { Cursor, UnsealedRange, UnsealedRanges } from './ranges.ts'
import type { RecallBook } from './recall-book.ts'
import type { ReceiptBook } from './receipts.ts'
import type { RowColumns } from './row-codec.ts'

/** A file that is no longer written. */
export interface ClosedFile {
  readonly no: number
  readonly firstRow: number
  readonly lastRow: number
  /** Readings in its rows. */
  readonly classes: ClassCounts
  readonly bytes: number
  /** Since 1970 UTC; with `closedIn`, of the clock of that boot, whose place in time was not known. */
  readonly closedAtMs: number
  readonly closedIn?: string
  /** Batches whose bodies it holds. */
  readonly batches: readonly GoneRange[]
  /** Rows are known to be missing in it. */
  readonly holes: boolean
}

export interface Progress {
  readonly row: number
  readonly counters: Counters
  /** Start of the open range of unsealed readings. */
  readonly cursor: Cursor
  /** Readings after the cursor, up to and with `row`. */
  readonly unsealed: number
  /** The closed ranges; files of layout 1 have none. */
  readonly behind?: readonly UnsealedRange[]
  readonly epochs: readonly EpochState[]
  readonly tailFirstRow: number
  readonly holes: readonly (readonly [number, number])[]
  readonly droppedLetters: number
  /** Batches sealed again under another epoch; files of layout 1 do not tell. */
  readonly resealed?: number
}

/** Files described by a build that knew no classes hold raw readings only. */
export function closedFiles(stored: unknown): ClosedFile[] {
  return (stored as (ClosedFile & { readonly readings?: number })[]).map(({ readings = 0, ...file }) => ({
    ...file,
    classes: file.classes ?? { ...noReadings, raw: readings },
  }))
}

export interface LedgerState {
  readonly entries: LedgerEntry[]
  readonly gone: GoneRange[]
}

/** State `times` of a file. */
export interface TimesState extends BootTimesState {
  readonly letters: readonly LetterRun[]
}

export interface StoreState {
  readonly config: BufferConfig
  readonly sabotage: Sabotage | null
  readonly folder: string
  readonly lock: FolderLock
  readonly mark: MarkFile
  /** Under which batches are sealed: drawn at the start, and anew when the hub shows that somebody else seals under it. */
  epoch: number
  readonly epochs: Epochs
  readonly ledger: Ledger
  readonly receipts: ReceiptBook
  readonly letters: DeadLetterBox
  readonly bootClock: BootClock
  /** Where this boot and earlier ones stand in time. */
  readonly times: BootTimes
  tail: BufferFile
  tailNo: number
  tailFirstRow: number
  tailReadings: ClassCounts
  /** Runs of row numbers, first and last, that the tail is known not to have. */
  tailHoles: (readonly [number, number])[]
  /** By number, ascending, without the tail. */
  closed: readonly ClosedFile[]
  lastRow: number
  readonly unsealed: UnsealedRanges
  readonly arrivals: Arrivals
  readonly fold: Fold
  /** Alarms out of files that are given up, to be written into the tail with what is written next (carry.ts). */
  moved: readonly RowColumns[]
  readonly recalls: RecallBook
  counters: Counters
  /** Batches sealed again since the first start. */
  resealed: number
  /** `progress` in the tail is behind. */
  dirty: boolean
  catalogueDirty: boolean
  /** Numbers of files that are out of the catalogue and not yet unlinked. */
  readonly doomed: number[]
  /** A closed file opened to read, and the rows decoded last, one a lane: sealing reads on where it stopped. */
  reader: { readonly no: number; readonly file: BufferFile } | null
  decoded: readonly DecodedAt[]
  /** What happened that a person should know; handed over with the next answer. */
  readonly notices: string[]
}

export interface DecodedAt {
  readonly n: number
  readonly columns: RowColumns
  /** Of a row of aggregates; its columns are empty. */
  readonly aggregates: AggregateRow | null
  /** Readings, or parts of windows, that are to be sent; they come first. */
  readonly toSend: number
}

/**
 * Faults switched on by the proofs, to show that they notice: `ack-before-commit` calls back when a message is taken, `fsync-off`
 * commits without fsync, `no-ledger` tells nobody of a loss, `keep-epoch` goes on under the epoch that it finds. Never set otherwise.
 */
export type Sabotage = 'ack-before-commit' | 'fsync-off' | 'no-ledger' | 'keep-epoch'

export function filePath(folder: string, no: number): string {
  return join(folder, `${String(no).padStart(6, '0')}.db`)
}

/** Write what of the state is behind into the tail; part of a transaction of the caller. */
export function writeState(state: StoreState, tail: BufferFile = state.tail): void {
  if (state.dirty) {
    const { lastRow: row, counters, tailFirstRow, tailHoles: holes } = state
    const { states: epochs } = state.epochs
    const { dropped: droppedLetters } = state.letters
    const { live, behind } = state.unsealed
    const ranges = { cursor: live.from, unsealed: live.readings, behind }
    const { resealed } = state
    const progress: Progress = { row, counters, ...ranges, epochs, tailFirstRow, holes, droppedLetters, resealed }
    tail.putState('progress', progress)
  }
  if (state.recalls.dirty) tail.putState('recalls', state.recalls.state)
  if (state.catalogueDirty) tail.putState('catalogue', state.closed)
  if (state.times.dirty) {
    const times: TimesState = { ...state.times.state, letters: state.letters.runs }
    tail.putState('times', times)
  }
  if (state.ledger.dirty) tail.putState('ledger', { entries: state.ledger.entries, gone: state.ledger.gone })
}

/** The transaction of `writeState` was committed. */
export function stateWritten(state: StoreState): void {
  state.dirty = false
  state.catalogueDirty = false
  state.ledger.dirty = false
  state.recalls.dirty = false
  state.times.stored()
}

/** Commit what is behind, when something is. */
export function flushState(state: StoreState): void {
  const { dirty, catalogueDirty, ledger, times, recalls, fold } = state
  if (
    !dirty &&
    !catalogueDirty &&
    !ledger.dirty &&
    !times.dirty &&
    !recalls.dirty &&
    fold.closed.length + state.moved.length === 0
  )
    return
  const written = state.tail.transaction(() => {
    writeState(state)
    return writeFold(state)
  })
  stateWritten(state)
  written.follow()
  writeMark(state)
}

/** After a commit: what is durable stays so when the mark cannot be written, it only ages. */
export function writeMark(state: StoreState): void {
  const { lastRow: row, epoch, counters } = state
  const { nextSeq } = state.epochs.get(epoch)
  const { live, behind } = state.unsealed
  const backlog = behind[0] && { from: behind[0].from, end: behind.at(-1)?.to?.row ?? 0 }
  try {
    state.mark.write({ row, epoch, nextSeq, cursor: live.from, backlog: backlog ?? null, counters })
  } catch (error) {
    state.notices.push(`the high-water mark cannot be written: ${messageOf(error)}`)
  }
}

/** The file of that number, to read: the tail itself, or a closed file opened for as long as it is the one being read. */
export function fileToRead(state: StoreState, no: number): BufferFile {
  if (no === state.tailNo) return state.tail
  if (state.reader?.no === no) return state.reader.file
  closeReader(state)
  const file = BufferFile.openClosed(filePath(state.folder, no))
  state.reader = { no, file }
  return file
}

export function closeReader(state: StoreState): void {
  state.reader?.file.close()
  state.reader = null
}

/** The trusted time, ms since 1970 UTC; null while it is not known. The machine's own clock decides nothing here. */
export function nowMs(state: StoreState): number | null {
  const nowUs = state.times.timeUs(state.bootClock.nowUs())
  return nowUs === null ? null : Math.floor(nowUs / 1000)
}

/** Bytes on disk of all files, the tail's log included. */
export function bufferBytes(state: StoreState): number {
  const log = statSync(`${state.tail.path}-wal`, { throwIfNoEntry: false })
  return state.closed.reduce((sum, file) => sum + file.bytes, state.tail.bytes + (log?.size ?? 0))
}

/** What the hub may take as settled: everything below was acknowledged, or a batch tells that it is in the ledger. */
export function floorOf(state: StoreState, epoch: number): number {
  return Math.min(state.epochs.floor(epoch), state.ledger.firstUntold(epoch))
}

/** A loss whose readings are known by class. */
export type Loss = Omit<LossRange, 'readings'> & { readonly classes: ClassCounts }

/**
 * A loss goes into the ledger and into the counters. What is known at most may count again what was lost before: no more is lost than
 * there was.
 */
export function lose(state: StoreState, { classes, ...loss }: Loss): void {
  const counters = withLoss(state.counters, classes)
  const readings = loss.exact ? sumOf(classes) : counters.evicted - state.counters.evicted
  if (state.sabotage !== 'no-ledger') state.ledger.add({ ...loss, readings })
  state.counters = counters
  state.dirty = true
}

/** Readings lost before they were sealed: they take the next seq of the running epoch. */
export function loseUnsealed(state: StoreState, classes: ClassCounts, exact: boolean, reason: string): void {
  const epoch = state.epochs.get(state.epoch)
  const seq = epoch.nextSeq++
  lose(state, { epoch: state.epoch, fromSeq: seq, toSeq: seq, classes, exact, reason })
}

/** A sealed batch that was not acknowledged is lost. */
export function loseBatch(state: StoreState, epoch: number, seq: number, reason: string): void {
  const lost = state.epochs.remove(epoch, seq)
  if (lost) lose(state, { epoch, fromSeq: seq, toSeq: seq, classes: classesOfBatch(lost), exact: true, reason })
}

/** The batches of a file that is going or gone: those pending are lost, the others no longer kept as copies. */
export function forgetBatches(state: StoreState, file: ClosedFile, reason: string): void {
  for (const run of file.batches) {
    const pending = state.epochs.find(run.epoch)?.pending.filter(batch => batch.file === file.no) ?? []
    const inRun = pending.filter(batch => batch.seq >= run.fromSeq && batch.seq <= run.toSeq)
    const lost = inRun.reduce((sum, batch) => plus(sum, classesOfBatch(batch)), noReadings)
    if (inRun.length <= run.toSeq - run.fromSeq) {
      state.ledger.giveUp({ ...run, ...batchReadings(minus(classesOfBatch(run), lost)) })
    }
    for (const { seq } of inRun) loseBatch(state, run.epoch, seq, reason)
  }
}
