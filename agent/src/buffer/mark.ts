/**
 * The high-water mark: a second, tiny file that remembers how far the rows have come.
 *
 * A database whose write-ahead log was deleted, torn or replaced looks healthy: it only ends earlier. The mark shows it. Two slots
 * of 128 bytes are written in turn after every commit, each with a CRC, so that one is always whole. It is written without fsync: a
 * killed process loses nothing of it; after a power cut it may be as old as the kernel's write-back (about 30 s), and a tail lost
 * within that time stays unseen. An fsync per commit would double the wear to close that gap only.
 * A mark that is behind the rows says nothing; one that is ahead says that rows are missing, and the difference of its `accepted`
 * to theirs is how many readings at least.
 *
 * Slot: u32 crc of the rest · u32 version 1 · 15 × f64: generation, row, epoch, nextSeq, cursor row, cursor offset, 6 counters, and
 * of the backlog its first row and offset and the row after its last; those three are 0 when there is none.
 */
import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Counters } from '@tributary/shared/batch/batch'
import type { Cursor } from './ranges.ts'
import { isUnreadable } from './storage-error.ts'

export interface Mark {
  readonly row: number
  readonly epoch: number
  readonly nextSeq: number
  /** Start of the open range of unsealed readings. */
  readonly cursor: Cursor
  /** Where the oldest closed range begins, and the row with which the live lane began. */
  readonly backlog: { readonly from: Cursor; readonly end: number } | null
  readonly counters: Counters
}

const slotBytes = 128
const version = 1

export class MarkFile {
  private readonly fd: number
  private readonly bytes = new Uint8Array(slotBytes)
  private readonly slot = new DataView(this.bytes.buffer)
  private generation: number
  /** What the file said when it was opened; null when there was none, or none whole. */
  readonly found: Mark | null

  private constructor(fd: number, found: Mark | null, generation: number) {
    this.fd = fd
    this.found = found
    this.generation = generation
  }

  static open(path: string): MarkFile {
    const fd = openOrCreate(path)
    const bytes = new Uint8Array(2 * slotBytes)
    readWhatCanBe(fd, bytes)
    const slots = [readSlot(bytes.subarray(0, slotBytes)), readSlot(bytes.subarray(slotBytes))]
    const [newest] = slots.filter(slot => slot !== null).sort((a, b) => b.generation - a.generation)
    return new MarkFile(fd, newest?.mark ?? null, newest?.generation ?? 0)
  }

  write(mark: Mark): void {
    const { bytes, slot } = this
    this.generation++
    slot.setUint32(4, version, true)
    const numbers = [this.generation, mark.row, mark.epoch, mark.nextSeq, mark.cursor.row, mark.cursor.offset]
    const { accepted, stored, suppressed, deadLettered, evicted, maybeDuplicate } = mark.counters
    numbers.push(accepted, stored, suppressed, deadLettered, evicted, maybeDuplicate)
    numbers.push(mark.backlog?.from.row ?? 0, mark.backlog?.from.offset ?? 0, mark.backlog?.end ?? 0)
    for (const [index, number] of numbers.entries()) slot.setFloat64(8 + 8 * index, number, true)
    slot.setUint32(0, crc32(bytes.subarray(4)), true)
    writeSync(this.fd, bytes, 0, slotBytes, (this.generation % 2) * slotBytes)
  }

  close(): void {
    fdatasyncSync(this.fd)
    closeSync(this.fd)
  }
}

function openOrCreate(path: string): number {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    const fd = openSync(path, 'wx+', 0o600)
    writeSync(fd, new Uint8Array(2 * slotBytes))
    fdatasyncSync(fd)
    return fd
  }
}

/** On a bad sector there is no mark, which is less than a start that fails. */
function readWhatCanBe(fd: number, bytes: Uint8Array): void {
  try {
    readSync(fd, bytes, 0, bytes.length, 0)
  } catch (error) {
    if (!isUnreadable(error)) throw error
  }
}

function readSlot(bytes: Uint8Array): { generation: number; mark: Mark } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, slotBytes)
  if (view.getUint32(4, true) !== version || view.getUint32(0, true) !== crc32(bytes.subarray(4))) return null
  const number = (index: number) => view.getFloat64(8 + 8 * index, true)
  const mark = {
    row: number(1),
    epoch: number(2),
    nextSeq: number(3),
    cursor: { row: number(4), offset: number(5) },
    backlog: number(12) > 0 ? { from: { row: number(12), offset: number(13) }, end: number(14) } : null,
    counters: {
      accepted: number(6),
      stored: number(7),
      suppressed: number(8),
      deadLettered: number(9),
      evicted: number(10),
      maybeDuplicate: number(11),
    },
  }
  return { generation: number(0), mark }
}
