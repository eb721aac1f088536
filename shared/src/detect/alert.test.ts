import { expect, test } from 'vitest'
import { advanceAlert, alertRule, openedUs, type Transition } from './alert.ts'
import { lite } from './lite.ts'
import { allocate, createShard } from './shard.ts'

const minuteUs = 60e6

/** Findings as the cool-down would give them, without a detector behind. */
function alerts() {
  const shard = createShard(lite, 1)
  const slot = allocate(shard)
  let tsUs = 0
  return {
    pass: (us: number) => {
      tsUs += us
    },
    now: () => tsUs,
    openedUs: () => openedUs(shard, slot),
    reading(surprise: number, alert = 0, bar = 0, learning = false): Transition {
      tsUs += minuteUs
      return advanceAlert(shard, slot, tsUs, { ...shard.finding, surprise, alert, bar, learning }, alertRule)
    },
  }
}

test('an alert opens at S = 1.5 and not below', () => {
  const { reading, openedUs, now } = alerts()
  expect(reading(1.4999, 1.4999)).toBeNull()
  expect(reading(1.5, 1.5)).toBe('raised')
  expect(openedUs()).toBe(now())
})

test('of a series that is still learning only what is critical opens an alert', () => {
  const { reading } = alerts()
  expect(reading(2.4999, 2.4999, 0, true)).toBeNull()
  expect(reading(2.5, 2.5, 0, true)).toBe('raised')
})

test('an alert closes after ten calm readings and five minutes', () => {
  const { reading } = alerts()
  reading(2, 2)
  for (let i = 0; i < 9; i++) expect(reading(0.89, 0, 2)).toBeNull()
  expect(reading(0.89, 0, 2)).toBe('closed')
  expect(reading(0, 0, 2)).toBeNull()
})

test('ten calm readings within five minutes do not close it yet', () => {
  const { reading, pass } = alerts()
  reading(2, 2)
  for (let i = 0; i < 20; i++) {
    pass(-minuteUs)
    expect(reading(0, 0, 2)).toBeNull()
  }
  pass(3 * minuteUs)
  expect(reading(0, 0, 2)).toBeNull()
  expect(reading(0, 0, 2)).toBe('closed')
})

test('an unrest between calm readings starts the count again', () => {
  const { reading } = alerts()
  reading(2, 2)
  for (let i = 0; i < 9; i++) reading(0, 0, 2)
  expect(reading(0.9, 0, 2)).toBeNull()
  for (let i = 0; i < 9; i++) expect(reading(0, 0, 2)).toBeNull()
  expect(reading(0, 0, 2)).toBe('closed')
})

test('a higher surprise raises the same alert, open or closed', () => {
  const { reading, openedUs, now } = alerts()
  reading(1.6, 1.6)
  const opened = now()
  expect(reading(2.7, 2.7, 1.6)).toBe('raised')
  for (let i = 0; i < 10; i++) reading(0, 0, 2.7)
  expect(reading(3, 3, 2.7)).toBe('raised')
  expect(openedUs()).toBe(opened)
  for (let i = 0; i < 9; i++) expect(reading(0, 0, 3)).toBeNull()
  expect(reading(0, 0, 3)).toBe('closed')
})

test('once the bar is forgotten a closed alert is followed by a new one', () => {
  const { reading, openedUs, now } = alerts()
  reading(2, 2)
  for (let i = 0; i < 10; i++) reading(0, 0, 2)
  expect(reading(2.4, 2.4, 0)).toBe('raised')
  expect(openedUs()).toBe(now())
})

test('a surprise below the peak, let through while the alert is still open, changes nothing', () => {
  const { reading, openedUs } = alerts()
  reading(2, 2)
  const opened = openedUs()
  expect(reading(1.7, 1.7, 0)).toBeNull()
  expect(openedUs()).toBe(opened)
})
