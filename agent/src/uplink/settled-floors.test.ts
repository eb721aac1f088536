import { expect, test } from 'vitest'
import { SettledFloors } from './settled-floors.ts'

test('rising and standing floors are believed', () => {
  const floors = new SettledFloors(5000)
  for (const [settled, at] of [
    [3, 0],
    [3, 10],
    [7, 20],
    [8, 30],
  ] as const) {
    expect(floors.heard(1, settled, at, at + 5)).toBe(true)
  }
})

test('a floor that has fallen is believed once it stayed low, and the one after it at once', () => {
  const floors = new SettledFloors(5000)
  floors.heard(1, 10, 0, 100)
  expect(floors.heard(1, 7, 200, 1000)).toBe(false)
  expect(floors.heard(1, 7, 3000, 5999)).toBe(false)
  expect(floors.heard(1, 8, 5999, 6000)).toBe(true)
  expect(floors.heard(1, 9, 6001, 6002)).toBe(true)
})

test('the older floor of another replica is no fall, however often it comes', () => {
  const floors = new SettledFloors(5000)
  let floor = 10
  for (let at = 0; at < 60_000; at += 1000) {
    expect(floors.heard(1, floor, at, at + 1)).toBe(true)
    expect(floors.heard(1, floor - 2, at + 500, at + 501)).toBe(false)
    floor++
  }
})

test('an answer that was overtaken on its way is no fall', () => {
  const floors = new SettledFloors(0)
  floors.heard(1, 10, 0, 100)
  expect(floors.heard(1, 7, 50, 120)).toBe(false)
  expect(floors.heard(1, 7, 100, 140)).toBe(true)
})

test('each epoch has its own floor', () => {
  const floors = new SettledFloors(5000)
  floors.heard(1, 10, 0, 100)
  expect(floors.heard(2, 1, 110, 120)).toBe(true)
  expect(floors.heard(1, 9, 130, 140)).toBe(false)
})
