import type { Value } from '@tributary/shared/reading'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildSegments, maxReadings, type Readings, type Segment } from './segments.ts'

const dayUs = 86_400_000_000
const start = Date.UTC(2026, 3, 1) * 1000

/** Every reading of the segments again: [time, value, quality]. */
function expand(segments: readonly Segment[]): [number, Value, number][] {
  return segments.flatMap(({ t0Us, n, tickUs, dt, v, s, q, booleans }) =>
    Array.from({ length: n }, (_, i): [number, Value, number] => {
      const number = v?.[i] ?? null
      const value = booleans ? number === 1 : number === null ? (s?.[i] ?? '') : s?.[i] ? s[i] === 'true' : number
      return [t0Us + (dt === null ? i : (dt[i] ?? 0)) * tickUs, value, q?.[i] ?? 0]
    }),
  )
}

function numbers(tsUs: readonly number[], values = tsUs.map((_, index) => index)): Readings {
  return { tsUs, values: Float64Array.from(values), quality: null }
}

test('regular readings need no times', () => {
  const [segment, ...rest] = buildSegments(numbers([0, 1, 2, 3].map(i => start + i * 1_000_000)))
  expect(rest).toEqual([])
  expect(segment).toMatchObject({
    t0Us: start,
    t1Us: start + 3_000_000,
    n: 4,
    tickUs: 1_000_000,
    dt: null,
    s: null,
    q: null,
  })
})

test('irregular readings count in the greatest unit that makes every time exact', () => {
  const [segment] = buildSegments(numbers([0, 3000, 5000, 12_000].map(us => start + us)))
  expect(segment).toMatchObject({ tickUs: 1000, dt: Int32Array.of(0, 3, 5, 12) })
})

test('equal times stay apart, in the order of arrival', () => {
  const [segment] = buildSegments(numbers([start + 5, start, start + 5, start, start + 5], [1, 2, 3, 4, 5]))
  expect(segment?.v).toEqual(Float64Array.of(2, 4, 1, 3, 5))
  expect(buildSegments(numbers([start, start, start]))).toMatchObject([{ n: 3, tickUs: 0, dt: null }])
})

test('a segment ends with its day', () => {
  const times = [start + dayUs - 2, start + dayUs - 1, start + dayUs, start + dayUs + 1]
  expect(buildSegments(numbers(times)).map(({ n, t0Us }) => [n, t0Us])).toEqual([
    [2, start + dayUs - 2],
    [2, start + dayUs],
  ])
})

test('distances that do not fit 31 bits of ticks begin a new segment', () => {
  const fits = [start, start + 1, start + 2 ** 31 - 1]
  expect(buildSegments(numbers(fits))).toHaveLength(1)
  expect(buildSegments(numbers([start, start + 1, start + 2 ** 31])).map(({ n }) => n)).toEqual([2, 1])
})

test('a segment holds no more readings than its bound', () => {
  const times = Array.from({ length: maxReadings + 1 }, (_, i) => start + i * 1000)
  expect(buildSegments(numbers(times)).map(({ n }) => n)).toEqual([maxReadings, 1])
})

test('booleans are numbers with a mark, strings have no numbers, and a mixture keeps each as it is', () => {
  const tsUs = [start, start + 1, start + 2]
  expect(buildSegments({ tsUs, values: [true, false, true], quality: null })).toMatchObject([
    { booleans: true, v: Float64Array.of(1, 0, 1), s: null },
  ])
  expect(buildSegments({ tsUs, values: ['a', '', 'true'], quality: null })).toMatchObject([
    { booleans: false, v: null, s: ['a', '', 'true'] },
  ])
  const mixed = buildSegments({ tsUs, values: [1.5, true, 'x'], quality: [0, 2, 1] })
  expect(mixed).toMatchObject([{ booleans: false, v: [1.5, 1, null], s: [null, 'true', 'x'], q: [0, 2, 1] }])
})

test('segments hold exactly the readings they were made from, by time and arrival', () => {
  const time = fc.oneof(
    fc.integer({ min: start - dayUs, max: start + dayUs }),
    fc.integer({ min: -5, max: 5 }).map(i => start + i * 1_000_000),
    fc.integer({ min: 946_684_800_000_000, max: 4_000_000_000_000_000 }),
  )
  const number = fc.double({ noNaN: true, noDefaultInfinity: true })
  const reading = fc.tuple(time, number, fc.integer({ min: 0, max: 2 }))
  fc.assert(
    fc.property(fc.array(reading, { minLength: 1, maxLength: 60 }), readings => {
      const segments = buildSegments({
        tsUs: readings.map(([ts]) => ts),
        values: Float64Array.from(readings, ([, value]) => value),
        quality: readings.map(([, , quality]) => quality),
      })
      const sorted = readings
        .map((reading, place) => ({ reading, place }))
        .sort((a, b) => a.reading[0] - b.reading[0] || a.place - b.place)
      expect(expand(segments)).toEqual(sorted.map(({ reading }) => reading))
      for (const { t0Us, t1Us } of segments) expect(Math.floor(t0Us / dayUs)).toBe(Math.floor(t1Us / dayUs))
    }),
  )
})
