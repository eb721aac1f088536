/**
 * Exact binary numbers: mantissa × 2^exponent with a BigInt mantissa, and their correctly rounded return to doubles.
 *
 * Every finite double, every sum and every product of them is such a number, so nothing here is ever inexact but `nearest`, which
 * rounds once, to nearest, ties to even: the double that the true value lies closest to. Beyond the largest double it gives
 * ±Infinity, as IEEE 754 does. Costs microseconds: this is for finished windows and rare values, not for each reading.
 */

export interface Exact {
  readonly mantissa: bigint
  /** Value = mantissa × 2^exponent. */
  readonly exponent: number
}

export const zero: Exact = { mantissa: 0n, exponent: 0 }

const mantissaBits = 53
const largestMantissa = 2n ** 53n
/** Exponent of the smallest subnormal double. */
const lowest = -1074
/** Scratch: a double and its two 32-bit words. */
const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
/** Which word holds the sign: the words stand in the byte order of the machine. */
const high = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/** The upper 32 bits of a double: sign, exponent, 20 bits of the mantissa. */
export function highWord(x: number): number {
  double[0] = x
  return words[high]!
}

/** The double with these upper 32 bits and zeros below. */
export function fromHighWord(word: number): number {
  words[high] = word
  words[1 - high] = 0
  return double[0]!
}

/** A finite double, exactly. */
export function exactly(x: number): Exact {
  if (x === 0) return zero
  const word = highWord(x)
  const biased = (word >>> 20) & 0x7ff
  const fraction = (word & 0xfffff) * 2 ** 32 + words[1 - high]!
  const mantissa = BigInt(biased === 0 ? fraction : fraction + 2 ** 52)
  return { mantissa: word >>> 31 ? -mantissa : mantissa, exponent: Math.max(1, biased) - 1075 }
}

export function add(a: Exact, b: Exact): Exact {
  if (a.mantissa === 0n) return b
  if (b.mantissa === 0n) return a
  const exponent = Math.min(a.exponent, b.exponent)
  return { mantissa: mantissaAt(a, exponent) + mantissaAt(b, exponent), exponent }
}

export function negate({ mantissa, exponent }: Exact): Exact {
  return { mantissa: -mantissa, exponent }
}

export function multiply(a: Exact, b: Exact): Exact {
  return { mantissa: a.mantissa * b.mantissa, exponent: a.exponent + b.exponent }
}

/** The sum of finite doubles. */
export function exactSum(terms: Iterable<number>): Exact {
  let sum = zero
  for (const term of terms) if (term !== 0) sum = add(sum, exactly(term))
  return sum
}

/** The one form of a value: an odd mantissa, or zero. */
export function canonical({ mantissa, exponent }: Exact): Exact {
  if (mantissa === 0n) return zero
  let odd = mantissa
  let shifted = 0
  for (; (odd & 0xffffffffn) === 0n; shifted += 32) odd >>= 32n
  const low = Number(odd & 0xffffffffn)
  const zeros = 31 - Math.clz32(low & -low)
  return { mantissa: odd >> BigInt(zeros), exponent: exponent + shifted + zeros }
}

/** The double nearest to value / divisor, a positive integer. */
export function nearest({ mantissa, exponent }: Exact, divisor = 1n): number {
  if (mantissa === 0n) return 0
  const magnitude = mantissa < 0n ? -mantissa : mantissa
  let unit = Math.max(lowest, bitLength(magnitude) - bitLength(divisor) + exponent - mantissaBits)
  let quotient = roundedQuotient(magnitude, divisor, exponent - unit)
  if (quotient > largestMantissa) quotient = roundedQuotient(magnitude, divisor, exponent - ++unit)
  const result = unit > 971 ? Number.POSITIVE_INFINITY : Number(quotient) * 2 ** unit
  return mantissa < 0n ? -result : result
}

/** magnitude × 2^shift / divisor, to the nearest integer, ties to even: at most 55 bits where the shift was chosen for that. */
function roundedQuotient(magnitude: bigint, divisor: bigint, shift: number): bigint {
  const numerator = shift > 0 ? magnitude << BigInt(shift) : magnitude
  const denominator = shift < 0 ? divisor << BigInt(-shift) : divisor
  const quotient = numerator / denominator
  const twice = (numerator - quotient * denominator) * 2n
  const up = twice > denominator || (twice === denominator && (quotient & 1n) === 1n)
  return up ? quotient + 1n : quotient
}

/** Bits of a positive integer; one more where it rounds up to a power of two, which costs `nearest` nothing. */
function bitLength(value: bigint): number {
  const approximate = Number(value)
  if (approximate !== Number.POSITIVE_INFINITY) return (highWord(approximate) >>> 20) - 1022
  const digits = value.toString(16)
  return digits.length * 4 - Math.clz32(Number.parseInt(digits[0]!, 16)) + 28
}

function mantissaAt({ mantissa, exponent }: Exact, target: number): bigint {
  return mantissa << BigInt(exponent - target)
}
