/**
 * Adding readings to aggregates, merging aggregates, and the numbers of a finished one.
 *
 * The law that everything above relies on: what `finish`, `quantile` and `encodeAggregate` give depends on the set of readings alone,
 * bit for bit; not on the order in which they came, nor on how they were split among aggregates and merged again. A reading must
 * be in one of the merged aggregates only, and its (time, order) is its own within the series.
 *   sum    the double nearest to Σx (±Infinity beyond the largest double)
 *   mean   the double nearest to Σx / n
 *   m2     the double nearest to Σ(x − mean)², that is Σx² − (Σx)²/n with the exact mean
 *   min, max   −0 counts as less than 0
 *   first, last   by time, at equal times by arrival order
 * A value that is not finite never enters. Hot, a reading costs some 42 ns, 25 ns more with a sketch; `finish` 2 µs (docs/adr/0010).
 */
import { type AggregateStore, count, field, type Sums, stride, sumEnd } from './aggregate-store.ts'
import { add, exactly, exactSum, multiply, nearest, negate } from './exact.ts'
import { accumulate, exactRange, intoTerms, squareError } from './expansion.ts'
import { countValue, mergeSketch, sketchIntegers, sketchLevel, sketchQuantile, uncountValue } from './sketch.ts'
import { relativeError } from './sketch-key.ts'

/** The numbers of an aggregate of at least one reading. */
export interface Finished {
  readonly n: number
  readonly sum: number
  readonly mean: number
  readonly m2: number
  readonly min: number
  readonly max: number
  readonly firstUs: number
  readonly first: number
  readonly lastUs: number
  readonly last: number
}

const noRest: readonly number[] = []

/** Add a finite value. `order` numbers the arrivals of the series: it decides which of two readings of one time came first. */
export function addReading(store: AggregateStore, slot: number, tsUs: number, order: number, value: number): void {
  const d = store.numbers
  const at = slot * stride
  const n = d[at]!
  d[at] = n + 1
  d[at + field.min] = n === 0 ? value : Math.min(d[at + field.min]!, value)
  d[at + field.max] = n === 0 ? value : Math.max(d[at + field.max]!, value)
  if (n === 0 || precedes(tsUs, order, d[at + field.firstUs]!, d[at + field.firstOrder]!)) {
    d[at + field.firstUs] = tsUs
    d[at + field.firstOrder] = order
    d[at + field.first] = value
  }
  if (n === 0 || precedes(d[at + field.lastUs]!, d[at + field.lastOrder]!, tsUs, order)) {
    d[at + field.lastUs] = tsUs
    d[at + field.lastOrder] = order
    d[at + field.last] = value
  }
  addToSums(store, slot, value, 1)
  if (store.maxBuckets > 0) countValue(store, store.integers, slot * sketchIntegers, value)
}

/**
 * Take a reading out again: its part in n, the sums and the sketch. Sums are exact, so nothing of it stays behind. min, max, first and
 * last have no inverse and are left as they are. The sketch must be wide enough never to have coarsened.
 */
export function subtractReading(store: AggregateStore, slot: number, value: number): void {
  store.numbers[slot * stride] = count(store, slot) - 1
  addToSums(store, slot, value, -1)
  if (store.maxBuckets > 0) uncountValue(store, store.integers, slot * sketchIntegers, value)
  const wide = store.wide.get(slot)
  if (wide !== undefined) keepSums(store, slot, wide)
}

/** Add all readings of `from`, a slot of `source`, to `slot`. */
export function mergeInto(store: AggregateStore, slot: number, source: AggregateStore, from: number): void {
  const [d, s] = [store.numbers, source.numbers]
  const [at, other] = [slot * stride, from * stride]
  if (s[other] === 0) return
  const empty = d[at] === 0
  d[at] = d[at]! + s[other]!
  d[at + field.min] = empty ? s[other + field.min]! : Math.min(d[at + field.min]!, s[other + field.min]!)
  d[at + field.max] = empty ? s[other + field.max]! : Math.max(d[at + field.max]!, s[other + field.max]!)
  const first = other + field.firstUs
  if (empty || precedes(s[first]!, s[first + 1]!, d[at + field.firstUs]!, d[at + field.firstOrder]!)) {
    d.set(s.subarray(first, first + 3), at + field.firstUs)
  }
  const last = other + field.lastUs
  if (empty || precedes(d[at + field.lastUs]!, d[at + field.lastOrder]!, s[last]!, s[last + 1]!)) {
    d.set(s.subarray(last, last + 3), at + field.lastUs)
  }
  mergeSums(store, slot, source, from)
  if (store.maxBuckets > 0 && source.maxBuckets > 0) {
    mergeSketch(store, store.integers, slot * sketchIntegers, source, source.integers, from * sketchIntegers)
  }
}

/** The numbers of an aggregate of at least one reading. */
export function finish(store: AggregateStore, slot: number): Finished {
  const d = store.numbers
  const at = slot * stride
  const n = BigInt(d[at]!)
  const { sum, squares } = sumsOf(store, slot)
  const nTimesM2 = add(multiply(squares, { mantissa: n, exponent: 0 }), negate(multiply(sum, sum)))
  return {
    n: d[at]!,
    sum: nearest(sum),
    mean: nearest(sum, n),
    m2: nearest(nTimesM2, n),
    min: d[at + field.min]!,
    max: d[at + field.max]!,
    firstUs: d[at + field.firstUs]!,
    first: d[at + field.first]!,
    lastUs: d[at + field.lastUs]!,
    last: d[at + field.last]!,
  }
}

