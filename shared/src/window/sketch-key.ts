/**
 * The buckets of the quantile sketch: log-linear, cut from the bits of the double itself, without a logarithm.
 *
 * At level 0 a bucket is one 64th of an octave's linear span: all doubles that share sign, exponent and the 6 upper bits of the
 * mantissa. At level L the 17 bits of exponent and mantissa lose L more: buckets pair up, and nest. Zero and the subnormals (below
 * 2.3e-308) have the bucket 0. Keys ascend with the values: … −2, −1, 0, 1, 2 …
 *
 * `representative` is the harmonic mean of a bucket's ends a < b, so that every value of the bucket is within
 * (b − a) / (b + a) of it, relative to the value:
 *   level      0      1      2      3      4      5      6      7      8
 *   error  0.78 %  1.5 %  3.0 %  5.9 %  11 %   20 %   33 %   60 %   88 %
 * Logarithmic buckets of the same error number 45 an octave instead of 64, and need Math.log, whose last bit is the platform's own:
 * two machines could sort one reading into two buckets.
 */
import { fromHighWord, highWord } from './exact.ts'

/** Mantissa bits at level 0. */
const fineBits = 6
/** Levels from 0 to this; at the last one a sign has a single bucket. */
export const maxLevel = 11 + fineBits
/** Smallest index of a normal double. */
const smallestNormal = 1 << fineBits

/** The bucket of a finite value. */
export function keyOf(value: number, level: number): number {
  const word = highWord(value)
  const index = (word & 0x7fffffff) >>> (20 - fineBits)
  if (index < smallestNormal) return 0
  const rank = (index >>> level) + 1
  return word >>> 31 ? -rank : rank
}

/** The bucket that holds this one, `by` levels up. */
export function coarser(key: number, by: number): number {
  if (key === 0) return 0
  return key > 0 ? ((key - 1) >>> by) + 1 : -(((-key - 1) >>> by) + 1)
}

/** Largest |key| of a level. */
export function largestKey(level: number): number {
  return (((0x7ff << fineBits) - 1) >>> level) + 1
}

/** Relative error of a level: no value of a bucket is farther from its representative. */
export function relativeError(level: number): number {
  const step = 2 ** (level - fineBits)
  if (level <= fineBits) return step / (2 + step)
  const lowOverHigh = 2 ** -step
  return (1 - lowOverHigh) / (1 + lowOverHigh)
}

/** The value that stands for a bucket. */
export function representative(key: number, level: number): number {
  if (key === 0) return 0
  const index = Math.max(smallestNormal, (Math.abs(key) - 1) * 2 ** level)
  const low = fromHighWord(index * 2 ** (20 - fineBits))
  const step = smallestNormal + (index % smallestNormal)
  const lowOverHigh = level <= fineBits ? step / (step + 2 ** level) : 2 ** -(2 ** (level - fineBits))
  const middle = low * (2 / (1 + lowOverHigh))
  return key > 0 ? middle : -middle
}
