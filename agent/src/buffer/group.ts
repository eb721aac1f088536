/**
 * The group that forms while the one before is being committed: columns on the API's side, taken whole and posted to the writer.
 *
 * A message is added entirely or refused entirely (`malformed`: a time that is no safe integer, a name or string over its limit);
 * nothing that could stop a later commit or sealing gets in. Adding costs no allocation per message in the usual case: series are
 * interned, values go into typed arrays whose memory is handed over with the group.
 */
import { TributaryError } from '@tributary/shared/errors'
import { limits, type Reading, type SeriesName } from '@tributary/shared/reading'
import type { DeadLetter, Message, Receipt } from './buffer.ts'
import { Kind, Mark, type RowColumns, tagOf } from './row-codec.ts'

export type Done = (error: TributaryError | null) => void

/** Receipts as columns; `scopes` is their dictionary. Entry i of `digests` is the 8 bytes from 8 i. */
export interface ReceiptColumns {
  readonly scopes: readonly string[]
  readonly count: number
  readonly scope: Uint32Array
  readonly ids: Float64Array
  readonly digests: Uint8Array
}

/** What one commit writes; crosses to the writer thread, its typed arrays transferred. */
export interface Group {
  readonly columns: RowColumns
  readonly receipts: ReceiptColumns
  readonly releases: readonly { readonly scope: string; readonly id: number }[]
  readonly deadLetters: readonly DeadLetter[]
  readonly maybeDuplicate: number
}

/** A group with what the API's side keeps of it until the commit is known. */
export interface TakenGroup {
  readonly group: Group
  readonly dones: readonly Done[]
  readonly heldBytes: number
}

interface Interned {
  readonly name: SeriesName
  /** The other units met with the same device and metric. */
  readonly next: Interned | undefined
  generation: number
  index: number
}

/** Interned series before the table is begun anew. */
const maxInterned = 50_000
/** Readings a fresh group has room for before it grows. */
const minCapacity = 256
const messageBytes = 64
const readingBytes = 48

/** Memory that a message is counted as while it is held. */
export function heldBytesOf(message: Message): number {
  let bytes = messageBytes + message.readings.length * readingBytes
  for (const reading of message.readings) if (typeof reading.value === 'string') bytes += reading.value.length * 2
  return message.deadLetter ? bytes + message.deadLetter.payload.length + 256 : bytes
}

export class PendingGroup {
  private readonly boot: string
  readings = 0
  heldBytes = 0
  private capacity = minCapacity
  private series = new Uint32Array(minCapacity)
  private tags = new Uint8Array(minCapacity)
  private tsUs = new Float64Array(minCapacity)
  private values = new Float64Array(minCapacity)
  private marks = new Uint8Array(minCapacity)
  private unplaced = false
  private names: string[] = []
  private strings: string[] = []
  private interned = new Map<string, Map<string, Interned>>()
  private internedCount = 0
  private generation = 1
  private scopes = new Map<string, number>()
  private receiptCount = 0
  private receiptScope = new Uint32Array(0)
  private receiptIds = new Float64Array(0)
  private receiptDigests = new Uint8Array(0)
  private releases: { scope: string; id: number }[] = []
  private deadLetters: DeadLetter[] = []
  private maybeDuplicate = 0
  private dones: Done[] = []

  /** `boot` is the one whose clock gives the times of unplaced messages. */
  constructor(boot: string) {
    this.boot = boot
  }

  get empty(): boolean {
    return this.dones.length === 0
  }

  add(message: Message, heldBytes: number, done: Done): void {
    const before = { readings: this.readings, names: this.names.length, strings: this.strings.length }
    try {
      for (const reading of message.readings) this.addReading(reading)
      if (message.receipt) this.addReceipt(message.receipt)
      if (message.unplaced) this.markUnplaced(before.readings)
    } catch (error) {
      this.readings = before.readings
      this.names.length = before.names
      this.strings.length = before.strings
      this.generation++
      this.reindex()
      throw error
    }
    if (message.deadLetter) this.deadLetters.push(message.deadLetter)
    if (message.maybeDuplicate) this.maybeDuplicate += message.readings.length
    this.heldBytes += heldBytes
    this.dones.push(done)
  }

  addRelease(scope: string, id: number, done: Done): void {
    this.releases.push({ scope, id })
    this.dones.push(done)
  }

  /** Everything so far, as one group; the pending one is empty afterwards. */
  take(): TakenGroup {
    const taken = {
      group: {
        columns: {
          readings: this.readings,
          names: this.names,
          series: this.series,
          tags: this.tags,
          tsUs: this.tsUs,
          values: this.values,
          strings: this.strings,
          marks: this.marks,
          boot: this.unplaced ? this.boot : '',
        },
        receipts: {
          scopes: [...this.scopes.keys()],
          count: this.receiptCount,
          scope: this.receiptScope,
          ids: this.receiptIds,
          digests: this.receiptDigests,
        },
        releases: this.releases,
        deadLetters: this.deadLetters,
        maybeDuplicate: this.maybeDuplicate,
      },
      dones: this.dones,
      heldBytes: this.heldBytes,
    }
    this.begin()
    return taken
  }

