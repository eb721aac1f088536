/**
 * A start: find out what the folder holds, with one file read in full, whatever the backlog.
 *
 * The tail's rows and batches are read and checked; closed files are only compared with the catalogue by name and size (their rows
 * are checked when they are read). What is missing goes to the ledger: a closed file, rows below the high-water mark, batches sealed
 * in a lost tail (their readings are sealed again where they are still here, counted as `maybeDuplicate`).
 */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Counters } from '@tributary/shared/batch/batch'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { BufferConfig } from './buffer-config.ts'
import { type BatchEntry, BufferFile } from './buffer-file.ts'
import { DeadLetterBox } from './dead-letter-box.ts'
import { Epochs } from './epochs.ts'
import { Ledger } from './ledger.ts'
import { lockFolder } from './lock.ts'
import { MarkFile } from './mark.ts'
import { decodeReceipts, ReceiptBook } from './receipts.ts'
import { removeDatabase, syncFolder } from './rotate.ts'
import { decodeRowCounters } from './row-codec.ts'
import {
  type ClosedFile,
  type Cursor,
  filePath,
  fileToRead,
  flushState,
  type LedgerState,
  loseBatch,
  loseUnsealed,
  type Progress,
  type Sabotage,
  type StoreState,
} from './state.ts'

export interface StoreOptions {
  readonly config: BufferConfig
  readonly epoch: number
  readonly sabotage: Sabotage | null
}

const noCounters: Counters = { accepted: 0, stored: 0, suppressed: 0, deadLettered: 0, evicted: 0, maybeDuplicate: 0 }

export function openStore(options: StoreOptions): StoreState {
  const { folder } = options.config
  makeFolder(folder)
  const lock = lockFolder(folder)
  try {
    const state = begin(options, MarkFile.open(join(folder, 'mark')), lock)
    checkCatalogue(state)
    state.unsealed = unsealedFrom(state, state.cursor)
    checkMark(state)
    flushState(state)
    return state
  } catch (error) {
    lock.release()
    throw error
  }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new TributaryError('storage', `cannot make the data folder ${folder}: ${messageOf(cause)}`, {
      cause,
      hint: 'Name another folder in the configuration, or make this one writable for the user that runs the agent.',
    })
  }
}

