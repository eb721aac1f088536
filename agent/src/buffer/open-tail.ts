/**
 * The file that a start goes on with: the newest that can be read, rebuilt when it is damaged, made when there is none.
 *
 * Everything in it is read and checked before anything is written. Rows that SQLite does not see because a frame of the write-ahead
 * log is torn are taken from the frames behind it, when the high-water mark says that there were more.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { BufferFile, type TailOptions } from './buffer-file.ts'
import { noReadings, plus } from './counters.ts'
import type { Mark } from './mark.ts'
import { batchRanges, removeDatabase, syncFolder } from './rotate.ts'
import { quarantine, replaceFile, type Salvaged, salvage } from './salvage.ts'
import { type ClosedFile, closedFiles, filePath, type LedgerState, type Progress, type TimesState } from './state.ts'
import { isDamage, isUnreadable } from './storage-error.ts'
import { type BatchEntry, classesOfRow } from './stored-records.ts'

export interface OpenedTail {
  readonly no: number
  readonly file: BufferFile
  readonly isNew: boolean
  /** What the tail should know and, being damaged, does not: as the file before it knew it. */
  readonly inherited: Inherited
}

export interface Inherited {
  readonly progress: Progress | null
  readonly catalogue: readonly ClosedFile[]
  readonly ledger: LedgerState | null
  readonly times: TimesState | null
  /** Batches of the files from the one that told `progress` on, in the order in which they were sealed. */
  readonly batches: readonly { readonly batch: BatchEntry; readonly file: number }[]
}

const nothingInherited: Inherited = { progress: null, catalogue: [], ledger: null, times: null, batches: [] }
/** A file of so few bytes with nothing in it was being made when the process ended. */
const halfMadeBytes = 32 * 1024

export function openTail(
  folder: string,
  numbers: readonly number[],
  mark: Mark | null,
  options: TailOptions,
  notices: string[],
): OpenedTail {
  for (const no of [...numbers].reverse()) {
    const path = filePath(folder, no)
    const opened = openWhole(path, options, notices)
    if (opened instanceof BufferFile) {
      rescueRows(opened, mark, notices)
      return { no, file: opened, isNew: false, inherited: nothingInherited }
    }
    if (isEmpty(opened)) {
      if (statSync(path).size <= halfMadeBytes) removeDatabase(path)
      else quarantine(path, folder)
      continue
    }
    replaceFile(path, opened, folder)
    notices.push(
      `file ${no} of the buffer was rebuilt: ${opened.rows.length} rows saved, the damaged one is in quarantine`,
    )
    const rebuilt = BufferFile.openTail(path, options)
    return { no, file: rebuilt, isNew: false, inherited: inherit(folder, numbers, no) }
  }
  const no = (numbers.at(-1) ?? 0) + 1
  const file = BufferFile.create(filePath(folder, no), options)
  syncFolder(folder)
  return { no, file, isNew: true, inherited: nothingInherited }
}

/** The file with everything in it checked; when it is damaged, what can be saved of it (before closing it drops the log). */
function openWhole(path: string, options: TailOptions, notices: string[]): BufferFile | Salvaged {
  let file: BufferFile | null = null
  try {
    // SQLite takes an empty file for a new database and deletes its log.
    if (!hasHeader(path)) throw new TributaryError('corrupt', `${path} is no database`)
    file = BufferFile.openTail(path, options)
    checkWhole(file)
    return file
  } catch (error) {
    const saved = isDamage(error) ? salvage(path) : null
    file?.close()
    if (!saved) throw error
    if (!isEmpty(saved)) notices.push(`the buffer's last file is damaged: ${messageOf(error)}`)
    return saved
  }
}

/** Does the file begin as a database does? */
export function hasHeader(path: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const header = Buffer.alloc(16)
    readSync(fd, header, 0, 16, 0)
    return header.toString('latin1') === 'SQLite format 3\0'
  } catch (error) {
    if (isUnreadable(error)) return false
    throw error
  } finally {
    closeSync(fd)
  }
}

function checkWhole(file: BufferFile): void {
  const progress = file.state('progress') as Progress | null
  if (!progress || !file.state('catalogue') || !file.state('ledger')) {
    throw new TributaryError('corrupt', `${file.path} has no state`)
  }
  let before = progress.tailFirstRow - 1
  for (const { n } of file.rows()) {
    if (n !== before + 1 && !isKnownHole(progress.holes, before + 1, n - 1)) {
      throw new TributaryError('corrupt', `rows ${before + 1} to ${n - 1} are missing in ${file.path}`)
    }
    before = n
  }
  for (const _batch of file.batches());
  for (const _letter of file.deadLetters());
}

export function isKnownHole(holes: Progress['holes'], from: number, to: number): boolean {
  return holes.some(hole => hole[0] <= from && hole[1] >= to)
}

/** Put back what a torn frame hides. */
function rescueRows(file: BufferFile, mark: Mark | null, notices: string[]): void {
  const last = file.lastRow()
  if (!mark || mark.row <= last) return
  const saved = salvage(file.path)
  const rows = saved.rows.filter(row => row.n > last)
  const batches = saved.batches.filter(({ epoch, seq }) => file.batch(epoch, seq) === null)
  if (rows.length + batches.length === 0) return
  const known = new Set(Array.from(file.deadLetters(), letter => letter.id))
  const letters = saved.letters.filter(letter => !known.has(letter.id))
  file.transaction(() => {
    for (const row of rows) file.putRow(row)
    for (const batch of batches) file.putBatch(batch)
    for (const letter of letters) file.putDeadLetter(letter)
  })
  notices.push(`${rows.length} rows and ${batches.length} batches were taken from a torn write-ahead log`)
}

function isEmpty({ rows, batches, letters, states }: Salvaged): boolean {
  return rows.length + batches.length + letters.length + states.size === 0
}

/** The state as the newest whole file before `no` has it, with the files between the two described anew. */
function inherit(folder: string, numbers: readonly number[], no: number): Inherited {
  const between: ClosedFile[] = []
  const batches: Inherited['batches'][number][] = []
  for (const other of numbers.filter(one => one < no).reverse()) {
    const described = describeFile(folder, other)
    between.unshift(described.file)
    batches.unshift(...described.batches)
    const { progress, catalogue, ledger, times } = described
    if (progress) {
      const earlier = catalogue.filter(file => numbers.includes(file.no) && file.no < other)
      return { progress, catalogue: [...earlier, ...between], ledger, times, batches }
    }
  }
  return { ...nothingInherited, catalogue: between, batches }
}

function describeFile(folder: string, no: number): Inherited & { readonly file: ClosedFile } {
  const path = filePath(folder, no)
  const saved = salvage(path)
  const rows = saved.rows
  const first = rows[0]?.n ?? 1
  const last = rows.at(-1)?.n ?? 0
  const { size: bytes } = statSync(path)
  return {
    file: {
      no,
      firstRow: first,
      lastRow: last,
      classes: rows.reduce((sum, row) => plus(sum, classesOfRow(row)), noReadings),
      bytes,
      closedAtMs: 0,
      closedIn: '',
      batches: batchRanges(saved.batches),
      holes: rows.length < last - first + 1,
    },
    progress: (saved.states.get('progress') ?? null) as Progress | null,
    catalogue: closedFiles(saved.states.get('catalogue') ?? []),
    ledger: (saved.states.get('ledger') ?? null) as LedgerState | null,
    times: (saved.states.get('times') ?? null) as TimesState | null,
    batches: saved.batches.map(({ body: _, ...batch }) => ({ batch, file: no })),
  }
}
