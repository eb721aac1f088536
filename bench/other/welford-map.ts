/**
 * The other side of the bench `windows`: what one writes first, a Map of plain objects by series, Welford's update for mean and M2.
 *
 * Given every advantage: numbers as keys, one object a series with its current minute alone, series in order. It has no quantiles, no
 * exactness, no lateness, no corrections, no bounds; a reading of an earlier minute is counted where it does not belong.
 */

interface Minute {
  number: number
  n: number
  sum: number
  mean: number
  m2: number
  min: number
  max: number
  first: number
  firstUs: number
  last: number
  lastUs: number
}

export interface WelfordWindows {
  readonly minutes: Map<number, Minute>
  finished: number
  /** Sum over the finished minutes: what came out was used. */
  checksum: number
}

const minuteUs = 60_000_000

export function createWelfordWindows(): WelfordWindows {
  return { minutes: new Map(), finished: 0, checksum: 0 }
}

export function addToWelford(windows: WelfordWindows, series: number, tsUs: number, value: number): void {
  const number = Math.floor(tsUs / minuteUs)
  let minute = windows.minutes.get(series)
  if (minute === undefined || number > minute.number) {
    if (minute !== undefined) finish(windows, minute)
    minute = begin(number, tsUs, value)
    windows.minutes.set(series, minute)
  }
  update(minute, tsUs, value)
}

function begin(number: number, tsUs: number, value: number): Minute {
  const ends = { min: value, max: value, first: value, firstUs: tsUs, last: value, lastUs: tsUs }
  return { number, n: 0, sum: 0, mean: 0, m2: 0, ...ends }
}

function update(minute: Minute, tsUs: number, value: number): void {
  minute.n++
  minute.sum += value
  const difference = value - minute.mean
  minute.mean += difference / minute.n
  minute.m2 += difference * (value - minute.mean)
  if (value < minute.min) minute.min = value
  if (value > minute.max) minute.max = value
  if (tsUs < minute.firstUs) {
    minute.first = value
    minute.firstUs = tsUs
  }
  if (tsUs >= minute.lastUs) {
    minute.last = value
    minute.lastUs = tsUs
  }
}

function finish(windows: WelfordWindows, { n, sum, mean, m2, min, max, first, last }: Minute): void {
  windows.finished++
  windows.checksum += n + sum + mean + m2 + min + max + first + last
}
