/**
 * The high-water mark: a second, tiny file that remembers how far the rows have come.
 *
 * A database whose write-ahead log was deleted, torn or replaced looks healthy: it only ends earlier. The mark shows it. Two slots
 * of 256 bytes are written in turn after every commit, each with a CRC, so that one is always whole. It is written without fsync: a
 * killed process loses nothing of it; after a power cut it may be as old as the kernel's write-back (about 30 s), and a tail lost
 * within that time stays unseen. An fsync per commit would double the wear to close that gap only.
 * A mark that is behind the rows says nothing; one that is ahead says that rows are missing, and the difference of its counters to
 * theirs is how many readings at least.
 *
 * Slot: u32 crc of the rest · u32 version 2 · f64: generation, row, epoch, nextSeq, cursor row, cursor offset, 6 counters, of the
 * backlog its first row and offset and the row after its last (those three are 0 when there is none), the counter `folded`, and of the
 * classes aggregate and alarm 5 counters each · zeros.
 * Version 1 ends before `folded`, in slots of 128 bytes. The first mark of version 2 goes behind both of them.
 */
import { closeSync, existsSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { type Counters, ofClass, withClasses } from './counters.ts'
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

const slotBytes = 256
const version = 2
const slotBytesOfVersion1 = 128

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
    const newest = newestSlot(fd)
    const generation = newest?.generation ?? 0
    const goesBehind = newest?.version === 1 && generation % 2 === 1
    return new MarkFile(fd, newest?.mark ?? null, goesBehind ? generation + 1 : generation)
  }

  write(mark: Mark): void {
    const { bytes, slot } = this
    this.generation++
    slot.setUint32(4, version, true)
    const numbers = [this.generation, mark.row, mark.epoch, mark.nextSeq, mark.cursor.row, mark.cursor.offset]
    const { accepted, stored, suppressed, deadLettered, evicted, maybeDuplicate } = mark.counters
    numbers.push(accepted, stored, suppressed, deadLettered, evicted, maybeDuplicate)
    numbers.push(mark.backlog?.from.row ?? 0, mark.backlog?.from.offset ?? 0, mark.backlog?.end ?? 0)
    numbers.push(mark.counters.folded)
    for (const name of ['aggregate', 'alarm'] as const) {
      const { accepted, stored, folded, suppressed, evicted } = ofClass(mark.counters, name)
      numbers.push(accepted, stored, folded, suppressed, evicted)
    }
    for (const [index, number] of numbers.entries()) slot.setFloat64(8 + 8 * index, number, true)
    slot.setUint32(0, crc32(bytes.subarray(4)), true)
    writeSync(this.fd, bytes, 0, slotBytes, (this.generation % 2) * slotBytes)
  }

  close(): void {
    fdatasyncSync(this.fd)
    closeSync(this.fd)
  }
}

/** What the mark of a folder says, without opening it to write; null when there is none, or none whole. */
export function readMark(path: string): Mark | null {
  if (!existsSync(path)) return null
  const fd = openSync(path, 'r')
  try {
    return newestSlot(fd)?.mark ?? null
  } finally {
    closeSync(fd)
  }
}

function newestSlot(fd: number): Slot | undefined {
  const bytes = new Uint8Array(2 * slotBytes)
  readWhatCanBe(fd, bytes)
  return [slotBytes, slotBytesOfVersion1]
    .flatMap(size => [readSlot(bytes.subarray(0, size)), readSlot(bytes.subarray(size, 2 * size))])
    .filter(slot => slot !== null)
    .sort((a, b) => b.generation - a.generation)[0]
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

interface Slot {
  readonly version: number
  readonly generation: number
  readonly mark: Mark
}

function readSlot(bytes: Uint8Array): Slot | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = view.getUint32(4, true)
  if (found !== (bytes.length === slotBytes ? version : 1)) return null
  if (view.getUint32(0, true) !== crc32(bytes.subarray(4))) return null
  const number = (index: number) => view.getFloat64(8 + 8 * index, true)
  const mark = {
    row: number(1),
    epoch: number(2),
    nextSeq: number(3),
    cursor: { row: number(4), offset: number(5) },
    backlog: number(12) > 0 ? { from: { row: number(12), offset: number(13) }, end: number(14) } : null,
    counters: readCounters(number, found),
  }
  return { version: found, generation: number(0), mark }
}

function readCounters(number: (index: number) => number, found: number): Counters {
  const six = {
    accepted: number(6),
    stored: number(7),
    suppressed: number(8),
    deadLettered: number(9),
    evicted: number(10),
    maybeDuplicate: number(11),
  }
  if (found === 1) return withClasses(six)
  const ofClassAt = (name: 'aggregate' | 'alarm', at: number) => ({
    class: name,
    accepted: number(at),
    stored: number(at + 1),
    folded: number(at + 2),
    suppressed: number(at + 3),
    evicted: number(at + 4),
  })
  return withClasses({ ...six, folded: number(15) }, [ofClassAt('aggregate', 16), ofClassAt('alarm', 21)])
}
