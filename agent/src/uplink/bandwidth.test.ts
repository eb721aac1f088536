import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bandwidth } from './bandwidth.ts'

/** Send requests of these sizes as early as allowed; returns the bytes and how long it took, ms. */
function sendAll(bandwidth: Bandwidth, sizes: readonly number[], from = 0): { bytes: number; tookMs: number } {
  let nowMs = from
  for (const size of sizes) {
    nowMs += bandwidth.waitMs(nowMs)
    bandwidth.spend(size, nowMs)
  }
  nowMs += bandwidth.waitMs(nowMs)
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), tookMs: nowMs - from }
}

test('over any half minute the rate is held within 5 %, whatever the sizes', () => {
  const rate = 20_000
  const sizes = fc.array(fc.integer({ min: 300, max: 20_000 }), { minLength: 200, maxLength: 400 })
  fc.assert(
    fc.property(sizes, given => {
      const { bytes, tookMs } = sendAll(new Bandwidth(rate), given)
      const share = bytes / ((tookMs / 1000) * rate)
      expect(share).toBeLessThan(1.05)
      expect(share).toBeGreaterThan(0.95)
    }),
  )
})

test('a quiet time saves up a quarter of a second, no more', () => {
  const bandwidth = new Bandwidth(1000)
  sendAll(bandwidth, [250])
  let sent = 0
  while (bandwidth.waitMs(3600_000) === 0) {
    bandwidth.spend(10, 3600_000)
    sent += 10
  }
  expect(sent).toBe(260)
})

test('a request larger than the bucket leaves, and its debt is waited out', () => {
  const bandwidth = new Bandwidth(1000)
  bandwidth.spend(10_250, 0)
  expect(bandwidth.waitMs(0)).toBe(10_000)
  expect(bandwidth.waitMs(9999)).toBeGreaterThan(0)
  expect(bandwidth.waitMs(10_001)).toBe(0)
})

test('without a bound nothing waits', () => {
  const bandwidth = new Bandwidth(null)
  bandwidth.spend(1e12, 0)
  expect(bandwidth.waitMs(0)).toBe(0)
})
