/**
 * Is everything in a buffer's folder whole? Every record's CRC, the numbering of the rows, and the books against the files, without
 * writing into the folder (file-copy.ts).
 *
 * A problem is what the next start would repair or put into the ledger, or what contradicts the books. What is in quarantine is damaged
 * by its nature: it is told, and no problem.
 */
import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf } from '@tributary/shared/errors'
import { BufferFile } from './buffer-file.ts'
import { type ClassCounts, type Counters, noReadings, plus, sumOf } from './counters.ts'
import { copyFile, type FileKind, type FoundFile, findFiles, removeCopy } from './file-copy.ts'
import { readMark } from './mark.ts'
import { hasHeader } from './open-tail.ts'
import { decodeRow } from './row-codec.ts'
import { type Salvaged, salvage } from './salvage.ts'
import { isDamage } from './storage-error.ts'
import { classesOfRow, type StoredRow } from './stored-records.ts'
import { type FileSummary, verifyBooks } from './verify-books.ts'

export interface VerifiedFile {
  readonly name: string
  readonly kind: FileKind
  readonly bytes: number
  readonly rows: number
  readonly firstRow: number | null
  readonly lastRow: number | null
  /** In its rows. */
  readonly readings: ClassCounts
  /** Parts of windows in its rows, to be sent or sent. */
  readonly aggregates: number
  readonly batches: number
  readonly deadLetters: number
  /** Why it cannot be read as it is; null when it can. What is counted here is what can be saved of it. */
  readonly damage: string | null
}

export interface VerifiedFolder {
  readonly folder: string
  readonly files: readonly VerifiedFile[]
  /** After the last row; null when no file tells. */
  readonly counters: Counters | null
  readonly problems: readonly string[]
}

/** `temporary` is a folder of the caller's, for one copy at a time; `onFile` is told before each file. */
export function verifyFolder(folder: string, temporary: string, onFile: (path: string) => void): VerifiedFolder {
  // The mark first: a running agent only gets further.
  const mark = readMark(join(folder, 'mark'))
  const files: VerifiedFile[] = []
  const summaries: FileSummary[] = []
  const problems: string[] = []
  for (const found of findFiles(folder)) {
    onFile(found.path)
    const copy = copyFile(found.path, temporary)
    if (copy === null) continue
    try {
      const saved = salvage(copy)
      const file = describe(found, copy, saved)
      files.push(file)
      if (found.kind === 'quarantined') continue
      summaries.push(summaryOf(found, saved))
      if (file.damage !== null) problems.push(`${file.name} is damaged: ${file.damage}`)
    } finally {
      removeCopy(copy)
    }
  }
  const books = verifyBooks(summaries, mark)
  return { folder, files, counters: books.counters, problems: [...problems, ...books.problems] }
}

function describe(found: FoundFile, copy: string, { rows, batches, letters }: Salvaged): VerifiedFile {
  const readings = rows.reduce((sum, row) => plus(sum, readingsOf(row)), noReadings)
  return {
    name: basename(found.path),
    kind: found.kind,
    bytes: statSync(copy).size,
    rows: rows.length,
    firstRow: rows[0]?.n ?? null,
    lastRow: rows.at(-1)?.n ?? null,
    readings,
    aggregates: rows.reduce((sum, row) => sum + row.readings, 0) - sumOf(readings),
    batches: batches.length,
    deadLetters: letters.length,
    damage: damageOf(copy),
  }
}

/** A row of aggregates counts them where others count readings. */
function readingsOf(row: StoredRow): ClassCounts {
  return decodeRow(row.data).rest === undefined ? classesOfRow(row) : noReadings
}

/** Read everything as the agent would, the log recovered. */
function damageOf(copy: string): string | null {
  let file: BufferFile | null = null
  try {
    if (!hasHeader(copy)) return 'it is no database'
    file = BufferFile.openTail(copy, { fsyncOff: true })
    for (const _row of file.rows());
    for (const _batch of file.batches());
    for (const _letter of file.deadLetters());
    for (const key of ['progress', 'catalogue', 'ledger']) file.state(key)
    return null
  } catch (error) {
    if (isDamage(error)) return messageOf(error).replaceAll(copy, basename(copy))
    throw error
  } finally {
    file?.close()
  }
}

function summaryOf({ no }: FoundFile, { rows, batches, states }: Salvaged): FileSummary {
  const last = rows.at(-1)
  return {
    no,
    rows: runsOf(rows.map(({ n }) => n)),
    lastRow: last ? { n: last.n, data: last.data } : null,
    batches: new Set(batches.map(({ epoch, seq }) => `${epoch}/${seq}`)),
    states,
  }
}

/** Numbers, ascending, as unbroken runs. */
function runsOf(numbers: readonly number[]): [number, number][] {
  const runs: [number, number][] = []
  for (const n of numbers) {
    const run = runs.at(-1)
    if (run && run[1] + 1 === n) run[1] = n
    else runs.push([n, n])
  }
  return runs
}
