/**
 * The time, from samples of a clock that is trusted, each known only within an interval. Pure.
 *
 * A sample moves the estimate no further than its interval forces: one that agrees changes nothing, so a slow, lopsided exchange with
 * the hub cannot spoil what a quick one told. The rate at which the boot's clock is off is learned likewise, as the median of the last
 * two slopes and the present rate: a single jump of the trusted clock is no drift.
 */
import { type Anchor, timeAt } from './anchor.ts'

export interface Sample {
  /** Of the boot's clock, µs. */
  readonly bootUs: number
  /** What the trusted clock said then, give or take `errorUs`. */
  readonly timeUs: number
  readonly errorUs: number
}

/** Crystals are off by no more; what looks so is a clock that was set. */
const maxRate = 0.06
/** Slopes over less than this are noise, µs. */
const minSpanUs = 1_000_000
/** By how much a boot's clock may go astray unseen: 200 ppm, a poor crystal. */
const wander = 200e-6

export class TimeEstimate {
  #anchor: Anchor
  #errorUs: number
  #previous: Sample
  #slope: number

  /** `rate` as of an earlier boot of the same machine, or 0. */
  constructor(first: Sample, rate: number) {
    this.#anchor = { bootUs: first.bootUs, timeUs: first.timeUs, rate }
    this.#errorUs = first.errorUs
    this.#previous = first
    this.#slope = rate
  }

  get anchor(): Anchor {
    return this.#anchor
  }

  /** How far it may be from the truth at a moment of the boot's clock, µs. */
  errorUs(atUs: number): number {
    return this.#errorUs + Math.max(0, atUs - this.#anchor.bootUs) * wander
  }

  /** Returns by how much the estimate moved, µs. */
  take(sample: Sample): number {
    const { bootUs, timeUs, errorUs } = sample
    const predictedUs = timeAt(this.#anchor, bootUs)
    const correctedUs = clamp(predictedUs, timeUs - errorUs, timeUs + errorUs)
    this.#errorUs = correctedUs === predictedUs ? Math.min(errorUs, this.errorUs(bootUs)) : errorUs
    this.#anchor = { bootUs, timeUs: correctedUs, rate: this.#rateWith(sample) }
    return correctedUs - predictedUs
  }

  #rateWith(sample: Sample): number {
    const { rate } = this.#anchor
    const spanUs = sample.bootUs - this.#previous.bootUs
    if (spanUs < minSpanUs) return rate
    const slope = (sample.timeUs - this.#previous.timeUs) / spanUs - 1
    const doubt = (sample.errorUs + this.#previous.errorUs) / spanUs
    this.#previous = sample
    const forced = clamp(rate, slope - doubt, slope + doubt)
    if (Math.abs(forced) > maxRate) return rate
    const before = this.#slope
    this.#slope = forced
    return median(before, forced, rate)
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value))
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c))
}
