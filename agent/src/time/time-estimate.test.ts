import { expect, test } from 'vitest'
import { timeAt } from './anchor.ts'
import { TimeEstimate } from './time-estimate.ts'

const t0Us = 1_760_000_000_000_000
const s = 1e6

test('a sample that agrees within its error changes nothing, however lopsided its exchange was', () => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 500 }, 0)
  expect(estimate.take({ bootUs: 10 * s, timeUs: t0Us + 10.9 * s, errorUs: 1 * s })).toBe(0)
  expect(timeAt(estimate.anchor, 10 * s)).toBe(t0Us + 10 * s)
  expect(estimate.errorUs(10 * s)).toBeLessThan(3000)
})

test('a quick exchange narrows what a slow one told', () => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us + 800_000, errorUs: 1 * s }, 0)
  estimate.take({ bootUs: 2 * s, timeUs: t0Us + 2 * s, errorUs: 5000 })
  expect(Math.abs(timeAt(estimate.anchor, 2 * s) - (t0Us + 2 * s))).toBeLessThanOrEqual(5000)
})

test.each([200e-6, -200e-6, 0.05, -0.05])('a clock that runs off by %f is known by the fourth sample', rate => {
  const boot = (trueUs: number) => trueUs * (1 + rate)
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 500 }, 0)
  for (const atUs of [5 * s, 10 * s, 20 * s]) estimate.take({ bootUs: boot(atUs), timeUs: t0Us + atUs, errorUs: 500 })
  // As far as errors of half a millisecond force it.
  expect(Math.abs(estimate.anchor.rate - (1 / (1 + rate) - 1))).toBeLessThan(2.2e-4)
  const later = 320 * s
  expect(Math.abs(timeAt(estimate.anchor, boot(later)) - (t0Us + later))).toBeLessThan(0.1 * s)
})

test.each([0, 1, 3])('a jump of the trusted clock after %i samples is followed, and is no drift', samples => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 500 }, 0)
  for (let n = 1; n <= samples; n++) estimate.take({ bootUs: n * s * 2, timeUs: t0Us + n * s * 2, errorUs: 500 })
  estimate.take({ bootUs: 15 * s, timeUs: t0Us + 15.3 * s, errorUs: 500 })
  expect(estimate.anchor.rate).toBe(0)
  expect(timeAt(estimate.anchor, 15 * s)).toBe(t0Us + 15.3 * s - 500)
})

test('a jump of hours is no drift either', () => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 0 }, 0)
  for (const n of [1, 2, 3, 4]) estimate.take({ bootUs: n * 10 * s, timeUs: t0Us + n * 3600 * s, errorUs: 0 })
  expect(estimate.anchor.rate).toBe(0)
})

test('samples that follow one another at once say nothing of the rate', () => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 0 }, 0)
  estimate.take({ bootUs: 0.2 * s, timeUs: t0Us + 0.21 * s, errorUs: 0 })
  expect(estimate.anchor.rate).toBe(0)
})

test('its error grows while nothing is heard', () => {
  const estimate = new TimeEstimate({ bootUs: 0, timeUs: t0Us, errorUs: 1000 }, 0)
  expect(estimate.errorUs(0)).toBe(1000)
  expect(estimate.errorUs(5000 * s)).toBeCloseTo(1_001_000, -2)
})
