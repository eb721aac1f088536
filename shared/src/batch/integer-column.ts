/**
 * A column of safe integers on the wire: times, scaled decimals, halves of doubles, indices and tags all travel this way.
 * The layout comment in codec.ts (`ints`) defines the bytes; integer-plan.ts chooses among its forms.
 *
 * Decoding needs no memory besides the output, takes O(n), and every decoded value is checked to be a safe integer.
 */
import { BitWriter, maxFixedWidth, maxRiceK, readFixed, readRice } from './bits.ts'
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { IntegerPlan } from './integer-plan.ts'
import { Model, Pack, planIntegers, residualsOf, zigzag } from './integer-plan.ts'

/** Tick code: 0 … 14 stand for 10^code, 15 for a tick that follows as uvarint. */
const explicitTick = 15
const powersOfTen = Array.from({ length: explicitTick }, (_, exponent) => 10 ** exponent)

/** The two streams of a section: small descriptors, which repeat from column to column, and packed residuals, which do not. */
export interface Streams<T> {
  readonly heads: T
  readonly data: T
}

export function writeIntegers(out: Streams<ByteWriter>, values: Float64Array): void {
  writePlanned(out, values, planIntegers(values))
}

/** Write `values` as `plan`, which `planIntegers` made of them. */
export function writePlanned({ heads, data }: Streams<ByteWriter>, values: Float64Array, plan: IntegerPlan): void {
  const { model, pack, tick, base, step, width } = plan
  if (model === Model.constant) {
    heads.u8(Model.constant)
    heads.svarint(base)
    return
  }
  const power = powersOfTen.indexOf(tick)
  const tickCode = power < 0 ? explicitTick : power
  heads.u8(model | (pack << 2) | (tickCode << 4))
  heads.svarint(base)
  if (tickCode === explicitTick) heads.uvarint(tick)
  heads.svarint(step)
  if (pack === Pack.rice || pack === Pack.fixed) heads.u8(width)
  const units = new Float64Array(values.length)
  for (let i = 0; i < units.length; i++) units[i] = (values[i]! - base) / tick
  const count = residualsOf(units, model, step, units)
  writeResiduals(data, units.subarray(0, count), pack, width)
}

function writeResiduals(data: ByteWriter, residuals: Float64Array, pack: Pack, width: number): void {
  switch (pack) {
    case Pack.varint:
      for (let i = 0; i < residuals.length; i++) data.svarint(residuals[i]!)
      break
    case Pack.rice: {
      const bits = new BitWriter(data)
      for (let i = 0; i < residuals.length; i++) bits.rice(zigzag(residuals[i]!), width)
      bits.flush()
      break
    }
    case Pack.runs:
      writeRuns(data, residuals)
      break
    case Pack.fixed: {
      const bits = new BitWriter(data)
      for (let i = 0; i < residuals.length; i++) bits.fixed(residuals[i]!, width)
      bits.flush()
      break
    }
    default:
      pack satisfies never
  }
}

function writeRuns(data: ByteWriter, residuals: Float64Array): void {
  for (let start = 0, end = 0; start < residuals.length; start = end) {
    while (end < residuals.length && residuals[end] === residuals[start]) end++
    data.svarint(residuals[start]!)
    data.uvarint(end - start)
  }
}

/** Fill `out` from the streams, `origin` added to every value. */
export function readIntegers({ heads, data }: Streams<ByteReader>, out: Float64Array, origin = 0): void {
  const head = heads.u8()
  const base = heads.svarint()
  const model = (head & 3) as Model
  if (model === Model.constant) {
    if (head !== 0) throw malformed('a constant column has a packing')
    const x = base + origin
    if (!Number.isSafeInteger(x)) throw unsafeColumn(out.length)
    out.fill(x)
    return
  }
  const tickCode = head >> 4
  const tick = tickCode === explicitTick ? heads.uvarint() : powersOfTen[tickCode]!
  const step = heads.svarint()
  const from = model === Model.line ? 0 : 1
  readResiduals(heads, data, ((head >> 2) & 3) as Pack, out, from)
  switch (model) {
    case Model.line:
      integrateLine(out, base, tick, step, origin)
      break
    case Model.delta:
      integrateDelta(out, base, tick, step, origin)
      break
    case Model.delta2:
      integrateDelta2(out, base, tick, step, origin)
      break
    default:
      model satisfies never
  }
}

function readResiduals(heads: ByteReader, data: ByteReader, pack: Pack, out: Float64Array, from: number): void {
  switch (pack) {
    case Pack.varint:
      if (out.length - from > data.remaining) throw malformed('a column ends early')
      for (let i = from; i < out.length; i++) out[i] = data.svarint()
      break
    case Pack.rice: {
      const k = heads.count(maxRiceK, 'is a Rice parameter')
      readRice(data, out, from, k)
      break
    }
    case Pack.runs:
      readRuns(data, out, from)
      break
    case Pack.fixed: {
      const width = heads.count(maxFixedWidth, 'is a width in bits')
      readFixed(data, out, from, width)
      break
    }
    default:
      pack satisfies never
  }
}

function readRuns(data: ByteReader, out: Float64Array, from: number): void {
  for (let start = from; start < out.length; ) {
    const value = data.svarint()
    const length = data.count(out.length - start, 'values in a run')
    if (length === 0) throw malformed('a run is empty')
    out.fill(value, start, start + length)
    start += length
  }
}

function integrateLine(out: Float64Array, base: number, tick: number, step: number, origin: number): void {
  let unsafe = 0
  for (let i = 0; i < out.length; i++) {
    const x = base + tick * (out[i]! + i * step) + origin
    out[i] = x
    if (Math.abs(x) > Number.MAX_SAFE_INTEGER) unsafe++
  }
  if (unsafe > 0) throw unsafeColumn(unsafe)
}

function integrateDelta(out: Float64Array, base: number, tick: number, step: number, origin: number): void {
  let unsafe = Number.isSafeInteger(base + origin) ? 0 : 1
  let u = 0
  out[0] = base + origin
  for (let i = 1; i < out.length; i++) {
    u += step + out[i]!
    const x = base + tick * u + origin
    out[i] = x
    if (Math.abs(x) > Number.MAX_SAFE_INTEGER) unsafe++
  }
  if (unsafe > 0) throw unsafeColumn(unsafe)
}

function integrateDelta2(out: Float64Array, base: number, tick: number, step: number, origin: number): void {
  let unsafe = Number.isSafeInteger(base + origin) ? 0 : 1
  let u = 0
  let slope = step
  out[0] = base + origin
  for (let i = 1; i < out.length; i++) {
    slope += out[i]!
    u += slope
    const x = base + tick * u + origin
    out[i] = x
    if (Math.abs(x) > Number.MAX_SAFE_INTEGER) unsafe++
  }
  if (unsafe > 0) throw unsafeColumn(unsafe)
}

function unsafeColumn(count: number): Error {
  return malformed(`${count} integers of a column exceed ±(2^53 − 1)`)
}
