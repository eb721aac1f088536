/**
 * The numbers of a set of readings, computed from all of them in fixed-point BigInts and by sorting: nothing of the engine's own
 * arithmetic is used, so that both cannot be wrong in the same way. Rounding is a search among all doubles.
 */
import type { Finished } from './aggregate.ts'

export interface TestReading {
  readonly tsUs: number
  readonly order: number
  readonly value: number
}

/** Bits behind the point: the smallest double is 1 here. */
const point = 1074n
const scratch = new DataView(new ArrayBuffer(8))

/** x × 2^1074. */
export function fixed(x: number): bigint {
  scratch.setFloat64(0, x)
  const bits = scratch.getBigUint64(0)
  const biased = (bits >> 52n) & 0x7ffn
  const fraction = bits & 0xfffffffffffffn
  const magnitude = biased === 0n ? fraction : (fraction | (1n << 52n)) << (biased - 1n)
  return bits >> 63n ? -magnitude : magnitude
}

/** The double nearest to numerator / denominator × 2^−1074, ties to even, found by bisection over all doubles. */
export function nearestByBisection(numerator: bigint, denominator: bigint): number {
  if (numerator < 0n) return -nearestByBisection(-numerator, denominator)
  let below = 0n
  let above = 0x7ff0000000000000n
  while (above - below > 1n) {
    const middle = (below + above) / 2n
    if (fixed(fromBits(middle)) * denominator <= numerator) below = middle
    else above = middle
  }
  const twice = 2n * numerator - (fixedOrOverflow(below) + fixedOrOverflow(above)) * denominator
  const up = twice > 0n || (twice === 0n && (below & 1n) === 1n)
  return numerator === 0n ? 0 : fromBits(up ? above : below)
}

export function finishByOracle(readings: readonly TestReading[]): Finished {
  const sorted = inOrder(readings)
  const values = sorted.map(reading => fixed(reading.value))
  const n = BigInt(values.length)
  const sum = values.reduce((a, b) => a + b, 0n)
  const deviations = values.map(value => n * value - sum)
  const squares = deviations.reduce((a, b) => a + b * b, 0n)
  const ascending = sorted.map(reading => reading.value).toSorted(bySize)
  return {
    n: values.length,
    sum: nearestByBisection(sum, 1n),
    mean: nearestByBisection(sum, n),
    m2: nearestByBisection(squares, (n * n) << point),
    min: ascending[0]!,
    max: ascending.at(-1)!,
    firstUs: sorted[0]!.tsUs,
    first: sorted[0]!.value,
    lastUs: sorted.at(-1)!.tsUs,
    last: sorted.at(-1)!.value,
  }
}

/** By time, then by arrival. */
export function inOrder<T extends TestReading>(readings: readonly T[]): T[] {
  return readings.toSorted((a, b) => a.tsUs - b.tsUs || a.order - b.order)
}

/** Readings of increasing arrival order, at the times and values given. */
export function readingsOf(pairs: readonly (readonly [tsUs: number, value: number])[]): TestReading[] {
  return pairs.map(([tsUs, value], order) => ({ tsUs, order, value }))
}

/** Ascending, −0 before 0. */
export function bySize(a: number, b: number): number {
  return a - b || (Object.is(a, b) ? 0 : Object.is(a, -0) ? -1 : 1)
}

function fixedOrOverflow(bits: bigint): bigint {
  return bits === 0x7ff0000000000000n ? 1n << (1024n + point) : fixed(fromBits(bits))
}

function fromBits(bits: bigint): number {
  scratch.setBigUint64(0, bits)
  return scratch.getFloat64(0)
}
