/**
 * A column of doubles on the wire, bit for bit: NaN payloads, −0 and ±Infinity included (`numbers` in the layout comment of
 * codec.ts). Bits are copied as pairs of 32-bit words, never through a JavaScript number, which may canonicalise a NaN.
 *
 * Sensors speak decimal: most columns are whole multiples of 10^−p with p ≤ 9, and m / 10^p, correctly rounded, gives their doubles
 * back. A value that arithmetic left some units in the last place beside its decimal (74.93588199999998) keeps the distance as a
 * nudge; the few others are exceptions, eight bytes each; a column of mostly others travels as the two halves of its bits.
 */
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { ColumnArena } from './column-arena.ts'
import type { Streams } from './integer-column.ts'
import { readIntegers, writePlanned } from './integer-column.ts'
import type { IntegerPlan } from './integer-plan.ts'
import { planIntegers } from './integer-plan.ts'

const maxDecimals = 9
const scales = Array.from({ length: maxDecimals + 1 }, (_, p) => 10 ** p)
/** Farthest distance from a decimal, in units of the last place, that counts as its rounding error. */
const maxNudge = 8
/** Relative distance that `maxNudge` units of the last place never exceed. */
const nearlyEqual = maxNudge * Number.EPSILON
/** The form byte: 0 … 9 decimals, or 15; and two flags. */
const bitsForm = 15
const nudgesFlag = 16
const exceptionsFlag = 32
/** Estimated bytes of one exception: gap and bits. */
const exceptionSize = 9
/** A number of decimals that leaves at most this share of the values as exceptions is tried. */
const fewExceptions = 0.06

/** Bytes a value below which decimals are not worth comparing with the bits. */
const cheapSize = 4

/** Which 32-bit word of a double holds its sign: the words of a Float64Array stand in the byte order of the machine. */
const high = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0
const low = 1 - high

interface DecimalPlan {
  readonly decimals: number
  readonly scaled: Planned
  readonly nudges: Planned | null
  readonly exceptions: readonly number[]
  readonly size: number
}

export function writeNumbers(out: Streams<ByteWriter>, values: Float64Array): void {
  const words = wordsOf(values)
  let best: DecimalPlan | null = null
  for (const decimals of decimalCandidates(values, words)) {
    const plan = planDecimals(values, words, decimals)
    if (best === null || plan.size < best.size) best = plan
  }
  const bits = best === null || best.size > cheapSize * values.length ? planBits(words) : null
  if (best !== null && (bits === null || best.size <= bits.size)) {
    writeDecimals(out, best, words)
  } else if (bits !== null) {
    out.heads.u8(bitsForm)
    for (const { values, plan } of bits.halves) writePlanned(out, values, plan)
  }
}

/** What a number column is read from. */
export interface NumberSource extends Streams<ByteReader> {
  readonly arena: ColumnArena
}

interface Planned {
  readonly values: Float64Array
  readonly plan: IntegerPlan
}

interface BitsPlan {
  readonly halves: readonly Planned[]
  readonly size: number
}

function planned(values: Float64Array): Planned {
  return { values, plan: planIntegers(values) }
}

function planBits(words: Uint32Array): BitsPlan {
  const halves = [high, low].map(half => {
    const values = new Float64Array(words.length / 2)
    for (let i = 0; i < values.length; i++) values[i] = words[2 * i + half]!
    return planned(values)
  })
  return { halves, size: 1 + halves[0]!.plan.size + halves[1]!.plan.size }
}

function writeDecimals(out: Streams<ByteWriter>, plan: DecimalPlan, words: Uint32Array): void {
  const { nudges, exceptions } = plan
  out.heads.u8(plan.decimals | (nudges ? nudgesFlag : 0) | (exceptions.length > 0 ? exceptionsFlag : 0))
  writePlanned(out, plan.scaled.values, plan.scaled.plan)
  if (nudges) writePlanned(out, nudges.values, nudges.plan)
  if (exceptions.length === 0) return
  out.heads.uvarint(exceptions.length)
  let previous = -1
  for (const index of exceptions) {
    out.data.uvarint(index - previous - 1)
    for (const word of [words[2 * index + low]!, words[2 * index + high]!]) {
      for (let shift = 0; shift < 32; shift += 8) out.data.u8((word >>> shift) & 0xff)
    }
    previous = index
  }
}

/** Numbers of decimals worth trying: enough for every value that is a decimal, and enough for nearly every one. */
function decimalCandidates(values: Float64Array, words: Uint32Array): number[] {
  const n = values.length
  const counts = new Uint32Array(maxDecimals + 1)
  let decimal = 0
  let p = 0
  for (let i = 0; i < n; i++) {
    p = leastDecimals(values, words, i, p)
    if (p <= maxDecimals) {
      counts[p]!++
      decimal++
    }
    if (i === 31 && decimal === 0) break
  }
  if (decimal * 2 < n) return []
  const most = counts.findLastIndex(count => count > 0)
  let covered = 0
  const nearly = counts.findIndex(count => {
    covered += count
    return covered >= n * (1 - fewExceptions)
  })
  return nearly < 0 || nearly === most ? [most] : [nearly, most]
}

