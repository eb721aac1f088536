/**
 * Columns of points: pure functions from what the hub sent to what a chart draws. Times are ms, ascending.
 *
 * @import { Anomaly, NewPoints, Points, Span } from '../types.d.ts'
 */

/** A pause of more than this many usual distances is drawn as a gap. */
const gapFactor = 6

/**
 * Raw points with newly stored ones added, in the order of time. A point that is there already is not added twice: what came while a
 * chart was loading is told both by the answer and by the stream.
 * @param {Points} points
 * @param {NewPoints} added
 * @returns {Points}
 */
export function appendPoints(points, added) {
  const tsMs = [...points.tsMs]
  const value = [...points.value]
  for (let i = 0; i < added.tsMs.length; i++) {
    const [ts, v] = [/** @type {number} */ (added.tsMs[i]), /** @type {number} */ (added.value[i])]
    const at = upperBound(tsMs, ts)
    if (isThere(tsMs, value, at, ts, v)) continue
    tsMs.splice(at, 0, ts)
    value.splice(at, 0, v)
  }
  return { ...points, tsMs, value }
}

/**
 * @param {readonly number[]} tsMs
 * @param {readonly number[]} value
 * @param {number} end
 * @param {number} ts
 * @param {number} v
 */
function isThere(tsMs, value, end, ts, v) {
  for (let i = end - 1; i >= 0 && tsMs[i] === ts; i--) if (value[i] === v) return true
  return false
}

/**
 * Index of the first time after `ts`.
 * @param {readonly number[]} tsMs
 * @param {number} ts
 */
export function upperBound(tsMs, ts) {
  let [low, high] = [0, tsMs.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (/** @type {number} */ (tsMs[middle]) <= ts) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * The longest distance that a line still crosses.
 * @param {Points} points
 */
export function longestStepMs({ tsMs, bucketMs }) {
  const steps = tsMs.slice(1).map((ts, i) => ts - /** @type {number} */ (tsMs[i]))
  const median = steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0
  return gapFactor * Math.max(median, bucketMs, 1)
}

/**
 * Where a point is drawn: a bucket in its middle, but never in the future.
 * @param {Points} points
 */
export function drawnAt({ tsMs, bucketMs, toMs }) {
  return bucketMs === 0 ? tsMs : tsMs.map(ts => Math.max(ts, Math.min(ts + bucketMs / 2, toMs)))
}

/**
 * Times and columns with an empty point in each pause, so that no line is drawn across it.
 * @param {Points} points
 * @returns {{ tsMs: number[], columns: (number | null)[][] }} value, and with buckets min and max
 */
export function withGaps(points) {
  const sources =
    points.min === undefined || points.max === undefined ? [points.value] : [points.value, points.min, points.max]
  const limitMs = longestStepMs(points)
  /** @type {number[]} */
  const tsMs = []
  const columns = sources.map(() => /** @type {(number | null)[]} */ ([]))
  const times = drawnAt(points)
  times.forEach((ts, i) => {
    const before = times[i - 1]
    if (before !== undefined && ts - before > limitMs) {
      tsMs.push(before + limitMs / 2)
      for (const column of columns) column.push(null)
    }
    tsMs.push(ts)
    for (const [c, column] of columns.entries()) column.push(sources[c]?.[i] ?? null)
  })
  return { tsMs, columns }
}

/**
 * What the curve shows at a time: between two points on the line between them, outside at the nearest one.
 * @param {Points} points
 * @param {number} ts
 * @returns {number | null}
 */
export function curveAt(points, ts) {
  const [tsMs, value] = [drawnAt(points), points.value]
  const after = upperBound(tsMs, ts)
  const [t0, v0, t1, v1] = [tsMs[after - 1], value[after - 1], tsMs[after], value[after]]
  if (t0 === undefined || v0 === undefined) return v1 ?? null
  if (t1 === undefined || v1 === undefined) return v0
  return v0 + ((v1 - v0) * (ts - t0)) / (t1 - t0)
}

/**
 * Least, mean and greatest of what is shown within a span, and how many readings that are.
 * @param {Points} points
 * @param {Span} span
 */
export function summarize(points, span) {
  let [min, max, sum, n] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0]
  points.tsMs.forEach((ts, i) => {
    if (ts < span.fromMs - points.bucketMs || ts > span.toMs) return
    const value = /** @type {number} */ (points.value[i])
    const count = points.n?.[i] ?? 1
    min = Math.min(min, points.min?.[i] ?? value)
    max = Math.max(max, points.max?.[i] ?? value)
    sum += value * count
    n += count
  })
  return n === 0 ? null : { min, max, mean: sum / n, n }
}

/**
 * Anomalies that touch a span, by the time of their opening.
 * @param {readonly Anomaly[]} anomalies
 * @param {Span} span
 */
export function anomaliesWithin(anomalies, { fromMs, toMs }) {
  return anomalies
    .filter(({ openedAt, closedAt }) => {
      return Date.parse(openedAt) <= toMs && (closedAt === null || Date.parse(closedAt) >= fromMs)
    })
    .sort((a, b) => Date.parse(a.openedAt) - Date.parse(b.openedAt))
}
