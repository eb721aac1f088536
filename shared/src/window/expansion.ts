/**
 * Exact sums of doubles in a few doubles: an unevaluated sum of terms, large to small, kept by error-free transformations (Knuth's
 * TwoSum, Dekker's square; Shewchuk 1997). The value is exact as long as every `accumulate` returns 0.
 *
 * Nothing here is rounded, so the value does not depend on the order of the additions; the terms themselves may. Exactness needs
 * that no term overflows and that no product underflows: see `exactRange`.
 */
import { add, type Exact, exactly, nearest, negate } from './exact.ts'

/** A value whose square and the square's rounding error are exact doubles: 0, or of a magnitude between these. */
export const exactRange = { least: 2 ** -480, most: 2 ** 480 } as const
/** Largest term: 2^53 further squares of `exactRange.most` do not reach infinity. */
const largestTerm = 2 ** 1000
/** Dekker's splitter, 2^27 + 1. */
const splitter = 134217729

/** Add x to the terms in [from, end). Returns what found no room: 0 when all of x did. */
export function accumulate(terms: Float64Array, from: number, end: number, x: number): number {
  let rest = x
  for (let i = from; i < end; i++) {
    const term = terms[i]!
    const sum = term + rest
    const added = sum - term
    rest = term - (sum - added) + (rest - added)
    terms[i] = sum
    if (rest === 0) return 0
  }
  return rest
}

/** The rounding error of x·x: x·x + squareError(x) is the square exactly, for x in `exactRange`. */
export function squareError(x: number): number {
  const scaled = splitter * x
  const upper = scaled - (scaled - x)
  const lower = x - upper
  return upper * upper - x * x + 2 * upper * lower + lower * lower
}

/** Write a value into the terms in [from, end), each the nearest double to what is left. False when they are too few. */
export function intoTerms(value: Exact, terms: Float64Array, from: number, end: number): boolean {
  let rest = value
  for (let i = from; i < end; i++) {
    const term = nearest(rest)
    if (Math.abs(term) > largestTerm) return false
    terms[i] = term
    rest = add(rest, negate(exactly(term)))
  }
  return rest.mantissa === 0n
}
