import { expect, test } from 'vitest'
import { labelsFile, press } from './devices.ts'
import { matchAlerts, readKnownFailures } from './known-failures.ts'

const alert = (openedUs: number, more: object = {}) => ({ ...press, openedUs, learning: false, ...more })
const failures = [
  { fromUs: 100, toUs: 200 },
  { fromUs: 300, toUs: 400 },
]

test('a failure is found by an alert at either end of it, and once', () => {
  expect(matchAlerts([alert(100), alert(150), alert(400)], failures, press)).toEqual({ found: 2, falseAlarms: 0 })
})

test('an alert outside, or of another series, is a false alarm; one of a series that is learning calls nobody', () => {
  const alerts = [alert(99), alert(401), alert(150, { device: 'machine-001' }), alert(150, { learning: true })]
  expect(matchAlerts(alerts, failures, press)).toEqual({ found: 0, falseAlarms: 3 })
})

test('the recording has four known failures, moved with it', () => {
  const at = Date.UTC(2013, 11, 10, 6, 25) * 1000
  const [first, ...rest] = readKnownFailures(labelsFile, 1000)
  expect(first?.fromUs).toBe(at + 1000)
  expect(rest).toHaveLength(3)
})
