/**
 * What the tables of a buffer file hold, and the CRC-32 over identity and contents by which each record is known to be whole.
 */
import { crc32 } from 'node:zlib'
import { TributaryError } from '@tributary/shared/errors'
import type { StoredDeadLetter } from './buffer.ts'
import type { ClassCounts } from './counters.ts'

export interface StoredRow {
  readonly n: number
  readonly readings: number
  /** Of the readings, those of class aggregate, and those of class alarm; 0 in files of layouts 1 and 2. */
  readonly held: number
  readonly alarms: number
  /** Layout of receipts.ts. */
  readonly receipts: Uint8Array | null
  /** Layout of row-codec.ts. */
  readonly data: Uint8Array
}

export function classesOfRow({ readings, held, alarms }: StoredRow): ClassCounts {
  return { raw: readings - held - alarms, aggregate: held, alarm: alarms }
}

export interface BatchEntry {
  readonly epoch: number
  readonly seq: number
  /** Its readings stand in the rows [first, next); `first` is null in files of layout 1: everything before `next` is sealed then. */
  readonly firstRow: number | null
  readonly firstOffset: number | null
  readonly nextRow: number
  readonly nextOffset: number
  readonly readings: number
  /** Of the readings, those of class alarm; 0 in files of layouts 1 and 2. */
  readonly alarms: number
  /** Readings that its aggregates stand for. */
  readonly aggregated: number
  /** Of those, the ones of class raw (thin.ts); 0 in files of layouts 1 to 3. */
  readonly thinned: number
  readonly newestUs: number
}

export interface StoredBatch extends BatchEntry {
  readonly body: Uint8Array
}

/** Identities of rows, and of batches of layout 1, have 6 numbers; of batches 8, with alarms or aggregates 10, with thinned readings 11. */
const identity = new Float64Array(11)
const identityBytes = new Uint8Array(identity.buffer)
const shortIdentityBytes = identityBytes.subarray(0, 6 * 8)
const rawIdentityBytes = identityBytes.subarray(0, 8 * 8)
const classIdentityBytes = identityBytes.subarray(0, 10 * 8)
const nothing = new Uint8Array(0)

export function rowCrc(row: StoredRow): number {
  identity.fill(0)
  identity.set([row.n, row.readings, row.receipts?.length ?? 0, row.held, row.alarms])
  return crc32(row.data, crc32(row.receipts ?? nothing, crc32(shortIdentityBytes)))
}

export function batchCrc(batch: StoredBatch): number {
  const { epoch, seq, nextRow, nextOffset, readings, newestUs, firstRow, firstOffset, alarms, aggregated } = batch
  const { thinned } = batch
  identity.set([
    epoch,
    seq,
    nextRow,
    nextOffset,
    readings,
    newestUs,
    firstRow ?? 0,
    firstOffset ?? 0,
    alarms,
    aggregated,
    thinned,
  ])
  const long = thinned > 0 ? identityBytes : alarms > 0 || aggregated > 0 ? classIdentityBytes : rawIdentityBytes
  return crc32(batch.body, crc32(firstRow === null ? shortIdentityBytes : long))
}

export function letterCrc(letter: StoredDeadLetter): number {
  const { id, source, origin, reason, receivedAtUs, payload } = letter
  return crc32(payload, crc32(JSON.stringify([id, source, origin, reason, receivedAtUs])))
}

export function stateCrc({ key, value }: { key: string; value: string }): number {
  return crc32(`${key}\n${value}`)
}

const nullCells: ReadonlySet<string> = new Set(['receipts', 'firstRow', 'firstOffset'])
const byteCells: ReadonlySet<string> = new Set(['receipts', 'data', 'body', 'payload'])
const textCells: ReadonlySet<string> = new Set(['source', 'origin', 'reason', 'key', 'value'])

/** A damaged page can also give cells of another type than the table's. */
export function checked<T extends { crc: number }>(
  path: string,
  what: string,
  stored: T,
  crcOf: (stored: T) => number,
): T {
  if (hasTypes(stored) && stored.crc === crcOf(stored)) return stored
  throw new TributaryError('corrupt', `${what} in ${path} fails its check`)
}

function hasTypes(stored: object): boolean {
  return Object.entries(stored).every(([name, cell]) => {
    if (cell === null) return nullCells.has(name)
    if (byteCells.has(name)) return cell instanceof Uint8Array
    return typeof cell === (textCells.has(name) ? 'string' : 'number')
  })
}
