/**
 * The books of promise 3: cumulative counters since the first start, in all and for each class of series. Pure.
 *
 * accepted = stored + folded + suppressed + deadLettered + evicted after every commit and every loss, and for each class the same
 * without dead letters, which have no class. `accepted` counts readings and undecodable payloads (1 each); `stored` accepted readings
 * that the buffer holds to send or the hub has acknowledged; `folded` readings that go into aggregates only, by their policy (class
 * aggregate) or because their file was given up (thin.ts); `suppressed` readings that a policy left out; `deadLettered` payloads kept
 * as dead letters, also after they were dropped or pushed out; `evicted` readings in the ledger, whatever the reason.
 * What was counted before there were classes is raw throughout.
 */
import type { ClassCounters, Counters, ReadingClass } from '@tributary/shared/batch/batch'
import { readingClasses } from '@tributary/shared/batch/batch'

/** In this order the counters of a batch here name every class. */
export const seriesClasses = readingClasses
export type SeriesClass = ReadingClass
export type { ClassCounters, Counters }

/** What was counted before there were classes. */
type Totals = Omit<Counters, 'folded' | 'classes'>

/** What of a class changes in one step. */
export type ClassChange = Partial<Omit<ClassCounters, 'class'>>

/** Readings by class. */
export type ClassCounts = Readonly<Record<SeriesClass, number>> & {
  /** Readings of class raw, not among those of `raw`, that stand in aggregates alone since their file was given up; absent for none. */
  readonly thinned?: number
}

export const noReadings: ClassCounts = { raw: 0, aggregate: 0, alarm: 0 }

const fields = ['accepted', 'stored', 'folded', 'suppressed', 'evicted'] as const
const nothing = { accepted: 0, stored: 0, folded: 0, suppressed: 0, evicted: 0 }

export const noCounters: Counters = {
  ...nothing,
  deadLettered: 0,
  maybeDuplicate: 0,
  classes: seriesClasses.map(name => ({ class: name, ...nothing })),
}

/** The totals with every class, of which `told` may leave out raw and what is all zero: raw is what the others leave. */
export function withClasses(
  totals: Totals & { readonly folded?: number },
  told: readonly ClassCounters[] = [],
): Counters {
  const { deadLettered, maybeDuplicate, ...readings } = { folded: 0, ...totals }
  const [aggregate, alarm] = (['aggregate', 'alarm'] as const).map(
    name => told.find(one => one.class === name) ?? { class: name, ...nothing },
  ) as [ClassCounters, ClassCounters]
  const raw = { class: 'raw' as const, ...readings, accepted: readings.accepted - deadLettered }
  for (const field of fields) raw[field] -= aggregate[field] + alarm[field]
  return { ...readings, deadLettered, maybeDuplicate, classes: [raw, aggregate, alarm] }
}

export function ofClass(counters: Counters, name: SeriesClass): ClassCounters {
  return counters.classes[seriesClasses.indexOf(name)] as ClassCounters
}

/** A class and the totals, changed alike. */
export function changed(counters: Counters, name: SeriesClass, change: ClassChange): Counters {
  const totals = { ...counters }
  const own = { ...ofClass(counters, name) }
  for (const field of fields) {
    totals[field] += change[field] ?? 0
    own[field] += change[field] ?? 0
  }
  return { ...totals, classes: counters.classes.map(one => (one.class === name ? own : one)) }
}

/**
 * Readings go from `stored`, or `folded`, to `evicted`. What is known at most may count again what was lost before: no more is lost
 * than there was, and what a class does not have is taken from the others.
 */
export function withLoss(counters: Counters, counts: ClassCounts): Counters {
  let after = withLossOfThinned(counters, thinnedIn(counts))
  let unmet = thinnedIn(counts) - (after.evicted - counters.evicted)
  for (const name of seriesClasses) {
    const before = after
    after = withLossOf(before, name, counts[name])
    unmet += counts[name] - (after.evicted - before.evicted)
  }
  for (const name of seriesClasses) {
    const before = after
    after = withLossOf(before, name, unmet)
    unmet -= after.evicted - before.evicted
  }
  return after
}

function withLossOfThinned(counters: Counters, readings: number): Counters {
  const evicted = Math.min(readings, ofClass(counters, 'raw').folded)
  return changed(counters, 'raw', { folded: -evicted, evicted })
}

/** Readings of class raw go from `stored` to `folded`. */
export function withThinned(counters: Counters, readings: number): Counters {
  return changed(counters, 'raw', { stored: -readings, folded: readings })
}

function withLossOf(counters: Counters, name: SeriesClass, readings: number): Counters {
  const own = ofClass(counters, name)
  const evicted = Math.min(readings, own.stored + own.folded)
  const folded = name === 'aggregate' ? Math.min(evicted, own.folded) : Math.max(0, evicted - own.stored)
  return changed(counters, name, { stored: folded - evicted, folded: -folded, evicted })
}

/** Readings that were ever kept, stored or folded: a loss does not change it. */
export function everKept(counters: Counters): ClassCounts {
  return byClass(name => {
    const { stored, folded, evicted } = ofClass(counters, name)
    return stored + folded + evicted
  })
}

export function byClass(count: (name: SeriesClass) => number): ClassCounts {
  return { raw: count('raw'), aggregate: count('aggregate'), alarm: count('alarm') }
}

/** Each class by itself; below zero is zero. */
export function minus(a: ClassCounts, b: ClassCounts): ClassCounts {
  return { ...byClass(name => Math.max(0, a[name] - b[name])), ...thinnedOf(Math.max(0, thinnedIn(a) - thinnedIn(b))) }
}

export function plus(a: ClassCounts, b: ClassCounts): ClassCounts {
  return { ...byClass(name => a[name] + b[name]), ...thinnedOf(thinnedIn(a) + thinnedIn(b)) }
}

function thinnedIn({ thinned = 0 }: ClassCounts): number {
  return thinned
}

function thinnedOf(thinned: number): { readonly thinned?: number } {
  return thinned > 0 ? { thinned } : {}
}

export function least(a: ClassCounts, b: ClassCounts): ClassCounts {
  return byClass(name => Math.min(a[name], b[name]))
}

export function sumOf({ raw, aggregate, alarm, thinned = 0 }: ClassCounts): number {
  return raw + aggregate + alarm + thinned
}

/** Of readings in rows, those that are sent as they are: those of class aggregate are held. */
export function unsentOf({ raw, alarm }: ClassCounts): ClassCounts {
  return { raw, aggregate: 0, alarm }
}

export function unsentReadings({ raw, alarm }: ClassCounts): number {
  return raw + alarm
}
