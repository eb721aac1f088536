/**
 * What the tables of a buffer file hold, and the CRC-32 over identity and contents by which each record is known to be whole.
 */
import { crc32 } from 'node:zlib'
import { TributaryError } from '@tributary/shared/errors'
import type { StoredDeadLetter } from './buffer.ts'

export interface StoredRow {
  readonly n: number
  readonly readings: number
  /** Layout of receipts.ts. */
  readonly receipts: Uint8Array | null
  /** Layout of row-codec.ts. */
  readonly data: Uint8Array
}

export interface BatchEntry {
  readonly epoch: number
  readonly seq: number
  /** Where the next unsealed reading stands after this batch. */
  readonly nextRow: number
  readonly nextOffset: number
  readonly readings: number
  readonly newestUs: number
}

export interface StoredBatch extends BatchEntry {
  readonly body: Uint8Array
}

const identity = new Float64Array(6)
const identityBytes = new Uint8Array(identity.buffer)
const nothing = new Uint8Array(0)

export function rowCrc(row: StoredRow): number {
  identity.fill(0)
  identity.set([row.n, row.readings, row.receipts?.length ?? 0])
  return crc32(row.data, crc32(row.receipts ?? nothing, crc32(identityBytes)))
}

export function batchCrc(batch: StoredBatch): number {
  identity.set([batch.epoch, batch.seq, batch.nextRow, batch.nextOffset, batch.readings, batch.newestUs])
  return crc32(batch.body, crc32(identityBytes))
}

export function letterCrc(letter: StoredDeadLetter): number {
  const { id, source, origin, reason, receivedAtUs, payload } = letter
  return crc32(payload, crc32(JSON.stringify([id, source, origin, reason, receivedAtUs])))
}

export function stateCrc({ key, value }: { key: string; value: string }): number {
  return crc32(`${key}\n${value}`)
}

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
    if (cell === null) return name === 'receipts'
    if (byteCells.has(name)) return cell instanceof Uint8Array
    return typeof cell === (textCells.has(name) ? 'string' : 'number')
  })
}
