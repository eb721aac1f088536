/**
 * A start: find out what the folder holds, with one file read in full, whatever the backlog.
 *
 * The tail's rows and batches are read and checked; closed files are only compared with the catalogue by name and size (their rows
 * are checked when they are read). What is missing goes to the ledger: a closed file, rows between others (counted by the cumulative
 * counters on both sides), rows below the high-water mark, batches sealed in a lost tail. The readings of such a batch are sealed
 * again where they are still here, and counted as `maybeDuplicate`.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { BootClock } from '../time/boot-clock.ts'
import { BootTimes } from '../time/boot-times.ts'
import { Arrivals } from './arrivals.ts'
import type { BufferConfig } from './buffer-config.ts'
import { BufferFile, fileLayout } from './buffer-file.ts'
import {
  byClass,
  type Counters,
  changed,
  noCounters,
  noReadings,
  ofClass,
  plus,
  type SeriesClass,
  seriesClasses,
  sumOf,
  withClasses,
} from './counters.ts'
import { DeadLetterBox } from './dead-letter-box.ts'
import { Epochs } from './epochs.ts'
import { createFold } from './fold.ts'
import { startFold } from './fold-forward.ts'
import { Ledger } from './ledger.ts'
import { type FolderLock, lockFolder } from './lock.ts'
import { type Mark, MarkFile } from './mark.ts'
import { type OpenedTail, openTail } from './open-tail.ts'
import { touches, UnsealedRanges } from './ranges.ts'
import { RecallBook, type RecallState } from './recall-book.ts'
import { ReceiptBook } from './receipts.ts'
import { countUnsealed, recountUnsealed } from './recount.ts'
import { repairFile, repairing } from './repair.ts'
import { loseSeqs, replayTail } from './replay.ts'
import { removeDatabase, rotate, syncFolder } from './rotate.ts'
import { finishReplacements } from './salvage.ts'
import {
  type ClosedFile,
  closedFiles,
  filePath,
  flushState,
  forgetBatches,
  type LedgerState,
  loseBatch,
  loseUnsealed,
  type Progress,
  type Sabotage,
  type StoreState,
  type TimesState,
} from './state.ts'
import { unsealedIn } from './unsealed.ts'

export interface StoreOptions {
  readonly config: BufferConfig
  readonly epoch: number
  readonly sabotage: Sabotage | null
  /** The boot that runs. */
  readonly bootId: string
}

export function openStore(options: StoreOptions): StoreState {
  const { folder } = options.config
  makeFolder(folder)
  const lock = lockFolder(folder)
  try {
    finishReplacements(folder)
    const mark = MarkFile.open(join(folder, 'mark'))
    const notices: string[] = []
    const tailOptions = { fsyncOff: options.sabotage === 'fsync-off' }
    const tail = openTail(folder, fileNumbers(folder), mark.found, tailOptions, notices)
    const state = load(options, tail, mark, lock, notices)
    checkCatalogue(state)
    recountUnsealed(state)
    checkMark(state)
    startFold(state, options.config.policies)
    flushState(state)
    if (state.tail.layout !== fileLayout) rotate(state)
    return state
  } catch (error) {
    lock.release()
    if (error instanceof TributaryError) throw error
    throw new TributaryError('storage', `cannot open the buffer in ${folder}: ${messageOf(error)}`, {
      cause: error,
      hint: 'Check that its disk is there and healthy. What it holds is taken up at the next start.',
    })
  }
}

function makeFolder(folder: string): void {
  try {
    const first = mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (first !== undefined) syncNames(folder, first)
  } catch (cause) {
    throw new TributaryError('storage', `cannot make the data folder ${folder}: ${messageOf(cause)}`, {
      cause,
      hint: 'Name another folder in the configuration, or make this one writable for the user that runs the agent.',
    })
  }
}

/** Folders from `first` down to `folder` were made: without this a power cut may take their names, and all that is in them. */
function syncNames(folder: string, first: string): void {
  for (let made = folder; made.length >= first.length; made = dirname(made)) syncFolder(dirname(made))
}

