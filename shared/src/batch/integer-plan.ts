/**
 * Chooses how a column of safe integers is written (see `ints` in the layout comment of codec.ts): the tick is the greatest common
 * divisor of the distances from the first value; the model is the one whose residuals have the fewest bits; the packing is the
 * smallest by exact count. Pure and deterministic.
 *
 * Bit packing beats varints + zstd here: residuals of sensor data are noise, in which zstd finds nothing to match, and a varint
 * spends one bit in eight on its length.
 */
import { escapeBits, escapeOnes, maxRiceK } from './bits.ts'
import { svarintSize } from './byte-writer.ts'

export const Model = { constant: 0, line: 1, delta: 2, delta2: 3 } as const
export type Model = (typeof Model)[keyof typeof Model]
export const Pack = { varint: 0, rice: 1, runs: 2, fixed: 3 } as const
export type Pack = (typeof Pack)[keyof typeof Pack]

export interface IntegerPlan {
  readonly model: Model
  readonly pack: Pack
  readonly tick: number
  readonly base: number
  readonly step: number
  /** k of Rice, bits of fixed. */
  readonly width: number
  readonly residuals: Float64Array
  /** Estimated bytes, descriptors included. */
  readonly size: number
}

/** Beyond this range differences of differences would leave the exact integers: such a column is written value by value. */
const widestRange = 2 ** 50

const none = new Float64Array(0)

export function planIntegers(values: Float64Array): IntegerPlan {
  const n = values.length
  const first = n > 0 ? values[0]! : 0
  let min = first
  let max = first
  for (let i = 1; i < n; i++) {
    const x = values[i]!
    if (x < min) min = x
    else if (x > max) max = x
  }
  if (min === max) {
    const base = first + 0 // −0 is the integer 0
    return {
      model: Model.constant,
      pack: Pack.varint,
      tick: 1,
      base,
      step: 0,
      width: 0,
      residuals: none,
      size: 1 + svarintSize(base),
    }
  }
  if (max - min > widestRange) return planWide(values)
  const tick = distanceDivisor(values, first)
  const units = new Float64Array(n)
  for (let i = 0; i < n; i++) units[i] = (values[i]! - first) / tick
  return planUnits(units, first, tick)
}

function planWide(values: Float64Array): IntegerPlan {
  let size = 3
  for (let i = 0; i < values.length; i++) size += svarintSize(values[i]!)
  return { model: Model.line, pack: Pack.varint, tick: 1, base: 0, step: 0, width: 0, residuals: values, size }
}

function distanceDivisor(values: Float64Array, first: number): number {
  let divisor = 0
  for (let i = 1; i < values.length && divisor !== 1; i++) {
    let rest = Math.abs(values[i]! - first)
    if (divisor === 0) divisor = rest
    else if (rest % divisor !== 0) {
      while (rest !== 0) [divisor, rest] = [rest, divisor % rest]
    }
  }
  return divisor
}

/** Units start at 0 and are not all 0. */
function planUnits(units: Float64Array, base: number, tick: number): IntegerPlan {
  const n = units.length
  const mean = meanOf(units, 0)
  const slope = Math.round(units[n - 1]! / (n - 1))
  const candidates: Candidate[] = [
    candidate(Model.line, 0, lineResiduals(units, 0)),
    candidate(Model.delta, 0, deltaResiduals(units, 0)),
  ]
  if (n > 2) candidates.push(candidate(Model.delta2, units[1]!, delta2Residuals(units)))
  if (slope !== 0) candidates.push(candidate(Model.line, slope, lineResiduals(units, slope)))
  void mean
  let best = pack(candidates[0]!, base, tick)
  for (const other of candidates.slice(1)) {
    const plan = pack(other, base, tick)
    if (plan.size < best.size) best = plan
  }
  return best
}

interface Candidate {
  readonly model: Model
  readonly step: number
  readonly residuals: Float64Array
}

function candidate(model: Model, step: number, residuals: Float64Array): Candidate {
  return { model, step, residuals }
}