  private begin(): void {
    this.capacity = Math.max(minCapacity, this.readings)
    const receipts = this.receiptCount > 0 ? Math.max(64, this.receiptIds.length) : 0
    this.readings = 0
    this.heldBytes = 0
    this.series = new Uint32Array(this.capacity)
    this.tags = new Uint8Array(this.capacity)
    this.tsUs = new Float64Array(this.capacity)
    this.values = new Float64Array(this.capacity)
    this.marks = new Uint8Array(this.capacity)
    this.unplaced = false
    this.names = []
    this.strings = []
    this.generation++
    this.scopes = new Map()
    this.receiptCount = 0
    this.receiptScope = new Uint32Array(receipts)
    this.receiptIds = new Float64Array(receipts)
    this.receiptDigests = new Uint8Array(receipts * 8)
    this.releases = []
    this.deadLetters = []
    this.maybeDuplicate = 0
    this.dones = []
    if (this.internedCount > maxInterned) {
      this.interned = new Map()
      this.internedCount = 0
    }
  }

  private addReading(reading: Reading): void {
    if (!Number.isSafeInteger(reading.tsUs)) throw malformed(`a time of ${reading.tsUs} µs`)
    if (!(reading.quality >= 0 && reading.quality <= 2)) throw malformed(`a quality of ${reading.quality}`)
    const series = this.seriesIndex(reading.series)
    const value = reading.value
    if (this.readings === this.capacity) this.grow()
    const at = this.readings
    if (typeof value === 'number') {
      this.values[at] = value
      this.tags[at] = tagOf(reading.quality, Kind.number)
    } else if (typeof value === 'boolean') {
      this.values[at] = value ? 1 : 0
      this.tags[at] = tagOf(reading.quality, Kind.boolean)
    } else {
      this.values[at] = this.strings.push(bounded(value, limits.stringBytes, 'a string value')) - 1
      this.tags[at] = tagOf(reading.quality, Kind.string)
    }
    this.series[at] = series
    this.tsUs[at] = reading.tsUs
    this.marks[at] = 0
    this.readings++
  }

  private markUnplaced(from: number): void {
    this.marks.fill(Mark.unplaced, from, this.readings)
    this.unplaced ||= from < this.readings
  }

  private seriesIndex(name: SeriesName): number {
    let metrics = this.interned.get(name.device)
    let entry = metrics?.get(name.metric)
    const first = entry
    while (entry && entry.name.unit !== name.unit) entry = entry.next
    if (!entry) {
      checkName(name)
      if (!metrics) {
        metrics = new Map()
        this.interned.set(name.device, metrics)
      }
      entry = { name, next: first, generation: 0, index: 0 }
      metrics.set(name.metric, entry)
      this.internedCount++
    }
    if (entry.generation !== this.generation) {
      entry.generation = this.generation
      entry.index = this.names.push(entry.name.device, entry.name.metric, entry.name.unit) / 3 - 1
    }
    return entry.index
  }

  /** After a refused message: make the interned entries agree with `names` again. */
  private reindex(): void {
    for (let index = 0; index < this.names.length; index += 3) {
      const metrics = this.interned.get(this.names[index] as string)
      let entry = metrics?.get(this.names[index + 1] as string)
      while (entry && entry.name.unit !== this.names[index + 2]) entry = entry.next
      if (!entry) continue
      entry.generation = this.generation
      entry.index = index / 3
    }
  }

  private grow(): void {
    this.capacity *= 2
    this.series = copied(new Uint32Array(this.capacity), this.series)
    this.tags = copied(new Uint8Array(this.capacity), this.tags)
    this.tsUs = copied(new Float64Array(this.capacity), this.tsUs)
    this.values = copied(new Float64Array(this.capacity), this.values)
    this.marks = copied(new Uint8Array(this.capacity), this.marks)
  }

  private addReceipt(receipt: Receipt): void {
    if (!Number.isSafeInteger(receipt.id) || receipt.id < 0) throw malformed(`a receipt number of ${receipt.id}`)
    const at = this.receiptCount
    if (at === this.receiptIds.length) {
      const larger = Math.max(64, at * 2)
      this.receiptScope = copied(new Uint32Array(larger), this.receiptScope)
      this.receiptIds = copied(new Float64Array(larger), this.receiptIds)
      this.receiptDigests = copied(new Uint8Array(larger * 8), this.receiptDigests)
    }
    writeDigest(receipt.digest, this.receiptDigests, at * 8)
    let scope = this.scopes.get(receipt.scope)
    if (scope === undefined) {
      scope = this.scopes.size
      this.scopes.set(receipt.scope, scope)
    }
    this.receiptScope[at] = scope
    this.receiptIds[at] = receipt.id
    this.receiptCount++
  }
}

function copied<T extends { set(from: T): void }>(to: T, from: T): T {
  to.set(from)
  return to
}

function checkName(name: SeriesName): void {
  if (name.device === '' || name.metric === '') throw malformed('a series without a device or metric name')
  bounded(name.device, limits.nameBytes, 'a device name')
  bounded(name.metric, limits.nameBytes, 'a metric name')
  bounded(name.unit, limits.unitBytes, 'a unit')
}

function bounded(text: string, maxBytes: number, what: string): string {
  if (typeof text !== 'string') throw malformed(`${what} of type ${typeof text}`)
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes)
    throw malformed(`${what} of over ${maxBytes} bytes`)
  return text
}

function writeDigest(hex: string, into: Uint8Array, at: number): void {
  if (hex.length !== 16) throw malformed('a digest that is not 16 hex digits')
  for (let index = 0; index < 8; index++) {
    into[at + index] = (nibble(hex.charCodeAt(2 * index)) << 4) | nibble(hex.charCodeAt(2 * index + 1))
  }
}

function nibble(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 97 && code <= 102) return code - 87
  throw malformed('a digest that is not 16 lower-case hex digits')
}

function malformed(what: string): TributaryError {
  return new TributaryError('malformed', `the buffer does not take ${what}; the message was not kept`)
}
