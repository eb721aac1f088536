import { expect, test } from 'vitest'
import { readBootId } from './boot-id.ts'
import { HubClock } from './hub-clock.ts'

/** Clocks that stand still until they are moved. */
function clocks() {
  return {
    wall: 1000,
    monotonic: 50,
    wallMs() {
      return this.wall
    },
    monotonicMs() {
      return this.monotonic
    },
  }
}

test("is this machine's clock until the hub was heard", () => {
  const own = clocks()
  const clock = new HubClock({ wallMs: () => own.wall, monotonicMs: () => own.monotonic })
  expect(clock.nowMs()).toBe(1000)
  expect(clock.offsetMs()).toBeNull()
  own.wall = 2000
  expect(clock.nowMs()).toBe(2000)
})

test('then goes on from what the hub said, halfway through the exchange, by the clock that never jumps', () => {
  const own = clocks()
  const clock = new HubClock({ wallMs: () => own.wall, monotonicMs: () => own.monotonic })
  own.monotonic = 70
  clock.learn(1_000_000, 50)
  expect(clock.nowMs()).toBe(1_000_010)
  expect(clock.offsetMs()).toBe(999_010)
  own.monotonic = 170
  own.wall = -5
  expect(clock.nowMs()).toBe(1_000_110)
  expect(clock.offsetMs()).toBe(1_000_115)
  expect(clock.corrections).toBe(1)
})

test('the boot id is the kernel’s, and random where it has none', () => {
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
  expect(readBootId()).toMatch(uuid)
  for (const path of ['/nonexistent', '/dev/null', '/proc/sys/kernel/ostype']) {
    expect(readBootId(path)).toMatch(uuid)
    expect(readBootId(path)).not.toBe(readBootId(path))
  }
})

test.runIf(process.platform === 'linux')('one boot has one id', () => {
  expect(readBootId()).toBe(readBootId())
})
