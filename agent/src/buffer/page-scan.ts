/**
 * Records out of the pages of a damaged database, without its b-trees.
 *
 * Every table leaf page of the file and of its write-ahead log is read for itself: a damaged header, schema, inner page or log frame
 * costs only what stood on it. The caller checks each record's own CRC, so a stale or torn page is at worst a record that is refused.
 * File and log formats: sqlite.org/fileformat2.html, §1.6 (b-tree pages, overflow), §2.1 (record), §4.1 (log).
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { isUnreadable } from './storage-error.ts'

export type Cell = number | string | Uint8Array | null

export interface ScannedRecord {
  readonly rowid: number
  readonly cells: readonly Cell[]
}

const leafPage = 0x0d
const blockBytes = 4096
const logHeaderBytes = 32
const frameHeaderBytes = 24

/**
 * All records that can be read, in the order of their pages. Throws when the medium gives nothing at all of the file and its log:
 * then it is the disk that is gone, not the file.
 */
export function* scanRecords(path: string, pageBytes: number): Generator<ScannedRecord> {
  const [file, log] = [readWhatCanBe(path), readWhatCanBe(`${path}-wal`)]
  const failure = file.failure ?? log.failure
  if (failure !== null && file.blocksRead + log.blocksRead === 0) throw failure
  for (const pages of [logPages(file.bytes, log.bytes, pageBytes), filePages(file.bytes, pageBytes)]) {
    for (const [no, page] of pages.leaves()) {
      const start = no === 1 ? 100 : 0
      if (page[start] !== leafPage) continue
      const view = viewOf(page)
      const count = view.getUint16(start + 3)
      for (let index = 0; index < count && start + 10 + 2 * index <= pageBytes; index++) {
        const record = readCell(pages, page, view.getUint16(start + 8 + 2 * index), pageBytes)
        if (record) yield record
      }
    }
  }
}

interface Pages {
  page(no: number): Uint8Array | undefined
  leaves(): Iterable<[number, Uint8Array]>
}

/** The database file alone. */
function filePages(bytes: Uint8Array, pageBytes: number): Pages {
  const page = (no: number) => {
    const at = (no - 1) * pageBytes
    return no > 0 && at + pageBytes <= bytes.length ? bytes.subarray(at, at + pageBytes) : undefined
  }
  return {
    page,
    *leaves() {
      for (let no = 1; no * pageBytes <= bytes.length; no++) yield [no, page(no) as Uint8Array]
    },
  }
}

interface ReadFile {
  readonly bytes: Uint8Array
  readonly blocksRead: number
  /** Of the last block that could not be read. */
  readonly failure: unknown
}

/** The bytes of a file, with zeros for the blocks that the medium does not give any more; nothing for a file that is not there. */
function readWhatCanBe(path: string): ReadFile {
  if (!existsSync(path)) return { bytes: new Uint8Array(0), blocksRead: 0, failure: null }
  const fd = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(fstatSync(fd).size)
    let blocksRead = 0
    let failure: unknown = null
    for (let at = 0; at < bytes.length; at += blockBytes) {
      try {
        readSync(fd, bytes, at, Math.min(blockBytes, bytes.length - at), at)
        blocksRead++
      } catch (error) {
        if (!isUnreadable(error)) throw error
        failure = error
      }
    }
    return { bytes, blocksRead, failure }
  } finally {
    closeSync(fd)
  }
}

/** The database with every frame of the log's running generation over it, whatever the frames' checksums say. */
function logPages(fileBytes: Uint8Array, log: Uint8Array, pageBytes: number): Pages {
  const file = filePages(fileBytes, pageBytes)
  const newest = new Map<number, Uint8Array>()
  const frames: [number, Uint8Array][] = []
  const view = viewOf(log)
  const step = frameHeaderBytes + pageBytes
  for (let at = logHeaderBytes; at + step <= log.length; at += step) {
    if (view.getUint32(at + 8) !== view.getUint32(16) || view.getUint32(at + 12) !== view.getUint32(20)) continue
    const no = view.getUint32(at)
    const page = log.subarray(at + frameHeaderBytes, at + step)
    newest.set(no, page)
    frames.push([no, page])
  }
  return { page: no => newest.get(no) ?? file.page(no), leaves: () => frames.reverse() }
}

function readCell(pages: Pages, page: Uint8Array, at: number, pageBytes: number): ScannedRecord | null {
  const length = readVarint(page, at)
  const rowid = length && readVarint(page, length.next)
  if (!length || !rowid || length.value > 2 ** 30) return null
  const payload = readPayload(pages, page, rowid.next, length.value, pageBytes)
  const cells = payload && readRecord(payload)
  return cells ? { rowid: rowid.value, cells } : null
}

/** The local part and its chain of overflow pages. */
function readPayload(pages: Pages, page: Uint8Array, at: number, length: number, pageBytes: number): Uint8Array | null {
  const most = pageBytes - 35
  if (length <= most) return at + length <= page.length ? page.subarray(at, at + length) : null
  const least = Math.floor(((pageBytes - 12) * 32) / 255) - 23
  const fitting = least + ((length - least) % (pageBytes - 4))
  const local = fitting <= most ? fitting : least
  if (at + local + 4 > page.length) return null
  const payload = new Uint8Array(length)
  payload.set(page.subarray(at, at + local))
  let next = viewOf(page).getUint32(at + local)
  for (let filled = local; filled < length; ) {
    const overflow = pages.page(next)
    if (!overflow) return null
    const part = overflow.subarray(4, 4 + Math.min(pageBytes - 4, length - filled))
    payload.set(part, filled)
    filled += part.length
    next = viewOf(overflow).getUint32(0)
  }
  return payload
}

function readRecord(payload: Uint8Array): Cell[] | null {
  const header = readVarint(payload, 0)
  if (!header || header.value > payload.length) return null
  const cells: Cell[] = []
  let at = header.value
  for (let next = header.next; next < header.value; ) {
    const type = readVarint(payload, next)
    if (!type) return null
    const size = cellBytes(type.value)
    if (at + size > payload.length) return null
    cells.push(readCellValue(type.value, payload.subarray(at, at + size)))
    at += size
    next = type.next
  }
  return cells
}

function cellBytes(type: number): number {
  if (type >= 12) return Math.floor((type - 12) / 2)
  return [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0][type] ?? 0
}

function readCellValue(type: number, bytes: Uint8Array): Cell {
  if (type >= 12) return type % 2 === 0 ? bytes.slice() : new TextDecoder().decode(bytes)
  if (type === 8 || type === 9) return type - 8
  if (type === 7) return viewOf(bytes).getFloat64(0)
  if (type === 0 || type > 9) return null
  let value = BigInt.asIntN(8, BigInt(bytes[0] ?? 0))
  for (const byte of bytes.subarray(1)) value = (value << 8n) | BigInt(byte)
  return Number(value)
}

/** SQLite's big-endian varint of up to 9 bytes; null past the end or beyond a safe integer. */
function readVarint(bytes: Uint8Array, at: number): { value: number; next: number } | null {
  let value = 0
  for (let index = 0; index < 9; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) return null
    value = index === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f)
    if (value > Number.MAX_SAFE_INTEGER) return null
    if (index === 8 || byte < 0x80) return { value, next: at + index + 1 }
  }
  return null
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