function lineResiduals(units: Float64Array, step: number): Float64Array {
  const out = new Float64Array(units.length)
  for (let i = 0; i < units.length; i++) out[i] = units[i]! - i * step
  return out
}

function deltaResiduals(units: Float64Array, step: number): Float64Array {
  const out = new Float64Array(units.length - 1)
  for (let i = 1; i < units.length; i++) out[i - 1] = units[i]! - units[i - 1]! - step
  return out
}

function delta2Residuals(units: Float64Array): Float64Array {
  const out = new Float64Array(units.length - 1)
  let slope = units[1]!
  for (let i = 1; i < units.length; i++) {
    const delta = units[i]! - units[i - 1]!
    out[i - 1] = delta - slope
    slope = delta
  }
  return out
}

/** The smallest packing of a candidate. A constant part of its residuals moves into base (line) or step (delta). */
function pack({ model, step, residuals }: Candidate, base: number, tick: number): IntegerPlan {
  const shifted = (shift: number) => ({
    base: model === Model.line ? base + tick * shift : base,
    step: model === Model.delta ? step + shift : step,
    residuals: shift === 0 ? residuals : residuals.map(r => r - shift),
  })
  const head = (form: { base: number; step: number }) =>
    1 + svarintSize(form.base) + (tick === 1 ? 0 : 1) + svarintSize(form.step)
  const centre = model === Model.delta2 ? 0 : Math.round(meanOf(residuals, 0))
  const centred = shifted(centre)
  const { k, bits } = bestRice(zigzag(centred.residuals))
  let plan: IntegerPlan = {
    model,
    pack: Pack.rice,
    tick,
    ...centred,
    width: k,
    size: head(centred) + 1 + Math.ceil(bits / 8),
  }
  if (model !== Model.delta2) {
    const least = residuals.reduce((a, b) => Math.min(a, b))
    const most = residuals.reduce((a, b) => Math.max(a, b))
    const width = bitLength(most - least)
    const size = 8 + Math.ceil((residuals.length * width) / 8)
    if (size < plan.size) plan = { model, pack: Pack.fixed, tick, ...shifted(least), width, size }
  }
  const runs = runsSize(residuals, plan.size)
  if (runs + 6 < plan.size) plan = { model, pack: Pack.runs, tick, base, step, residuals, width: 0, size: runs + 6 }
  return plan
}

function meanOf(values: Float64Array, otherwise: number): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return values.length > 0 ? sum / values.length : otherwise
}

/** 0, −1, 1, −2, … → 0, 1, 2, 3, … for values within ±2^52. */
export function zigzag(residuals: Float64Array): Float64Array {
  const out = new Float64Array(residuals.length)
  for (let i = 0; i < out.length; i++) {
    const r = residuals[i]!
    out[i] = r < 0 ? -2 * r - 1 : 2 * r
  }
  return out
}

/** Bits of a whole number below 2^53. */
function bitLength(value: number): number {
  return value < 2 ** 31 ? 32 - Math.clz32(value) : 31 + bitLength(Math.floor(value / 2 ** 31))
}

function bestRice(values: Float64Array): { k: number; bits: number } {
  let typical = 0
  for (let i = 0; i < values.length; i++) typical += bitLength(values[i]!)
  typical = Math.round(typical / values.length)
  let best = { k: 0, bits: Number.POSITIVE_INFINITY }
  for (let k = Math.max(0, typical - 2); k <= Math.min(maxRiceK, typical + 1); k++) {
    const size = 2 ** k
    let bits = 0
    for (let i = 0; i < values.length; i++) {
      const q = Math.floor(values[i]! / size)
      bits += q < escapeOnes ? q + 1 + k : escapeBits
    }
    if (bits < best.bits) best = { k, bits }
  }
  return best
}

/** Bytes of the run-length form, or anything above `limit` as soon as it is above. */
function runsSize(residuals: Float64Array, limit: number): number {
  let size = 0
  for (let start = 0, end = 0; start < residuals.length && size <= limit; start = end) {
    while (end < residuals.length && residuals[end] === residuals[start]) end++
    size += svarintSize(residuals[start]!) + (end - start < 128 ? 1 : 3)
  }
  return size
}
