import { expect, test } from 'vitest'
import { BootClock } from './boot-clock.ts'

function onMachine(uptimeUs: () => number | null) {
  const machine = { monotonicUs: 10e6, wallUs: 500e6 }
  const readings = { monotonicUs: () => machine.monotonicUs, wallUs: () => machine.wallUs, uptimeUs }
  return { machine, clock: new BootClock('a', readings) }
}

test('is the monotonic clock while the machine never slept; steps of the wall clock change nothing', () => {
  const { machine, clock } = onMachine(() => machine.monotonicUs - 10_000)
  expect(clock.nowUs()).toBe(10e6)
  for (machine.wallUs of [0, 4e15]) expect(clock.nowUs()).toBe(10e6)
})

test('counts what the machine slept, at once when the wall clock shows it', () => {
  let sleptUs = 0
  const { machine, clock } = onMachine(() => machine.monotonicUs + sleptUs)
  expect(clock.nowUs()).toBe(10e6)
  sleptUs = 3600e6
  machine.wallUs += 3600e6
  machine.monotonicUs += 10
  expect(clock.nowUs()).toBe(3610e6 + 10)
})

test('and within a second when it does not', () => {
  let sleptUs = 0
  const { machine, clock } = onMachine(() => machine.monotonicUs + sleptUs)
  clock.nowUs()
  sleptUs = 60e6
  machine.monotonicUs += 999_999
  machine.wallUs += 999_999
  expect(clock.nowUs()).toBe(10.999_999e6)
  machine.monotonicUs += 1
  machine.wallUs += 1
  expect(clock.nowUs()).toBe(71e6)
})

test('never goes back: an uptime that shrinks, or is not told, is not followed', () => {
  let uptimeUs: number | null = 100e6
  const { machine, clock } = onMachine(() => uptimeUs)
  expect(clock.nowUs()).toBe(100e6)
  for (uptimeUs of [5e6, null]) {
    machine.monotonicUs += 2e6
    expect(clock.nowUs()).toBe(machine.monotonicUs + 90e6)
  }
})

test('of this machine it only grows, in whole microseconds, and every one of a boot reads the same', () => {
  const [first, second] = [new BootClock(), new BootClock()]
  const [a, b, c] = [first.nowUs(), second.nowUs(), first.nowUs()]
  expect([a, b, c].every(Number.isSafeInteger)).toBe(true)
  expect(a).toBeLessThanOrEqual(b)
  expect(b).toBeLessThanOrEqual(c)
})
