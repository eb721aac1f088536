/**
 * A column of values on the wire: numbers, booleans, strings, or a mixture (`values` in the layout comment of codec.ts).
 *
 * A numeric column is a Float64Array on both sides and keeps its bits. In a mixture numbers are JavaScript numbers, where a NaN has
 * no payload to keep: it comes back as a NaN.
 */
import { TributaryError } from '../errors.ts'
import type { Value } from '../reading.ts'
import type { SeriesColumns } from './batch.ts'
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { ColumnArena } from './column-arena.ts'
import type { Streams } from './integer-column.ts'
import { readIntegers, writeIntegers } from './integer-column.ts'
import { readNumbers, writeNumbers } from './number-column.ts'
import type { StringTable, StringTableWriter } from './string-table.ts'
import { lookUp, valueBounds } from './string-table.ts'

export const ValueKind = { numbers: 0, booleans: 1, strings: 2, mixed: 3 } as const
export type ValueKind = (typeof ValueKind)[keyof typeof ValueKind]

/** The kinds within a mixture, in the order in which their values follow. */
const simpleKinds = [ValueKind.numbers, ValueKind.booleans, ValueKind.strings] as const

type Values = SeriesColumns['values']

/** What a column holds; a `readonly Value[]` of numbers alone counts as numbers. */
export function kindOfValues(values: Values): ValueKind {
  if (values instanceof Float64Array) return ValueKind.numbers
  const kinds = new Set(values.map(kindOfValue))
  return kinds.size === 1 ? kinds.values().next().value! : ValueKind.mixed
}

function kindOfValue(value: Value): ValueKind {
  switch (typeof value) {
    case 'number':
      return ValueKind.numbers
    case 'boolean':
      return ValueKind.booleans
    case 'string':
      return ValueKind.strings
    default:
      throw new TributaryError('malformed', `batch cannot be encoded: a value is of type ${typeof value}`)
  }
}

export function writeValues(out: Streams<ByteWriter>, table: StringTableWriter, kind: ValueKind, values: Values): void {
  switch (kind) {
    case ValueKind.numbers:
      writeNumbers(out, values instanceof Float64Array ? values : Float64Array.from(values as readonly number[]))
      break
    case ValueKind.booleans: {
      const bits = Float64Array.from(values as readonly boolean[], value => (value ? 1 : 0))
      writeIntegers(out, bits)
      break
    }
    case ValueKind.strings: {
      const indices = Float64Array.from(values as readonly string[], text => table.indexOf(text, valueBounds))
      writeIntegers(out, indices)
      break
    }
    case ValueKind.mixed: {
      const all = values as readonly Value[]
      writeIntegers(out, Float64Array.from(all, kindOfValue))
      for (const part of simpleKinds) {
        const some = all.filter(value => kindOfValue(value) === part)
        if (some.length > 0) writeValues(out, table, part, some)
      }
      break
    }
    default:
      kind satisfies never
  }
}

/** What a column is read from. */
export interface ColumnSource extends Streams<ByteReader> {
  readonly table: StringTable
  readonly arena: ColumnArena
}

/** Read `n` values. */
export function readValues(source: ColumnSource, kind: ValueKind, n: number): Float64Array | Value[] {
  switch (kind) {
    case ValueKind.numbers:
      return readNumbers(source, n)
    case ValueKind.booleans:
      return mapColumn(readScratch(source, n), toBoolean)
    case ValueKind.strings:
      return mapColumn(readScratch(source, n), index => lookUp(source.table, index, valueBounds))
    case ValueKind.mixed:
      return readMixed(source, n)
    default:
      kind satisfies never
      throw malformed(`a column of unknown kind ${kind}`)
  }
}

function readScratch(source: ColumnSource, n: number): Float64Array {
  const integers = source.arena.scratch(n)
  readIntegers(source, integers)
  return integers
}

function readMixed(source: ColumnSource, n: number): Value[] {
  const kinds = readScratch(source, n).slice()
  const counts = [0, 0, 0]
  for (const kind of kinds) {
    if (!(kind >= 0 && kind <= ValueKind.strings)) throw malformed(`a value of unknown kind ${kind}`)
    counts[kind]!++
  }
  const parts = simpleKinds.map(kind => (counts[kind]! > 0 ? readValues(source, kind, counts[kind]!) : []))
  const next = [0, 0, 0]
  return mapColumn(kinds, kind => parts[kind]![next[kind]!++]!)
}

/** `Array.from` with a function, at a third of its cost. */
function mapColumn(integers: Float64Array, toValue: (integer: number) => Value): Value[] {
  const values: Value[] = []
  for (let i = 0; i < integers.length; i++) values.push(toValue(integers[i]!))
  return values
}

function toBoolean(integer: number): boolean {
  if (integer !== 0 && integer !== 1) throw malformed(`a boolean is ${integer}`)
  return integer === 1
}
