/**
 * Every string of a batch's columns (device, metric, unit, values) once, in order of first use; columns refer to it by index.
 *
 * Strings are Unicode text: a lone surrogate, which UTF-8 cannot carry, is replaced by U+FFFD when the batch is encoded. Bytes that
 * are not UTF-8 are refused when it is decoded.
 */
import { TributaryError } from '../errors.ts'
import { limits } from '../reading.ts'
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export interface StringBounds {
  readonly what: string
  readonly minBytes: number
  readonly maxBytes: number
}

export const deviceBounds: StringBounds = { what: 'device name', minBytes: 1, maxBytes: limits.nameBytes }
export const metricBounds: StringBounds = { what: 'metric name', minBytes: 1, maxBytes: limits.nameBytes }
export const unitBounds: StringBounds = { what: 'unit', minBytes: 0, maxBytes: limits.unitBytes }
export const valueBounds: StringBounds = { what: 'string value', minBytes: 0, maxBytes: limits.stringBytes }
export const agentBounds: StringBounds = { what: 'agent id', minBytes: 1, maxBytes: 64 }
export const bootBounds: StringBounds = { what: 'boot id', minBytes: 0, maxBytes: 64 }
export const reasonBounds: StringBounds = { what: 'loss reason', minBytes: 0, maxBytes: 256 }

function checkBytes(length: number, bounds: StringBounds): void {
  if (length < bounds.minBytes) throw new TributaryError('malformed', `batch holds an empty ${bounds.what}`)
  if (length > bounds.maxBytes) {
    throw new TributaryError(
      'too-large',
      `batch holds a ${bounds.what} of ${length} bytes, at most ${bounds.maxBytes} allowed`,
    )
  }
}

export function writeString(out: ByteWriter, text: string, bounds: StringBounds): void {
  const bytes = encoder.encode(text)
  checkBytes(bytes.length, bounds)
  out.uvarint(bytes.length)
  out.raw(bytes)
}

export function readString(source: ByteReader, bounds: StringBounds): string {
  const length = source.uvarint()
  checkBytes(length, bounds)
  return textOf(source.bytes, source.skip(length), length)
}

/** Collects strings while columns are written. */
export class StringTableWriter {
  readonly #indices = new Map<string, number>()
  readonly #strings: Uint8Array[] = []

  /** The index of `text`, which is checked against `bounds`. */
  indexOf(text: string, bounds: StringBounds): number {
    let index = this.#indices.get(text)
    if (index === undefined) {
      const bytes = encoder.encode(text)
      checkBytes(bytes.length, bounds)
      index = this.#strings.push(bytes) - 1
      this.#indices.set(text, index)
    } else checkBytes(this.#strings[index]!.length, bounds)
    return index
  }

  write(out: ByteWriter): void {
    out.uvarint(this.#strings.length)
    for (const bytes of this.#strings) out.uvarint(bytes.length)
    for (const bytes of this.#strings) out.raw(bytes)
  }
}

export interface StringTable {
  readonly strings: readonly string[]
  readonly byteLengths: Uint32Array
}

export function readStringTable(source: ByteReader, maxStrings: number): StringTable {
  const count = source.uvarint()
  if (count > maxStrings)
    throw new TributaryError('too-large', `batch holds ${count} different strings, at most ${maxStrings} allowed`)
  if (count > source.remaining) throw malformed(`${count} strings announced in ${source.remaining} bytes`)
  const byteLengths = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const length = source.uvarint()
    checkBytes(length, valueBounds)
    byteLengths[i] = length
  }
  const strings: string[] = []
  for (const length of byteLengths) strings.push(textOf(source.bytes, source.skip(length), length))
  return { strings, byteLengths }
}

/** The string that an index column names. */
export function lookUp(table: StringTable, index: number, bounds: StringBounds): string {
  const text = table.strings[index]
  if (text === undefined) throw malformed(`a ${bounds.what} refers to string ${index} of ${table.strings.length}`)
  checkBytes(table.byteLengths[index]!, bounds)
  return text
}

/** Each string owns its characters: a slice of one long text would keep the whole batch in memory wherever a name is cached. */
function textOf(bytes: Uint8Array, start: number, length: number): string {
  if (length <= 32) {
    const codes: number[] = []
    for (let i = start; i < start + length && bytes[i]! < 0x80; i++) codes.push(bytes[i]!)
    if (codes.length === length) return String.fromCharCode(...codes)
  }
  try {
    return decoder.decode(bytes.subarray(start, start + length))
  } catch (cause) {
    throw new TributaryError('malformed', 'batch is damaged or not a batch: a string is not UTF-8', { cause })
  }
}
