import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketWidth } from './bucket-width.ts'

const latestMs = Date.UTC(2106, 0)

test('a span never touches more buckets than points are asked for, and no narrower width would do', () => {
  const span = fc
    .tuple(fc.integer({ min: 0, max: latestMs }), fc.integer({ min: 0, max: latestMs }))
    .map(times => times.sort((a, b) => a - b))
  fc.assert(
    fc.property(span, fc.integer({ min: 1, max: 5000 }), ([fromMs = 0, toMs = 0], points) => {
      const width = bucketWidth(fromMs, toMs, points)
      const touched = Math.floor((toMs - 1) / width) - Math.floor(fromMs / width) + 1
      if (toMs > fromMs) expect(touched).toBeLessThanOrEqual(points)
      expect(bucketWidth(fromMs, toMs, points, width)).toBe(width)
      expect((toMs - fromMs) / width).toBeLessThanOrEqual(points)
    }),
  )
})

test('widths are round, and start where their kind starts', () => {
  const day = 86_400_000
  expect(bucketWidth(0, day, 1000)).toBe(120_000)
  expect(bucketWidth(0, 365 * day, 1000)).toBe(43_200_000)
  expect(bucketWidth(0, 60_000, 1000)).toBe(100)
  expect(bucketWidth(0, 60_000, 1000, 60_000)).toBe(60_000)
  expect(bucketWidth(1, 1001, 1)).toBe(2000)
})