/**
 * An estimate of the reading of rank floor(q·(n − 1)), 0 ≤ q ≤ 1, of an aggregate of at least one reading: off by at most
 * `quantileError`, relative to it. NaN without a sketch.
 */
export function quantile(store: AggregateStore, slot: number, q: number): number {
  if (store.maxBuckets === 0) return Number.NaN
  const d = store.numbers
  const at = slot * stride
  const estimate = sketchQuantile(store, store.integers, slot * sketchIntegers, d[at]!, q)
  return Math.min(d[at + field.max]!, Math.max(d[at + field.min]!, estimate))
}

/** Relative error of the slot's quantiles, for readings of a magnitude of at least 2^−1022 (2.3e-308); smaller ones count as 0. */
export function quantileError(store: AggregateStore, slot: number): number {
  return relativeError(sketchLevel(store.integers, slot * sketchIntegers))
}

/** Σx and Σx², exactly. */
export function sumsOf(store: AggregateStore, slot: number): Sums {
  const wide = store.wide.get(slot)
  if (wide !== undefined) return wide
  const at = slot * stride
  return packed(store.numbers, at, noRest, noRest)
}

/** Set Σx and Σx²: in the slot's doubles if they fit, else as they are. */
export function keepSums(store: AggregateStore, slot: number, sums: Sums): void {
  const at = slot * stride
  const fits =
    intoTerms(sums.sum, store.numbers, at + field.sum, at + sumEnd) &&
    intoTerms(sums.squares, store.numbers, at + field.squares, at + stride)
  if (fits) store.wide.delete(slot)
  else store.wide.set(slot, sums)
}

function precedes(tsUs: number, order: number, otherUs: number, otherOrder: number): boolean {
  return tsUs < otherUs || (tsUs === otherUs && order < otherOrder)
}

function addToSums(store: AggregateStore, slot: number, x: number, sign: 1 | -1): void {
  if (x === 0) return
  const magnitude = Math.abs(x)
  if (
    !(magnitude >= exactRange.least && magnitude <= exactRange.most) ||
    (store.wide.size > 0 && store.wide.has(slot))
  ) {
    addWide(store, slot, x, sign)
    return
  }
  const d = store.numbers
  const sum = slot * stride + field.sum
  const squares = slot * stride + field.squares
  const end = slot * stride + stride
  const error = sign * squareError(x)
  const sumRest = accumulate(d, sum, squares, sign * x)
  const squareRest = accumulate(d, squares, end, sign * x * x)
  // The error lies 53 bits below the square: it has nothing to say to the first term.
  const errorRest = error === 0 ? 0 : accumulate(d, squares + 1, end, error)
  if (sumRest !== 0 || squareRest !== 0 || errorRest !== 0) {
    keepSums(store, slot, packed(d, slot * stride, [sumRest], [squareRest, errorRest]))
  }
}

function addWide(store: AggregateStore, slot: number, x: number, sign: 1 | -1): void {
  const { sum, squares } = sumsOf(store, slot)
  const exact = exactly(x)
  const square = multiply(exact, exact)
  const sums = { sum: add(sum, exactly(sign * x)), squares: add(squares, sign > 0 ? square : negate(square)) }
  store.wide.set(slot, sums)
}

function mergeSums(store: AggregateStore, slot: number, source: AggregateStore, from: number): void {
  if (store.wide.has(slot) || source.wide.has(from)) {
    const [a, b] = [sumsOf(store, slot), sumsOf(source, from)]
    keepSums(store, slot, { sum: add(a.sum, b.sum), squares: add(a.squares, b.squares) })
    return
  }
  const at = slot * stride
  const other = from * stride
  const sumRests = mergeTerms(store.numbers, at + field.sum, at + sumEnd, source.numbers, other + field.sum)
  const squareRests = mergeTerms(store.numbers, at + field.squares, at + stride, source.numbers, other + field.squares)
  if (sumRests.length > 0 || squareRests.length > 0) {
    keepSums(store, slot, packed(store.numbers, at, sumRests, squareRests))
  }
}

/** Add as many terms of another expansion; returns what found no room. */
function mergeTerms(
  terms: Float64Array,
  from: number,
  end: number,
  others: Float64Array,
  other: number,
): readonly number[] {
  let rests = noRest
  for (let i = 0; i < end - from; i++) {
    const rest = accumulate(terms, from, end, others[other + i]!)
    if (rest !== 0) rests = [...rests, rest]
  }
  return rests
}

/** The sums in a slot's doubles and what found no room there. */
function packed(d: Float64Array, at: number, sumRests: readonly number[], squareRests: readonly number[]): Sums {
  return {
    sum: exactSum([...d.subarray(at + field.sum, at + sumEnd), ...sumRests]),
    squares: exactSum([...d.subarray(at + field.squares, at + stride), ...squareRests]),
  }
}
