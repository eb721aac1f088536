import { alertRule } from '@tributary/shared/detect/alert'
import { streamName } from '@tributary/shared/detect/detector-spec'
import { lite } from '@tributary/shared/detect/lite'
import { expect, test } from 'vitest'
import { criticalAt, durationOf, explain, opensAt, titleOf } from './explain.js'
import type { Anomaly } from './types.d.ts'

const anomaly: Anomaly = {
  anomalyId: 'f9b7a222-5ea8-5f6d-a47a-8358ae4c3e95',
  seriesId: 1,
  agentId: 'ag-aaaaaaaaaaaaaaaaaaaa',
  device: 'press-1',
  metric: 'temperature',
  unit: 'Cel',
  detector: 'lite',
  openedAt: '2026-01-01T00:00:00.000Z',
  closedAt: null,
  surprise: 3,
  score: 0.999,
  severity: 'critical',
  stream: 'G |Δ|',
  value: 12.12,
  expected: 82.1,
  seenBefore: 0.2,
  learning: false,
  historic: false,
}

test('every stream of the detector has words of its own, and an unknown one some', () => {
  const titles = lite.streams.map(stream => titleOf({ ...anomaly, stream: streamName(stream) }))
  expect(new Set([...titles, titleOf({ ...anomaly, stream: 'new' })]).size).toBe(lite.streams.length + 1)
})

test('the bounds that it tells are those of the alert rule', () => {
  expect({ open: opensAt, critical: criticalAt }).toEqual(alertRule)
})

test('what was seen and expected has its unit and sign; what is not known is said so', () => {
  expect(explain(anomaly)).toMatchObject({
    seen: '12.12\u202f°C',
    expected: '82.1\u202f°C',
    difference: '−69.98\u202f°C',
  })
  expect(explain({ ...anomaly, value: 90 }).difference).toBe('+7.9\u202f°C')
  expect(explain({ ...anomaly, expected: null })).toMatchObject({ expected: 'not known', difference: null })
})

test.each([
  [0, 'Never before'],
  [0.6, 'About once before'],
  [12.4, 'About 12 times before'],
])('seen %d times before reads "%s"', (seenBefore, text) => {
  expect(explain({ ...anomaly, seenBefore }).seenBefore).toBe(text)
})

test('learning and historic are said with what they mean', () => {
  expect(explain(anomaly).notes).toEqual([])
  expect(explain({ ...anomaly, learning: true, historic: true }).notes).toHaveLength(2)
})

test('an open anomaly lasts until now, a closed one until it closed', () => {
  const now = Date.parse('2026-01-01T05:00:00Z')
  expect(durationOf(anomaly, now)).toBe('5 h')
  expect(durationOf({ ...anomaly, closedAt: '2026-01-01T00:30:00.000Z' }, now)).toBe('30 min')
})
