import { expect, test } from 'vitest'
import { Linger } from './linger.ts'
import { Wakeup } from './wakeup.ts'

test('a few readings wait from the moment the oldest of them came', () => {
  const linger = new Linger(100, 200)
  expect(linger.dueInMs(0)).toBeNull()
  linger.arrived(3, 1000)
  linger.arrived(3, 1150)
  linger.observe(6, 1150)
  expect(linger.dueInMs(1150)).toBe(50)
  expect(linger.dueInMs(5000)).toBe(0)
})

test('a full batch waits for nothing', () => {
  const linger = new Linger(100, 200)
  linger.observe(100, 0)
  expect(linger.dueInMs(0)).toBe(0)
  linger.observe(99, 0)
  expect(linger.dueInMs(0)).toBe(200)
})

test('only the first arrival and the one that fills a batch call for a look', () => {
  const linger = new Linger(100, 200)
  expect([1, 1, 97, 1, 1, 500].map(readings => linger.arrived(readings, 0))).toEqual([
    true,
    false,
    false,
    true,
    false,
    false,
  ])
  linger.sealed()
  expect(linger.dueInMs(0)).toBeNull()
  expect(linger.arrived(1, 0)).toBe(true)
})

test('readings that were sealed elsewhere no longer wait', () => {
  const linger = new Linger(100, 200)
  linger.arrived(5, 0)
  linger.observe(0, 10)
  expect(linger.dueInMs(10)).toBeNull()
})

test('a poke ends a wait, the running one or the next, and only one', async () => {
  const wakeup = new Wakeup()
  const waiting = wakeup.wait(3600_000)
  wakeup.poke()
  await waiting
  wakeup.poke()
  wakeup.poke()
  await wakeup.wait(3600_000)
  await wakeup.wait(1)
})