function fileNumbers(folder: string): number[] {
  const numbers = readdirSync(folder).map(name => /^(\d{6,})\.db$/.exec(name)?.[1])
  return numbers
    .filter(digits => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

function load(
  { config, epoch, sabotage, bootId }: StoreOptions,
  { file: tail, no: tailNo, inherited }: OpenedTail,
  mark: MarkFile,
  lock: FolderLock,
  notices: string[],
): StoreState {
  const own = tail.state('progress') as Progress | null
  const progress = own ?? inherited.progress
  const ledger = (tail.state('ledger') ?? inherited.ledger) as LedgerState | null
  const known = (tail.state('times') ?? inherited.times) as TimesState | null
  const times = new BootTimes(known, bootId)
  const closed = closedFiles(tail.state('catalogue') ?? inherited.catalogue)
  const state: StoreState = {
    config,
    sabotage,
    folder: config.folder,
    lock,
    mark,
    epoch: sabotage === 'keep-epoch' ? (mark.found?.epoch ?? epoch) : epoch,
    epochs: new Epochs([...(progress?.epochs ?? [])]),
    ledger: new Ledger(ledger?.entries ?? [], ledger?.gone ?? []),
    receipts: new ReceiptBook(config.maxReceipts),
    letters: new DeadLetterBox(
      config.maxDeadLetters,
      config.maxDeadLetterBytes,
      progress?.droppedLetters ?? 0,
      known?.letters ?? [],
    ),
    bootClock: new BootClock(bootId),
    times,
    tail,
    tailNo,
    tailFirstRow: own?.tailFirstRow ?? (closed.at(-1)?.lastRow ?? 0) + 1,
    tailReadings: noReadings,
    tailHoles: [...(own?.holes ?? [])],
    closed,
    lastRow: 0,
    unsealed: new UnsealedRanges(progress?.behind ?? [], {
      from: progress?.cursor ?? { row: 1, offset: 0 },
      readings: progress?.unsealed ?? 0,
    }),
    arrivals: new Arrivals(),
    moved: [],
    recalls: new RecallBook(tail.state('recalls') as RecallState | null),
    fold: createFold(config.policies, config.maxOpenBytes),
    counters: progress ? withClasses(progress.counters, progress.counters.classes) : noCounters,
    resealed: progress?.resealed ?? 0,
    dirty: own === null,
    catalogueDirty: tail.state('catalogue') === null,
    doomed: [],
    reader: null,
    decoded: [],
    notices,
  }
  state.ledger.dirty = tail.state('ledger') === null
  replayTail(state, progress?.row ?? 0, own === null ? inherited : null)
  if (!known?.boots.some(({ boot }) => boot === bootId)) state.letters.bootChanged(times.previous)
  state.epochs.get(state.epoch)
  return state
}

/** Compare the closed files, and the files of the pending batches, with what the tail remembers of them. */
function checkCatalogue(state: StoreState): void {
  const present = new Set(fileNumbers(state.folder))
  for (const file of [...state.closed]) {
    const path = filePath(state.folder, file.no)
    if (!present.has(file.no)) loseFile(state, file)
    else if (existsSync(`${path}-wal`)) retireLeftOpen(state, file)
    else if (statSync(path).size !== file.bytes) repairFile(state, file)
  }
  const known = new Set([state.tailNo, ...state.closed.map(file => file.no)])
  for (const no of present) if (!known.has(no)) removeDatabase(filePath(state.folder, no))
  for (const { epoch, pending } of state.epochs.states) {
    for (const { seq, file } of [...pending]) {
      const held =
        file === state.tailNo ? state.tail.batchesFrom(epoch, seq).some(batch => batch.seq === seq) : known.has(file)
      if (!held) loseBatch(state, epoch, seq, 'missing')
    }
  }
}

/** A crash came between the making of the next file and the closing of this one. */
function retireLeftOpen(state: StoreState, file: ClosedFile): void {
  const path = filePath(state.folder, file.no)
  const left = repairing(state, file.no, () => BufferFile.openTail(path, { fsyncOff: false }))
  if (left === 'repaired') return
  left.retire()
  const { size: bytes } = statSync(path)
  state.closed = state.closed.map(other => (other === file ? { ...file, bytes } : other))
  state.catalogueDirty = true
}

/** A closed file is gone: what it held and was not acknowledged is lost. */
function loseFile(state: StoreState, file: ClosedFile): void {
  state.notices.push(`file ${file.no} of the buffer is missing`)
  state.closed = state.closed.filter(other => other !== file)
  state.catalogueDirty = true
  forgetBatches(state, file, 'missing')
  let lost = noReadings
  for (const range of state.unsealed.all.filter(one => touches(one, file.firstRow, file.lastRow))) {
    const ofRange = unsealedIn(state, file, range)
    range.readings -= sumOf(ofRange)
    lost = plus(lost, ofRange)
  }
  state.unsealed.trim(file.firstRow, file.lastRow)
  state.dirty = true
  if (sumOf(lost) > 0) loseUnsealed(state, lost, true, 'missing')
}

/** Compare the rows with the high-water mark. */
function checkMark(state: StoreState): void {
  const found = state.mark.found
  if (!found) return
  const nextSeq = state.epochs.find(found.epoch)?.nextSeq ?? 1
  if (found.nextSeq > nextSeq) {
    const { counters } = state
    state.counters = { ...counters, maybeDuplicate: counters.maybeDuplicate + sealedByMark(state, found) }
    state.epochs.get(found.epoch).nextSeq = found.nextSeq
    state.dirty = true
    loseSeqs(state, found.epoch, nextSeq, found.nextSeq - 1)
  }
  if (found.row > state.lastRow) loseTail(state, found.row, found.counters)
}

/** Readings unsealed here that were sealed when the mark was written: before the backlog's start, and in the live lane. */
function sealedByMark(state: StoreState, { cursor, backlog }: Mark): number {
  const nothing = { row: 0, offset: 0 }
  if (backlog === null) return countUnsealed(state, nothing, cursor)
  const live = { row: backlog.end, offset: 0 }
  return countUnsealed(state, nothing, backlog.from) + countUnsealed(state, live, cursor)
}

/** The missing rows held what was accepted until then, but for what a policy left out; a dead letter among it counts as a reading. */
function loseTail(state: StoreState, row: number, then: Counters): void {
  const now = state.counters
  const missing = byClass(name => {
    const [before, after] = [ofClass(now, name), ofClass(then, name)]
    const letters = name === 'raw' ? then.deadLettered - now.deadLettered : 0
    return Math.max(0, after.accepted - before.accepted - suppressedSince(now, then, name) + letters)
  })
  const text = `rows ${state.lastRow + 1} to ${row} are missing at the end of the buffer, ${sumOf(missing)} readings`
  state.notices.push(text)
  state.tailHoles.push([state.lastRow + 1, row])
  state.lastRow = row
  for (const name of seriesClasses) {
    const suppressed = suppressedSince(now, then, name)
    const kept = name === 'aggregate' ? { folded: missing[name] } : { stored: missing[name] }
    const change = { accepted: missing[name] + suppressed, suppressed, ...kept }
    state.counters = changed(state.counters, name, change)
  }
  loseUnsealed(state, missing, false, 'missing')
}

function suppressedSince(now: Counters, then: Counters, name: SeriesClass): number {
  return Math.max(0, ofClass(then, name).suppressed - ofClass(now, name).suppressed)
}