/** The fewest decimals of value i, searched from `guess`; `maxDecimals` + 1 when it is no decimal. */
function leastDecimals(values: Float64Array, words: Uint32Array, i: number, guess: number): number {
  const value = values[i]!
  let p = Math.min(guess, maxDecimals)
  while (p <= maxDecimals && nudgeOf(value, words, i, p) > maxNudge) p++
  if (p !== Math.min(guess, maxDecimals)) return p
  while (p > 0 && nudgeOf(value, words, i, p - 1) <= maxNudge) p--
  return p
}

const decimalBox = new Float64Array(1)
const decimalWords = new Uint32Array(decimalBox.buffer)

/** Distance in units of the last place between value i and its decimal with p places; Infinity when it has none. */
function nudgeOf(value: number, words: Uint32Array, i: number, p: number): number {
  const scale = scales[p]!
  const scaled = Math.round(value * scale)
  if (!(Math.abs(scaled) <= Number.MAX_SAFE_INTEGER)) return Number.POSITIVE_INFINITY
  const decimal = scaled / scale
  if (decimal === value && (value !== 0 || words[2 * i + high] === 0)) return 0
  if (!(Math.abs(decimal - value) <= nearlyEqual * Math.abs(value))) return Number.POSITIVE_INFINITY
  return Math.abs(signedNudge(decimal + 0, words, i))
}

function signedNudge(decimal: number, words: Uint32Array, i: number): number {
  decimalBox[0] = decimal
  return (words[2 * i + high]! - decimalWords[high]!) * 2 ** 32 + (words[2 * i + low]! - decimalWords[low]!)
}

function planDecimals(values: Float64Array, words: Uint32Array, decimals: number): DecimalPlan {
  const n = values.length
  const scale = scales[decimals]!
  const scaled = new Float64Array(n)
  const nudges = new Float64Array(n)
  const exceptions: number[] = []
  let previous = 0
  let nudged = false
  for (let i = 0; i < n; i++) {
    const value = values[i]!
    const distance = nudgeOf(value, words, i, decimals)
    if (distance <= maxNudge) {
      previous = Math.round(value * scale) + 0
      if (distance > 0) {
        nudges[i] = signedNudge(previous / scale, words, i)
        nudged = true
      }
    } else exceptions.push(i)
    scaled[i] = previous
  }
  const main = planned(scaled)
  const side = nudged ? planned(nudges) : null
  const size = main.plan.size + (side?.plan.size ?? 0) + exceptions.length * exceptionSize
  return { decimals, scaled: main, nudges: side, exceptions, size }
}

/** Read `n` doubles. */
export function readNumbers(source: NumberSource, n: number): Float64Array {
  const values = source.arena.take(n)
  const form = source.heads.u8()
  if (form === bitsForm) {
    readHalf(source, values, high)
    readHalf(source, values, low)
    return values
  }
  const decimals = form & 15
  if (decimals > maxDecimals || form >= 2 * exceptionsFlag)
    throw malformed(`a number column has the unknown form ${form}`)
  readIntegers(source, values)
  if (decimals > 0) {
    const scale = scales[decimals]!
    for (let i = 0; i < n; i++) values[i] = values[i]! / scale
  }
  if (form & nudgesFlag) readNudges(source, values)
  if (form & exceptionsFlag) readExceptions(source, values)
  return values
}

function readHalf(source: NumberSource, values: Float64Array, which: number): void {
  const half = source.arena.scratch(values.length)
  readIntegers(source, half)
  const words = wordsOf(values)
  for (let i = 0; i < half.length; i++) {
    const word = half[i]!
    if (!(word >= 0 && word < 2 ** 32)) throw malformed('half of a double is not a 32-bit number')
    words[2 * i + which] = word
  }
}

function readNudges(source: NumberSource, values: Float64Array): void {
  const nudges = source.arena.scratch(values.length)
  readIntegers(source, nudges)
  const words = wordsOf(values)
  for (let i = 0; i < nudges.length; i++) {
    const by = nudges[i]!
    if (by === 0) continue
    if (Math.abs(by) > maxNudge) throw malformed(`a value is nudged by ${by}, at most ±${maxNudge}`)
    const sum = words[2 * i + low]! + by
    words[2 * i + low] = sum
    if (sum < 0) words[2 * i + high]!--
    else if (sum >= 2 ** 32) words[2 * i + high]!++
  }
}

function readExceptions({ heads, data }: NumberSource, values: Float64Array): void {
  const words = wordsOf(values)
  const count = heads.count(values.length, 'exceptions')
  let index = -1
  for (let e = 0; e < count; e++) {
    index += 1 + data.count(values.length - index - 2, 'values before an exception')
    const at = data.skip(8)
    words[2 * index + low] = wordAt(data.bytes, at)
    words[2 * index + high] = wordAt(data.bytes, at + 4)
  }
}

function wordsOf(values: Float64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2)
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
