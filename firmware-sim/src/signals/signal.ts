/**
 * A signal is what a sensor would measure: asked at times that never go back, it answers with a value.
 *
 * Times are microseconds since 1970 UTC. A signal may keep state (noise, drift, a counter), so its values depend on the times it
 * was asked before: the same times and the same seed give the same values.
 */
import type { SensorValue } from './emission.ts'

export interface Signal {
  readonly metric: string
  /** UCUM; empty when the quantity has none. */
  readonly unit: string
  next(tsUs: number): SensorValue
}

export interface AdcRange {
  /** Value of code 0. */
  readonly min: number
  /** Value of the highest code. */
  readonly max: number
  readonly bits: number
}

/** What an analogue-digital converter of that range reads: the nearest code, saturated at both ends. */
export function quantise(value: number, range: AdcRange): number {
  const codes = 2 ** range.bits - 1
  const code = Math.round(((value - range.min) / (range.max - range.min)) * codes)
  const step = (range.max - range.min) / codes
  return Number((range.min + Math.min(codes, Math.max(0, code)) * step).toFixed(6))
}
