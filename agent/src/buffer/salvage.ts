/**
 * What can be saved of a damaged file: every row, batch, dead letter and state whose CRC holds, written into a fresh file that takes
 * its place. The damaged one is kept in `quarantine/` (the newest three), for a person to look at.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isTributaryError } from '@tributary/shared/errors'
import { decodeAggregateRow } from './aggregate-row.ts'
import type { StoredDeadLetter } from './buffer.ts'
import { BufferFile, pageBytes } from './buffer-file.ts'
import { type Cell, type ScannedRecord, scanRecords } from './page-scan.ts'
import { removeDatabase, syncFolder } from './rotate.ts'
import { decodeRow } from './row-codec.ts'
import { batchCrc, letterCrc, rowCrc, type StoredBatch, type StoredRow, stateCrc } from './stored-records.ts'

export interface Salvaged {
  readonly rows: StoredRow[]
  readonly batches: StoredBatch[]
  readonly letters: StoredDeadLetter[]
  readonly states: Map<string, unknown>
}

const maxQuarantined = 3

/** Everything whole in the file and its log, in order. */
export function salvage(path: string): Salvaged {
  const rows = new Map<number, StoredRow>()
  const batches = new Map<string, { id: number; batch: StoredBatch }>()
  const letters = new Map<number, StoredDeadLetter>()
  const states = new Map<string, { version: number; value: unknown }>()
  for (const record of scanRecords(path, pageBytes)) {
    const row = rowOf(record)
    if (row) rows.set(row.n, row)
    const batch = batchOf(record)
    if (batch) batches.set(`${batch.epoch}/${batch.seq}`, { id: record.rowid, batch })
    const letter = letterOf(record)
    if (letter) letters.set(letter.id, letter)
    const state = stateOf(record)
    if (state && state.version > (states.get(state.key)?.version ?? 0)) states.set(state.key, state)
  }
  return {
    rows: [...rows.values()].sort((a, b) => a.n - b.n),
    batches: [...batches.values()].sort((a, b) => a.id - b.id).map(({ batch }) => batch),
    letters: [...letters.values()].sort((a, b) => a.id - b.id),
    states: new Map([...states].map(([key, { value }]) => [key, value])),
  }
}

/** Put what was saved in the place of the damaged file. */
export function replaceFile(path: string, saved: Salvaged, folder: string): void {
  const fresh = `${path}.new`
  removeDatabase(fresh)
  const file = BufferFile.create(fresh, { fsyncOff: false })
  try {
    file.transaction(() => {
      for (const row of saved.rows) file.putRow(row)
      for (const batch of saved.batches) file.putBatch(batch)
      for (const letter of saved.letters) file.putDeadLetter(letter)
      for (const [key, value] of saved.states) file.putState(key, value)
    })
  } catch (error) {
    file.close()
    removeDatabase(fresh)
    throw error
  }
  file.retire()
  quarantine(path, folder)
  renameSync(fresh, path)
  syncFolder(folder)
}

/** A crash came while a file was replaced: finish it, or take it back. */
export function finishReplacements(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.db.new')) continue
    const path = join(folder, name.slice(0, -'.new'.length))
    if (existsSync(path)) removeDatabase(`${path}.new`)
    else renameSync(`${path}.new`, path)
  }
}

export function quarantine(path: string, folder: string): void {
  const place = join(folder, 'quarantine')
  mkdirSync(place, { recursive: true, mode: 0o700 })
  const name = `${nextNumber(place)}-${basename(path)}`
  for (const suffix of ['-wal', '-shm', '-journal', '']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, join(place, name + suffix))
  }
  const kept = readdirSync(place)
    .filter(other => other.endsWith('.db'))
    .sort()
  for (const old of kept.slice(0, -maxQuarantined)) {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(join(place, old + suffix), { force: true })
  }
}

/** One above those that are there: the clock may be wrong, and the newest are the ones that are kept. */
function nextNumber(place: string): string {
  const numbers = readdirSync(place).map(name => Number.parseInt(name, 10) || 0)
  return String(Math.max(0, ...numbers) + 1).padStart(13, '0')
}

