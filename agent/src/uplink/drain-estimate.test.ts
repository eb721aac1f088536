import { expect, test } from 'vitest'
import { DrainEstimate } from './drain-estimate.ts'

test('before the first answer nothing is known', () => {
  const estimate = new DrainEstimate(1000, null)
  expect([estimate.inOrderMs(10), estimate.readingsPerS(0), estimate.atRateMs(10, 0)]).toEqual([null, 0, null])
  expect(estimate.atRateMs(0, 0)).toBe(0)
})

test('small batches do not make a drain look longer than it is in full ones', () => {
  const estimate = new DrainEstimate(1000, null)
  for (let i = 0; i < 50; i++) estimate.stored({ readings: 3, bytes: 100 }, 20, i * 200)
  expect(estimate.inOrderMs(100_000)).toBeCloseTo(2000)
})

test('a bandwidth makes a batch take at least its bytes', () => {
  const estimate = new DrainEstimate(1000, 1000)
  estimate.stored({ readings: 1000, bytes: 3000 }, 20, 0)
  expect(estimate.inOrderMs(10_000)).toBeCloseTo(30_000)
})

test('the rate follows what leaves, and fades when nothing does', () => {
  const estimate = new DrainEstimate(1000, null)
  for (let ms = 0; ms <= 60_000; ms += 100) estimate.stored({ readings: 500, bytes: 1500 }, 50, ms)
  expect(estimate.readingsPerS(60_000)).toBeGreaterThan(4800)
  expect(estimate.readingsPerS(60_000)).toBeLessThan(5200)
  expect(estimate.atRateMs(50_000, 60_000)).toBeCloseTo(10_000, -3)
  expect(estimate.readingsPerS(300_000)).toBeLessThan(1)
  expect(estimate.atRateMs(1, 3600_000)).toBeNull()
})
