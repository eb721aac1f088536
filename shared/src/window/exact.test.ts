import fc from 'fast-check'
import { expect, test } from 'vitest'
import { add, canonical, type Exact, exactly, exactSum, multiply, nearest, negate } from './exact.ts'
import { fixed, nearestByBisection } from './test-oracle.ts'

const finite = fc.double({ noNaN: true, noDefaultInfinity: true })

test('a double comes back from its exact form', () => {
  for (const x of [0, 1, -1.5, 5e-324, -5e-324, 2 ** -1022, Number.MAX_VALUE, Math.PI])
    expect(nearest(exactly(x))).toBe(x)
  fc.assert(fc.property(finite, x => nearest(exactly(x)) === x))
})

test('every power of two that the rounding multiplies by is exact', () => {
  let power = 1
  for (let e = 0; e >= -1074; e--, power /= 2) expect(2 ** e).toBe(power)
  power = 1
  for (let e = 0; e <= 1023; e++, power *= 2) expect(2 ** e).toBe(power)
})

test('a sum divided by a count is the nearest double, ties to even, over the whole range', () => {
  fc.assert(
    fc.property(fc.array(finite, { maxLength: 6 }), fc.integer({ min: 1, max: 2 ** 31 }), (terms, divisor) => {
      const sum = terms.reduce((a, b) => a + fixed(b), 0n)
      expect(nearest(exactSum(terms), BigInt(divisor)) + 0).toBe(nearestByBisection(sum, BigInt(divisor)) + 0)
    }),
    { numRuns: 300 },
  )
})

test('quotients close to the middle between two doubles round to the right one', () => {
  const near = fc.tuple(
    fc.bigInt({ min: 2n ** 52n, max: 2n ** 53n }),
    fc.integer({ min: -1, max: 1 }),
    fc.integer({ min: 1, max: 1000 }),
  )
  fc.assert(
    fc.property(near, ([mantissa, trace, divisor]) => {
      const numerator = (((mantissa * 2n + 1n) << 60n) + BigInt(trace)) * BigInt(divisor)
      const expected = nearestByBisection(numerator << (1074n - 61n), BigInt(divisor))
      expect(nearest({ mantissa: numerator, exponent: -61 }, BigInt(divisor))).toBe(expected)
    }),
  )
})

test('rounding at its edges: ties, subnormals, powers of two, the largest double', () => {
  const at = (mantissa: bigint, exponent: number): number => nearest({ mantissa, exponent })
  expect(at(2n ** 53n + 1n, 0)).toBe(2 ** 53)
  expect(at(2n ** 53n + 3n, 0)).toBe(2 ** 53 + 4)
  expect(at(2n ** 54n - 1n, 0)).toBe(2 ** 54)
  expect(at(2n ** 2000n - 1n, -2000)).toBe(1)
  expect(at(1n, -1075)).toBe(0)
  expect(at(3n, -1075)).toBe(2 ** -1073)
  expect(at(2n ** 60n + 1n, -1135)).toBe(5e-324)
  expect(at(2n ** 1024n - 2n ** 970n - 1n, 0)).toBe(Number.MAX_VALUE)
  expect(at(2n ** 1024n - 2n ** 970n, 0)).toBe(Number.POSITIVE_INFINITY)
  // Half a unit and a trace above 2^53, seen through a divisor: the trace decides.
  expect(nearest({ mantissa: ((2n ** 53n + 1n) << 100n) + 1n, exponent: -99 }, 2n)).toBe(2 ** 53 + 2)
  expect(nearest({ mantissa: (2n ** 53n + 1n) << 100n, exponent: -99 }, 2n)).toBe(2 ** 53)
  expect(at(-(2n ** 3000n), 0)).toBe(Number.NEGATIVE_INFINITY)
})

test('equal values have one canonical form', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }), fc.nat(300), (mantissa, shift) => {
      const plain = canonical({ mantissa, exponent: 5 })
      expect(canonical({ mantissa: mantissa << BigInt(shift), exponent: 5 - shift })).toEqual(plain)
      expect(plain.mantissa === 0n || (plain.mantissa & 1n) === 1n).toBe(true)
    }),
  )
})

test('sums and products are exact', () => {
  const value = ({ mantissa, exponent }: Exact): bigint => mantissa << BigInt(exponent + 3000)
  fc.assert(
    fc.property(finite, finite, (x, y) => {
      const [a, b] = [exactly(x), exactly(y)]
      expect(value(add(a, b))).toBe(value(a) + value(b))
      expect(value(add(a, negate(a)))).toBe(0n)
      expect(value(multiply(a, b)) << 3000n).toBe(value(a) * value(b))
    }),
  )
})
