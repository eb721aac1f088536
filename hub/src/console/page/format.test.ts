import { expect, test } from 'vitest'
import * as format from './format.js'
import { unitText, withUnit } from './units.js'

test.each([
  [0, '0'],
  [21.5, '21.5'],
  [-3.25, '−3.25'],
  [96.90407, '96.904'],
  [12_345.678, '12,346'],
  [0.00012345, '0.00012345'],
  [0.0000123, '1.230e-5'],
  [1_234_567_890, '1.235e9'],
  [Number.NaN, 'NaN'],
])('%d is written %s', (value, text) => {
  expect(format.formatNumber(value)).toBe(text)
})

test('booleans are on and off, strings stand as they are', () => {
  expect([true, false, '<b>run</b>'].map(format.formatValue)).toEqual(['on', 'off', '<b>run</b>'])
})

test('a count is exact up to a million and short from there', () => {
  expect([999_999, 1_000_000, 12_345_678].map(format.formatCount)).toEqual(['999,999', '1M', '12.35M'])
})

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [59_999, '59 s'],
  [200_000, '3 min 20 s'],
  [3_600_000, '1 h'],
  [9_000_000, '2 h 30 min'],
  [36_000_000 + 60_000, '10 h'],
  [52 * 3_600_000, '2 d 4 h'],
])('%d ms are %s', (ms, text) => {
  expect(format.formatDuration(ms)).toBe(text)
})

test('an age is its largest part', () => {
  expect([300, 12_000, 200_000, 52 * 3_600_000].map(format.formatAge)).toEqual([
    'now',
    '12 s ago',
    '3 min ago',
    '2 d ago',
  ])
})

test('times are in the zone of the browser, 24 hours', () => {
  const ms = new Date(2026, 8, 7, 4, 5, 9).getTime()
  expect(format.formatFullTime(ms)).toBe('7 Sep 2026 04:05:09')
  expect(format.formatDayTime(ms)).toBe('7 Sep 04:05')
  expect(format.formatMonth(ms)).toBe('Sep 2026')
})

test('the zone is named with what it is ahead of UTC', () => {
  const at = (minutes: number) => Object.assign(new Date(0), { getTimezoneOffset: () => minutes })
  expect(format.zoneText(at(-60))).toMatch(/ \(UTC\+1\)$/)
  expect(format.zoneText(at(210))).toMatch(/ \(UTC−3:30\)$/)
})

test('units are written as people write them, unknown ones as they came', () => {
  expect(['Cel', 'm3/h', '1', 'kW', 'furlong'].map(unitText)).toEqual(['°C', 'm³/h', '', 'kW', 'furlong'])
  expect(withUnit('21.5', 'Cel')).toBe('21.5\u202f°C')
  expect(withUnit('90', 'deg')).toBe('90°')
  expect(withUnit('7', '')).toBe('7')
})
