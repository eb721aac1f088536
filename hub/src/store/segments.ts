/**
 * Readings of one series → segments: arrays that share a start and a unit of time.
 *
 * Pure. Readings of equal time keep the order in which they were given. A segment lies within one UTC day, holds at most
 * `maxReadings`, and counts time in its tick: the interval when readings are regular, else the greatest common divisor of the
 * distances, so that every time is exact. Where a distance from the start would not fit 31 bits of ticks, a new segment begins.
 */
import type { Value } from '@tributary/shared/reading'

/** Columns of equal length, in order of arrival. Times are microseconds since 1970. */
export interface Readings {
  readonly tsUs: readonly number[] | Float64Array
  readonly values: readonly Value[] | Float64Array
  /** 0 good, 1 uncertain, 2 bad; null when all are good. */
  readonly quality: readonly number[] | Uint8Array | null
}

export interface Segment {
  readonly t0Us: number
  /** Of the last reading. */
  readonly t1Us: number
  readonly n: number
  readonly tickUs: number
  readonly booleans: boolean
  /** Ticks since t0; null when reading i is at t0 + i · tick. */
  readonly dt: Int32Array | null
  /** Null when all are strings; a null element is a string. */
  readonly v: Float64Array | readonly (number | null)[] | null
  /** Null when none is a string. */
  readonly s: readonly (string | null)[] | null
  readonly q: readonly number[] | null
}

const dayUs = 86_400_000_000
const maxDt = 2 ** 31 - 1
/** Bounds what one change of a stored minute has to read again, and what a merge holds in memory. */
export const maxReadings = 8192

export function buildSegments(readings: Readings): Segment[] {
  const order = orderByTime(readings.tsUs)
  const segments: Segment[] = []
  for (let start = 0; start < order.length; ) {
    const { end, tickUs, regular } = takeRun(readings.tsUs, order, start)
    segments.push(makeSegment(readings, order.subarray(start, end), tickUs, regular))
    start = end
  }
  return segments
}

/** Places in order of time; equal times in order of arrival. */
function orderByTime(tsUs: Readings['tsUs']): Uint32Array {
  const order = Uint32Array.from({ length: tsUs.length }, (_, index) => index)
  for (let index = 1; index < tsUs.length; index++) {
    if (at(tsUs, index) < at(tsUs, index - 1)) return order.sort((a, b) => at(tsUs, a) - at(tsUs, b) || a - b)
  }
  return order
}

/** The longest run from `start` that fits one segment. */
function takeRun(
  tsUs: Readings['tsUs'],
  order: Uint32Array,
  start: number,
): { end: number; tickUs: number; regular: boolean } {
  const t0 = at(tsUs, at(order, start))
  const dayEnd = (Math.floor(t0 / dayUs) + 1) * dayUs
  let tickUs = 0
  let regular = true
  let before = t0
  let end = start + 1
  for (; end < order.length && end - start < maxReadings; end++) {
    const time = at(tsUs, at(order, end))
    if (time >= dayEnd) break
    const step = time - before
    const next = commonDivisor(tickUs, step)
    if (next > 0 && (time - t0) / next > maxDt) break
    regular &&= end === start + 1 || step === tickUs
    tickUs = next
    before = time
  }
  return { end, tickUs, regular }
}

function makeSegment(readings: Readings, places: Uint32Array, tickUs: number, regular: boolean): Segment {
  const { tsUs, values, quality } = readings
  const n = places.length
  const t0Us = at(tsUs, at(places, 0))
  const dt = regular ? null : Int32Array.from(places, place => (at(tsUs, place) - t0Us) / tickUs)
  const q = quality === null ? null : Array.from(places, place => at(quality, place))
  return {
    t0Us,
    t1Us: at(tsUs, at(places, n - 1)),
    n,
    tickUs,
    dt,
    q: q?.some(one => one !== 0) === true ? q : null,
    ...valueColumns(values, places),
  }
}

function valueColumns(values: Readings['values'], places: Uint32Array): Pick<Segment, 'booleans' | 'v' | 's'> {
  if (values instanceof Float64Array)
    return { booleans: false, v: Float64Array.from(places, place => at(values, place)), s: null }
  const chosen = Array.from(places, place => values[place] as Value)
  if (chosen.every(value => typeof value === 'number'))
    return { booleans: false, v: Float64Array.from(chosen), s: null }
  if (chosen.every(value => typeof value === 'boolean'))
    return { booleans: true, v: Float64Array.from(chosen, Number), s: null }
  const s = chosen.map(textOf)
  if (chosen.every(value => typeof value === 'string')) return { booleans: false, v: null, s }
  return { booleans: false, v: chosen.map(value => (typeof value === 'string' ? null : Number(value))), s }
}

/** Text beside the number: of strings and booleans. Postgres' text holds no NUL, which becomes the replacement character. */
function textOf(value: Value): string | null {
  if (typeof value === 'string') return value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value
  return typeof value === 'boolean' ? String(value) : null
}

function commonDivisor(a: number, b: number): number {
  let [x, y] = [a, b]
  while (y !== 0) [x, y] = [y, x % y]
  return x
}

/** An element that the caller knows to be there. */
function at(list: ArrayLike<number>, index: number): number {
  return list[index] as number
}
