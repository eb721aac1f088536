/**
 * The bounds of the buffer, kept by unlinking whole files, oldest first: acknowledged copies, then what was never sent.
 *
 * - `maxBytes`, and a full disk (a commit that fails with `storage-full`): copies first, then unsent readings and batches, into the
 *   ledger with their exact number. At most the bytes of one commit are above `maxBytes`.
 * - `minFreeBytes`: copies only. Other programs may fill a disk; what is promised is given up only when nothing else can be stored.
 * - `maxAgeMs` for unsent readings, `copyMaxAgeMs` and `copyShare` for copies; the age of a file counts from when it was closed, by the
 *   trusted time. While that is not known, or was not then, no file is old. With a policy of mode ring, copies stay until `maxBytes` or
 *   `minFreeBytes` asks for room: held readings are among them.
 * With `thinToMs`, raw readings of such a file are reduced to aggregates first, also when it is too old (thin.ts).
 * Order of classes: copies, raw readings, aggregates, alarms. Unsent aggregates and alarms do not go with a file, but to the tail
 * (carry.ts), unless they are too old; a file of alarms for the most part goes when there is no other. What is sealed goes with its batch.
 * The ledger is durable before a file is unlinked; a file left by a crash in between is removed at the next start.
 * `ballast` is a file of nothing that is given back to a full disk, so that the ledger can be written; made again when there is room.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { foldedInto } from './aggregate-row.ts'
import { alarmsIn, carry, carryAlarms, partsIn } from './carry.ts'
import { type ClassCounts, noReadings, plus, sumOf, unsentOf } from './counters.ts'
import { isFolding } from './fold.ts'
import { touches, type UnsealedRange } from './ranges.ts'
import { removeDatabase } from './rotate.ts'
import type { RowColumns } from './row-codec.ts'
import {
  bufferBytes,
  type ClosedFile,
  closeReader,
  filePath,
  flushState,
  forgetBatches,
  loseUnsealed,
  nowMs,
  type StoreState,
} from './state.ts'
import { isDamage, storageError } from './storage-error.ts'
import { thin } from './thin.ts'
import { countInClosed, isMissing, unsealedIn } from './unsealed.ts'

/** Evict until every bound holds. */
export function keepBounds(state: StoreState, atMs: number | null = nowMs(state)): void {
  const { config } = state
  const keepsRing = config.policies.some(({ mode }) => mode === 'ring')
  for (;;) {
    const spare = state.closed.filter(file => isSpare(state, file))
    const spareBytes = spare.reduce((sum, file) => sum + file.bytes, 0)
    const [copy] = spare
    if (
      copy &&
      !keepsRing &&
      (spareBytes > config.copyShare * config.maxBytes || isOlder(copy, config.copyMaxAgeMs, atMs))
    ) {
      evict(state, copy, 'evicted')
      continue
    }
    const full = boundBytes(state) > config.maxBytes
    if (full && state.closed.length > 0) {
      evict(state, copy ?? firstToGo(state.closed), 'evicted')
      continue
    }
    const [oldest] = state.closed
    if (!oldest || !isOlder(oldest, config.maxAgeMs, atMs)) return
    evict(state, oldest, 'expired')
  }
}

function isOlder({ closedAtMs, closedIn }: ClosedFile, ageMs: number, atMs: number | null): boolean {
  return atMs !== null && closedIn === undefined && closedAtMs + ageMs < atMs
}

/** Give up copies while the disk has too little left, and have the ballast when it has enough. */
export function watchDisk(state: StoreState): void {
  const { config } = state
  if (config.minFreeBytes > 0) {
    for (const file of state.closed.filter(one => isSpare(state, one))) {
      if (freeBytes(state) >= config.minFreeBytes) break
      evict(state, file, 'evicted')
    }
  }
  const wanted = config.ballastBytes
  if (wanted > 0 && !existsSync(ballastPath(state)) && freeBytes(state) >= 2 * wanted) {
    makeBallast(state, wanted)
  }
}

/** The disk is full: give back the ballast and the oldest file. False when there is nothing to give. */
export function makeRoom(state: StoreState): boolean {
  const ballast = existsSync(ballastPath(state))
  rmSync(ballastPath(state), { force: true })
  if (state.closed.length === 0) return ballast
  evict(state, state.closed.find(file => isSpare(state, file)) ?? firstToGo(state.closed), 'evicted')
  return true
}

/** The oldest file, but for those that are alarms for the most part as long as there is another: little would be left after they moved. */
function firstToGo(closed: readonly ClosedFile[]): ClosedFile {
  return closed.find(file => !isMostlyAlarms(file)) ?? (closed[0] as ClosedFile)
}

function isMostlyAlarms({ classes }: ClosedFile): boolean {
  return classes.alarm > sumOf(classes) / 2
}

function sumOfReadings(rows: readonly RowColumns[]): number {
  return rows.reduce((sum, { readings }) => sum + readings, 0)
}

