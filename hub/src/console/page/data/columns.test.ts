import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Anomaly, Points } from '../types.d.ts'
import { anomaliesWithin, appendPoints, curveAt, drawnAt, summarize, upperBound, withGaps } from './columns.js'

const raw = (tsMs: number[], value: number[] = tsMs): Points => ({
  seriesId: 1,
  unit: '',
  fromMs: 0,
  toMs: 1000,
  bucketMs: 0,
  tsMs,
  value,
})

test('new points take their place in time, late ones too, and none stands twice', () => {
  const points = appendPoints(raw([10, 20, 20, 30], [1, 2, 3, 4]), {
    seriesId: 1,
    tsMs: [5, 20, 20, 25, 30, 40],
    value: [9, 3, 5, 6, 4, 7],
  })
  expect(points.tsMs).toEqual([5, 10, 20, 20, 20, 25, 30, 40])
  expect(points.value).toEqual([9, 1, 2, 3, 5, 6, 4, 7])
})

test('whatever comes in whatever order, times stay ascending and every reading is there once', () => {
  const reading = fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 3 }))
  fc.assert(
    fc.property(fc.array(fc.array(reading, { maxLength: 8 }), { maxLength: 6 }), batches => {
      let points = raw([])
      for (const batch of batches) {
        const sorted = batch.toSorted(([a], [b]) => a - b)
        points = appendPoints(points, { seriesId: 1, tsMs: sorted.map(([ts]) => ts), value: sorted.map(([, v]) => v) })
      }
      expect(points.tsMs).toEqual(points.tsMs.toSorted((a, b) => a - b))
      const there = points.tsMs.map((ts, i) => `${ts}/${points.value[i]}`).sort()
      expect(there).toEqual([...new Set(batches.flat().map(([ts, v]) => `${ts}/${v}`))].sort())
    }),
  )
})

test('no line is drawn across a pause', () => {
  expect(withGaps(raw([0, 1, 2, 3, 50, 51]))).toEqual({
    tsMs: [0, 1, 2, 3, 6, 50, 51],
    columns: [[0, 1, 2, 3, null, 50, 51]],
  })
})

test('buckets bring their least and greatest along', () => {
  const points = { ...raw([0, 10], [5, 6]), bucketMs: 10, min: [1, 2], max: [8, 9], n: [3, 1] }
  expect(withGaps(points)).toEqual({
    tsMs: [5, 15],
    columns: [
      [5, 6],
      [1, 2],
      [8, 9],
    ],
  })
  expect(summarize(points, { fromMs: 0, toMs: 20 })).toEqual({ min: 1, max: 9, mean: 5.25, n: 4 })
  expect(summarize(points, { fromMs: 500, toMs: 600 })).toBeNull()
})

test('a bucket stands in its middle, but not in the future', () => {
  expect(drawnAt({ ...raw([0, 10]), bucketMs: 10, toMs: 12 })).toEqual([5, 12])
  expect(drawnAt(raw([0, 10]))).toEqual([0, 10])
})

test('the curve is where the line is, and its ends beyond them', () => {
  const points = raw([0, 10], [0, 100])
  expect([-5, 0, 2.5, 10, 99].map(ts => curveAt(points, ts))).toEqual([0, 0, 25, 100, 100])
  expect(curveAt(raw([]), 5)).toBeNull()
  expect([0, 10, 11].map(ts => upperBound([0, 10, 10], ts))).toEqual([1, 3, 3])
})

test('an anomaly is of a span when it was open at any time in it', () => {
  const at = (anomalyId: string, opened: number, closed: number | null) =>
    ({
      anomalyId,
      openedAt: new Date(opened).toISOString(),
      closedAt: closed === null ? null : new Date(closed).toISOString(),
    }) as Anomaly
  const all = [
    at('after', 900, null),
    at('open', 10, null),
    at('over', 20, 40),
    at('before', 0, 5),
    at('within', 55, 56),
  ]
  expect(anomaliesWithin(all, { fromMs: 30, toMs: 100 }).map(one => one.anomalyId)).toEqual(['open', 'over', 'within'])
})
