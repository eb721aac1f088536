import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

test('while it is quiet a commit goes at once', () => {
  const pace = new Pace(100, 1000)
  for (let nowMs = 1000; nowMs < 10_000; nowMs += 150) {
    expect(pace.waitMs(1, nowMs)).toBe(0)
    pace.spend(1, nowMs)
  }
})

test('small groups are limited to one a window, after a burst', () => {
  const pace = new Pace(100, 1000)
  let commits = 0
  for (let nowMs = 1000; nowMs < 11_000; nowMs++) {
    if (pace.waitMs(5, nowMs) > 0) continue
    pace.spend(5, nowMs)
    commits++
  }
  expect(commits).toBeGreaterThanOrEqual(100)
  expect(commits).toBeLessThanOrEqual(110)
})

test('a full group never waits, and costs no later one its turn', () => {
  const pace = new Pace(100, 1000)
  for (let nowMs = 1000; nowMs < 1100; nowMs++) {
    expect(pace.waitMs(1000, nowMs)).toBe(0)
    pace.spend(1000, nowMs)
  }
  expect(pace.waitMs(1, 1100)).toBe(0)
})

test('the wait ends when the window has passed', () => {
  const pace = new Pace(100, 1000)
  while (pace.waitMs(1, 1000) === 0) pace.spend(1, 1000)
  expect(pace.waitMs(1, 1000)).toBe(100)
  expect(pace.waitMs(1, 1060)).toBeCloseTo(40)
  expect(pace.waitMs(1, 1101)).toBe(0)
})
