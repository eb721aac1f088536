/** Values for property tests: what sensors send, and what nobody should. */
import fc from 'fast-check'
import { readingsOf, type TestReading } from './test-oracle.ts'

/** Decimals of a sensor, whole counts, full-precision doubles of one range. */
export const tame = fc.oneof(
  fc.integer({ min: -4000, max: 4000 }).map(i => i / 100),
  fc.integer({ min: 0, max: 1_000_000 }),
  fc.double({ min: 20, max: 25, noNaN: true }),
)

/** All finite doubles, with the edges of every range made likely. */
export const wild = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 5e-324, -5e-324, 2 ** -1022, 1e300, -1e300, Number.MAX_VALUE, -Number.MAX_VALUE),
  fc.constantFrom(2 ** 480, 2 ** -480, 2 ** 480 * 1.5, 2 ** -480 / 1.5, -(2 ** 480) / 3, 1e-17, 1, 0.1),
  tame,
)

/** A few readings, all tame or all wild, many of equal times. */
export function someReadings(minLength: number, maxLength: number): fc.Arbitrary<TestReading[]> {
  const time = fc.integer({ min: -6, max: 6 })
  const of = (value: fc.Arbitrary<number>) => fc.array(fc.tuple(time, value), { minLength, maxLength })
  return fc.oneof(of(tame), of(wild)).map(readingsOf)
}
