import { expect, test } from 'vitest'
import type { Anomaly } from '../types.d.ts'
import { timeLabels } from './axes.js'
import { placeMarks } from './markers.js'

const anomaly = (anomalyId: string, left: number, surprise = 2) =>
  ({ anomalyId, surprise, left }) as Anomaly & { left: number }
const place = (one: Anomaly) => ({ left: (one as Anomaly & { left: number }).left, top: 5 })

test('marks that would cover each other are one, with the worst in front', () => {
  const marks = placeMarks([anomaly('a', 0), anomaly('b', 6, 9), anomaly('c', 50)], place, null)
  expect(marks.map(mark => mark.anomalies.map(one => one.anomalyId))).toEqual([['a', 'b'], ['c']])
  expect(marks[0]).toMatchObject({ left: 6, worst: { anomalyId: 'b' } })
})

test('the chosen one stands alone, whatever is near', () => {
  const marks = placeMarks([anomaly('a', 0), anomaly('b', 2), anomaly('c', 4)], place, 'b')
  expect(marks.map(mark => mark.worst.anomalyId)).toEqual(['a', 'b', 'c'])
})

test('what is outside of the plot has no mark', () => {
  expect(placeMarks([anomaly('a', 0)], () => null, null)).toEqual([])
})

test('ticks tell what differs, and the day where it changes', () => {
  const at = (day: number, hour: number) => new Date(2026, 0, day, hour).getTime()
  expect(timeLabels([at(1, 18), at(2, 0), at(2, 6)], 6 * 3_600_000)).toEqual(['18:00\n1 Jan', '00:00\n2 Jan', '06:00'])
  expect(timeLabels([at(1, 0), at(2, 0)], 86_400_000)).toEqual(['1 Jan', '2 Jan'])
  expect(timeLabels([at(1, 0)], 30 * 86_400_000)).toEqual(['Jan 2026'])
  expect(timeLabels([at(1, 18)], 10_000)).toEqual(['18:00:00\n1 Jan'])
})
