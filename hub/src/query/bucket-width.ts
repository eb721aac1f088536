/** How wide the buckets of a chart are: round widths that start at round times, so that a chart that moves on keeps its buckets. */

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** Rising; from a minute on, whole minutes. */
const widthsMs: readonly number[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map(n => n * secondMs),
  ...[1, 2, 5, 10, 15, 30].map(n => n * minuteMs),
  ...[1, 2, 3, 6, 12].map(n => n * hourMs),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000].map(n => n * dayMs),
]

/**
 * The narrowest width of at least `leastMs` with which [fromMs, toMs) touches at most `points` buckets. Times are not before 1970
 * and not after 2106, so that the widest bucket holds them all.
 */
export function bucketWidth(fromMs: number, toMs: number, points: number, leastMs = 0): number {
  const touched = (width: number) => Math.ceil(toMs / width) - Math.floor(fromMs / width)
  return widthsMs.find(width => width >= leastMs && touched(width) <= points) ?? (widthsMs.at(-1) as number)
}