/** Nothing in it but copies of what the hub has, and readings that went into windows. */
function isSpare(state: StoreState, file: ClosedFile): boolean {
  const unsent = state.unsealed.all.some(range => touches(range, file.firstRow, file.lastRow))
  return !unsent && !state.epochs.needsFile(file.no) && file.lastRow <= state.fold.foldedTo
}

/** What the buffer takes when its tail is full. */
function boundBytes(state: StoreState): number {
  return bufferBytes(state) + Math.max(0, state.config.fileBytes - state.tail.bytes)
}

function freeBytes(state: StoreState): number {
  const { bavail, bsize } = statfsSync(state.folder)
  return bavail * bsize
}

function evict(state: StoreState, file: ClosedFile, reason: string): void {
  const { firstRow, lastRow } = file
  const ranges = state.unsealed.all.filter(range => touches(range, firstRow, lastRow))
  const lost = ranges.map(range => ({ range, ...lostWith(state, file, range) }))
  const isRead = lost.every(one => one.exact)
  const thinned = isRead ? thin(state, file, ranges) : 0
  const unfolded = unfoldedIn(state, file)
  state.closed = state.closed.filter(other => other !== file)
  state.catalogueDirty = true
  forgetBatches(state, file, reason)
  for (const { range, classes, parts } of lost) range.readings -= sumOf(classes) + parts.length
  state.unsealed.trim(firstRow, lastRow)
  state.decoded = []
  const parts = lost.flatMap(one => one.parts)
  const carried = reason === 'evicted' && carry(state, file, parts)
  const folded = plus(carried ? noReadings : foldedInto(parts), { ...noReadings, aggregate: unfolded.readings })
  const gone = lost.reduce((sum, one) => plus(sum, one.classes), folded)
  const alarms = lost.flatMap(one => one.alarms)
  const moves = reason === 'evicted' && !isMostlyAlarms(file) && carryAlarms(state, alarms)
  const moved = moves ? sumOfReadings(alarms) : 0
  const classes = { ...gone, raw: gone.raw - thinned, alarm: gone.alarm - moved }
  const exact = unfolded.exact && isRead
  if (sumOf(classes) > 0) loseUnsealed(state, classes, exact, reason)
  if (lost.length > 0 || sumOf(folded) > 0) {
    const what = `file ${file.no} of the buffer was ${reason} with ${sumOf(classes)} unsent readings`
    state.notices.push(thinned > 0 ? `${what}; ${thinned} more were thinned to aggregates` : what)
  }
  state.doomed.push(file.no)
  state.dirty = true
  finishEviction(state)
}

/**
 * Make the ledger durable, then unlink. On a disk so full that the ledger does not fit the space comes first: a crash in between
 * finds the file missing, and counts the same number.
 */
export function finishEviction(state: StoreState): void {
  if (state.doomed.length === 0) return
  try {
    flushState(state)
  } catch (error) {
    if (storageError(error).code !== 'storage-full') throw error
    unlinkDoomed(state)
    flushState(state)
    return
  }
  unlinkDoomed(state)
}

function unlinkDoomed(state: StoreState): void {
  for (const no of state.doomed.splice(0)) {
    if (state.reader?.no === no) closeReader(state)
    removeDatabase(filePath(state.folder, no))
  }
}

/** Held readings that still wait for their place in time, and so are in no window. */
function unfoldedIn({ fold }: StoreState, file: ClosedFile): { readings: number; exact: boolean } {
  const readings = file.lastRow > fold.foldedTo ? file.classes.aggregate : 0
  return { readings, exact: readings === 0 || file.firstRow > fold.foldedTo }
}

interface LostRange {
  /** Readings. */
  readonly classes: ClassCounts
  /** Parts of windows beside them. */
  readonly parts: readonly ClosedPart[]
  /** Those of class alarm, by row. */
  readonly alarms: readonly RowColumns[]
  readonly exact: boolean
}

/** What of the range in the file is not sent: what its eviction costs. */
function lostWith(state: StoreState, file: ClosedFile, range: UnsealedRange): LostRange {
  try {
    const counted = unsentOf(countInClosed(state, file, range))
    const parts = state.counters.folded > 0 || isFolding(state.fold) ? partsIn(state, file, range) : []
    const alarms = alarmsIn(state, file, range)
    return { classes: { ...counted, raw: counted.raw - parts.length }, parts, alarms, exact: true }
  } catch (error) {
    if (!isDamage(error) && !isMissing(error)) throw error
    return { classes: unsealedIn(state, file, range), parts: [], alarms: [], exact: false }
  }
}

function ballastPath(state: StoreState): string {
  return join(state.folder, 'ballast')
}

function makeBallast(state: StoreState, bytes: number): void {
  const fd = openSync(ballastPath(state), 'w', 0o600)
  try {
    const block = new Uint8Array(64 * 1024)
    for (let left = bytes; left > 0; left -= block.length) writeSync(fd, block, 0, Math.min(left, block.length))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
