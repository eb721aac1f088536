import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

const backoff = { baseMs: 500, capMs: 60_000 }
const most = () => 0.999999
const least = () => 0

test('waits double up to the cap, jittered down to nothing, and end with a success', () => {
  const pace = new Pace(backoff, 60_000, most)
  const waits: number[] = []
  let now = 0
  for (let i = 0; i < 9; i++) {
    pace.later(now, now, null)
    waits.push(Math.round(pace.waitMs(now) / 100) * 100)
    now += pace.waitMs(now)
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  expect(pace.attempts).toBe(9)
  pace.succeeded(now)
  expect([pace.attempts, pace.waitMs(now)]).toEqual([0, 0])
  const eager = new Pace(backoff, 60_000, least)
  eager.later(0, 0, null)
  expect(eager.waitMs(0)).toBe(0)
})

test('Retry-After is a floor, with the jitter on top', () => {
  const pace = new Pace(backoff, 60_000, most)
  pace.later(0, 0, 7)
  expect(pace.waitMs(0)).toBeGreaterThanOrEqual(7000)
  expect(pace.waitMs(0)).toBeLessThan(7500)
  const eager = new Pace(backoff, 60_000, least)
  eager.later(0, 0, 7)
  expect(eager.waitMs(0)).toBe(7000)
})

test('eight requests that fail together count as one failure, and the longest Retry-After of them holds', () => {
  const pace = new Pace(backoff, 60_000, most)
  for (let i = 0; i < 8; i++) pace.later(100 + i, 50, i === 5 ? 30 : null)
  expect(pace.attempts).toBe(1)
  expect(pace.waitMs(100)).toBeGreaterThanOrEqual(30_000)
})

test('a success that was under way when the trouble began does not end the wait', () => {
  const pace = new Pace(backoff, 60_000, most)
  pace.later(100, 50, 30)
  pace.succeeded(99)
  expect(pace.attempts).toBe(1)
  expect(pace.waitMs(100)).toBeGreaterThanOrEqual(30_000)
  pace.succeeded(100)
  expect(pace.waitMs(100)).toBe(0)
})

test('a refused agent comes back after between half and all of its wait', () => {
  for (const [random, wait] of [
    [least, 30_000],
    [() => 1, 60_000],
  ] as const) {
    const pace = new Pace(backoff, 60_000, random)
    pace.refused(0, 0)
    expect(pace.waitMs(0)).toBe(wait)
    expect(pace.waitMs(20_000)).toBe(wait - 20_000)
  }
})

test('a dropped connection delays the next request once, and is no failure', () => {
  const pace = new Pace(backoff, 60_000, most)
  pace.dropped(1000)
  expect(pace.waitMs(1000)).toBe(499)
  expect(pace.waitMs(1499)).toBe(0)
  expect(pace.attempts).toBe(0)
})