export function fileNumbers(folder: string): number[] {
  const numbers = readdirSync(folder).map(name => /^(\d{6,})\.db$/.exec(name)?.[1])
  return numbers
    .filter(digits => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

function begin(options: StoreOptions, mark: MarkFile, lock: StoreState['lock']): StoreState {
  const { config, epoch, sabotage } = options
  const { folder } = config
  const tailOptions = { fsyncOff: sabotage === 'fsync-off' }
  const numbers = fileNumbers(folder)
  const tailNo = numbers.at(-1) ?? 1
  const isNew = numbers.length === 0
  const tail = isNew
    ? BufferFile.create(filePath(folder, tailNo), tailOptions)
    : BufferFile.openTail(filePath(folder, tailNo), tailOptions)
  const progress = tail.state('progress') as Progress | null
  const ledger = tail.state('ledger') as LedgerState | null
  const state: StoreState = {
    config,
    sabotage,
    folder,
    lock,
    mark,
    epoch,
    epochs: new Epochs([...(progress?.epochs ?? [])]),
    ledger: new Ledger(ledger?.entries ?? [], ledger?.gone ?? []),
    receipts: new ReceiptBook(config.maxReceipts),
    letters: new DeadLetterBox(config.maxDeadLetters, config.maxDeadLetterBytes, progress?.droppedLetters ?? 0),
    tail,
    tailNo,
    tailFirstRow: 0,
    tailReadings: 0,
    tailHoles: [...(progress?.holes ?? [])],
    closed: (tail.state('catalogue') as ClosedFile[] | null) ?? [],
    lastRow: progress?.row ?? 0,
    cursor: progress?.cursor ?? { row: 1, offset: 0 },
    unsealed: 0,
    counters: progress?.counters ?? noCounters,
    dirty: false,
    catalogueDirty: false,
    reader: null,
    decoded: null,
    notices: [],
  }
  replayTail(state, progress?.row ?? 0)
  state.epochs.get(epoch)
  if (isNew) {
    state.dirty = true
    state.catalogueDirty = true
    state.ledger.dirty = true
    flushState(state)
    syncFolder(folder)
  }
  return state
}

/** Take in the rows and batches of the tail, which are newer than its `progress` where they differ. */
function replayTail(state: StoreState, progressRow: number): void {
  const { tail } = state
  let before = 0
  let data: Uint8Array | null = null
  for (const row of tail.rows()) {
    if (before === 0) state.tailFirstRow = row.n
    else if (row.n !== before + 1 && !isKnownHole(state, before + 1, row.n - 1)) {
      throw new TributaryError('corrupt', `rows ${before + 1} to ${row.n - 1} are missing in ${tail.path}`)
    }
    before = row.n
    data = row.data
    state.tailReadings += row.readings
    if (!row.receipts) continue
    const { columns, releases } = decodeReceipts(row.receipts)
    state.receipts.apply(columns, releases)
  }
  if (data && before > progressRow) state.counters = decodeRowCounters(data)
  state.lastRow = Math.max(state.lastRow, before)
  if (state.tailFirstRow === 0) state.tailFirstRow = state.lastRow + 1
  for (const batch of tail.batches()) replayBatch(state, batch)
  state.letters.load(tail)
}

function isKnownHole(state: StoreState, from: number, to: number): boolean {
  return state.tailHoles.some(hole => hole[0] <= from && hole[1] >= to)
}

function replayBatch(state: StoreState, batch: BatchEntry): void {
  if (batch.seq < state.epochs.get(batch.epoch).nextSeq) return
  state.epochs.sealed(batch, state.tailNo)
  const { nextRow: row, nextOffset: offset } = batch
  if (isBefore(state.cursor, { row, offset })) state.cursor = { row, offset }
}

function isBefore(a: Cursor, b: Cursor): boolean {
  return a.row < b.row || (a.row === b.row && a.offset < b.offset)
}

/** Compare the closed files with what the tail remembers of them. */
function checkCatalogue(state: StoreState): void {
  const present = new Set(fileNumbers(state.folder))
  for (const file of [...state.closed]) {
    if (!present.has(file.no)) loseFile(state, file)
    else if (existsSync(`${filePath(state.folder, file.no)}-wal`)) retireLeftOpen(state, file)
  }
  const known = new Set([state.tailNo, ...state.closed.map(file => file.no)])
  for (const no of present) if (!known.has(no)) removeDatabase(filePath(state.folder, no))
}

/** A crash came between the making of the next file and the closing of this one. */
function retireLeftOpen(state: StoreState, file: ClosedFile): void {
  BufferFile.openTail(filePath(state.folder, file.no), { fsyncOff: false }).retire()
  const { size: bytes } = statSync(filePath(state.folder, file.no))
  state.closed = state.closed.map(other => (other === file ? { ...file, bytes } : other))
  state.catalogueDirty = true
}

/** A closed file is gone: what it held and was not acknowledged is lost. */
function loseFile(state: StoreState, file: ClosedFile): void {
  state.notices.push(`file ${file.no} of the buffer is missing`)
  state.closed = state.closed.filter(other => other !== file)
  state.catalogueDirty = true
  forgetBatches(state, file, 'missing')
  if (file.lastRow < state.cursor.row) return
  const exact = state.cursor.row <= file.firstRow
  if (isBefore(state.cursor, { row: file.lastRow + 1, offset: 0 })) state.cursor = { row: file.lastRow + 1, offset: 0 }
  if (file.readings > 0) loseUnsealed(state, file.readings, exact, 'missing')
}

/** The batches of a file that is going or gone: those pending are lost, the others no longer kept as copies. */
export function forgetBatches(state: StoreState, file: ClosedFile, reason: string): void {
  for (const run of file.batches) {
    const pending = state.epochs.find(run.epoch)?.pending.filter(batch => batch.file === file.no) ?? []
    const inRun = pending.filter(batch => batch.seq >= run.fromSeq && batch.seq <= run.toSeq)
    const lost = inRun.reduce((sum, batch) => sum + batch.readings, 0)
    if (inRun.length <= run.toSeq - run.fromSeq) state.ledger.giveUp({ ...run, readings: run.readings - lost })
    for (const { seq } of inRun) loseBatch(state, run.epoch, seq, reason)
  }
}

/** Readings after a position. */
export function unsealedFrom(state: StoreState, cursor: Cursor): number {
  let readings = 0
  for (const file of [...state.closed, { no: state.tailNo, firstRow: state.tailFirstRow, lastRow: state.lastRow }]) {
    if (file.lastRow < cursor.row) continue
    if ('readings' in file && file.firstRow >= cursor.row) readings += file.readings
    else readings += fileToRead(state, file.no).readingsFrom(cursor.row)
  }
  return readings - cursor.offset
}

/** Compare the rows with the high-water mark. */
function checkMark(state: StoreState): void {
  const found = state.mark.found
  if (!found) return
  const sealedThen: Cursor = { row: found.cursorRow, offset: found.cursorOffset }
  const epoch = state.epochs.find(found.epoch)
  const nextSeq = epoch?.nextSeq ?? 1
  if (found.nextSeq > nextSeq) {
    const known = state.epochs.get(found.epoch)
    known.nextSeq = found.nextSeq
    const again = isBefore(state.cursor, sealedThen) ? state.unsealed - unsealedFrom(state, sealedThen) : 0
    const { counters } = state
    state.counters = { ...counters, maybeDuplicate: counters.maybeDuplicate + Math.max(0, again) }
    const toSeq = found.nextSeq - 1
    state.ledger.add({ epoch: found.epoch, fromSeq: nextSeq, toSeq, readings: 0, exact: false, reason: 'missing' })
    state.notices.push(
      `batches ${found.epoch}/${nextSeq} to ${toSeq} are missing; what is left of them is sealed again`,
    )
    state.dirty = true
  }
  if (found.row > state.lastRow) loseTail(state, found.row, found.counters)
}

function loseTail(state: StoreState, row: number, then: Counters): void {
  const missing = Math.max(0, then.accepted - state.counters.accepted)
  state.notices.push(`rows ${state.lastRow + 1} to ${row} are missing at the end of the buffer`)
  state.tailHoles.push([state.lastRow + 1, row])
  state.lastRow = row
  const { counters } = state
  state.counters = { ...counters, accepted: counters.accepted + missing, stored: counters.stored + missing }
  loseUnsealed(state, missing, false, 'missing')
}