function rowOf({ rowid: n, cells }: ScannedRecord): StoredRow | null {
  const [readings, held, alarms, crc, receipts, data] = cells.length === 5 ? rowOfLayout2(cells) : cells.slice(1)
  if (cells.length !== 5 && cells.length !== 7) return null
  if (![readings, held, alarms].every(cell => typeof cell === 'number')) return null
  if (!(receipts === null || isBytes(receipts)) || !isBytes(data)) return null
  const row = { n, readings, held, alarms, receipts, data } as StoredRow
  return rowCrc(row) === crc && isReadable(data) ? row : null
}

/** In layouts 1 and 2 a row does not count its readings by class: they are raw. */
function rowOfLayout2([, readings, ...rest]: readonly Cell[]): readonly (Cell | undefined)[] {
  return [readings, 0, 0, ...rest]
}

/** A row that was written wrong has a good CRC, and would make its file look damaged again and again. */
function isReadable(data: Uint8Array): boolean {
  try {
    const { rest } = decodeRow(data)
    if (rest) decodeAggregateRow(rest)
    return true
  } catch (error) {
    if (isTributaryError(error, 'corrupt')) return false
    throw error
  }
}

function batchOf({ cells }: ScannedRecord): StoredBatch | null {
  const named = batchCells(cells)
  if (!named) return null
  const { crc, body, firstRow, firstOffset, ...numbers } = named
  if (!Object.values(numbers).every(cell => typeof cell === 'number') || !isBytes(body)) return null
  if (![firstRow, firstOffset].every(cell => cell === null || typeof cell === 'number')) return null
  const batch = { ...numbers, firstRow, firstOffset, body } as StoredBatch
  return batchCrc(batch) === crc ? batch : null
}

/** In layout 3 no batch has thinned readings. */
function batchOfLayout3(cells: readonly Cell[]): readonly Cell[] {
  return [...cells.slice(0, 10), 0, ...cells.slice(10)]
}

/** The cells of a batch of any layout, by name. */
function batchCells(cells: readonly Cell[]) {
  if (cells.length === 13 || cells.length === 14) {
    const [
      ,
      epoch,
      seq,
      firstRow,
      firstOffset,
      nextRow,
      nextOffset,
      readings,
      alarms,
      aggregated,
      thinned,
      newestUs,
      crc,
      body,
    ] = cells.length === 14 ? cells : batchOfLayout3(cells)
    const place = { firstRow, firstOffset, nextRow, nextOffset }
    return { epoch, seq, ...place, readings, alarms, aggregated, thinned, newestUs, crc, body }
  }
  if (cells.length !== 9 && cells.length !== 11) return null
  const [, epoch, seq, nextRow, nextOffset, readings, newestUs, crc, body, firstRow = null, firstOffset = null] = cells
  const place = { firstRow, firstOffset, nextRow, nextOffset }
  return { epoch, seq, ...place, readings, alarms: 0, aggregated: 0, thinned: 0, newestUs, crc, body }
}

function letterOf({ rowid: id, cells }: ScannedRecord): StoredDeadLetter | null {
  if (cells.length !== 7) return null
  const [, source, origin, reason, receivedAtUs, crc, payload] = cells
  if (![source, origin, reason].every(cell => typeof cell === 'string') || typeof receivedAtUs !== 'number') return null
  if (!isBytes(payload)) return null
  const letter = { id, source, origin, reason, receivedAtUs, payload } as StoredDeadLetter
  return letterCrc(letter) === crc ? letter : null
}

function stateOf({ cells }: ScannedRecord): { key: string; version: number; value: unknown } | null {
  if (cells.length !== 4) return null
  const [key, version, crc, value] = cells
  if (typeof key !== 'string' || typeof version !== 'number' || typeof value !== 'string') return null
  return stateCrc({ key, value }) === crc ? { key, version, value: JSON.parse(value) } : null
}

function isBytes(cell: Cell | undefined): cell is Uint8Array {
  return cell instanceof Uint8Array
}
