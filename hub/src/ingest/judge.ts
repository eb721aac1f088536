/**
 * The one judgement of a batch: which readings are data, and which go to the dead letters with a reason.
 *
 * Pure. It is made once, at ingest, and travels in the envelope: consumers obey it and never judge again, so a replay of the log
 * gives the same rows. `ruleVersion` rises with every change of the rules.
 *
 * The rules for readings, in this order, the first that applies wins; those for aggregates are in judge-aggregates.ts:
 *   name             device or metric empty, longer than 256 bytes, or with control characters; unit longer than 32 bytes
 *   cardinality      a series beyond `maxSeriesPerAgent` of its agent
 *   non-finite       NaN or ±Infinity
 *   string-too-long  more than 4096 bytes of UTF-8
 *   string-nul       U+0000, which a Postgres text cannot hold
 *   future           more than `maxFutureMs` ahead of the hub's clock
 *   before-2000      before 2000-01-01T00:00:00Z
 */
import type { Batch, SeriesColumns } from '@tributary/shared/batch/batch'
import type { RejectReason } from '@tributary/shared/protocol'
import { limits, type SeriesName, type Value } from '@tributary/shared/reading'
import { judgeAggregates } from './judge-aggregates.ts'

/** Version of the rules above, kept in every envelope. */
export const ruleVersion = 2

/** A reading may be this far ahead of the hub's clock, ms. */
export const maxFutureMs = 5 * 60_000

/** 2000-01-01T00:00:00Z, µs. */
const year2000Us = 946_684_800_000_000

/** The series that an agent is known to have. `admit` is asked once a batch and series, and remembers what it admits. */
export interface SeriesBudget {
  admit(device: string, metric: string): boolean
}

/** Index in the batch → reason, for the readings and aggregates that are refused; empty for nearly every batch. */
export type Verdict = ReadonlyMap<number, RejectReason>

/** Judge every reading and aggregate of a batch at the hub's time `nowMs`. */
export function judgeBatch(batch: Batch, nowMs: number, budget: SeriesBudget): Verdict {
  const verdict = new Map<number, RejectReason>()
  const latestUs = (nowMs + maxFutureMs) * 1000
  let first = 0
  for (const column of batch.columns) {
    const { series, tsUs } = column
    const whole = judgeSeries(series, budget)
    if (whole !== null) for (let i = 0; i < tsUs.length; i++) verdict.set(first + i, whole)
    else judgeColumn(column, first, latestUs, verdict)
    first += tsUs.length
  }
  for (const aggregates of batch.aggregates) {
    const whole = judgeSeries(aggregates.series, budget)
    if (whole !== null) for (let i = 0; i < aggregates.data.length; i++) verdict.set(first + i, whole)
    else {
      const bounds = { earliestUs: year2000Us, latestUs }
      for (const [i, reason] of judgeAggregates(aggregates, bounds)) verdict.set(first + i, reason)
    }
    first += aggregates.data.length
  }
  return verdict
}

function judgeSeries(series: SeriesName, budget: SeriesBudget): RejectReason | null {
  if (nameIsBad(series)) return 'name'
  return budget.admit(series.device, series.metric) ? null : 'cardinality'
}

function judgeColumn(column: SeriesColumns, first: number, latestUs: number, verdict: Map<number, RejectReason>): void {
  const { tsUs, values } = column
  for (let i = 0; i < tsUs.length; i++) {
    const ts = tsUs[i]!
    const value = values[i]!
    // The way of nearly every reading: a finite number (its difference with itself is 0) at a sane time.
    if (typeof value === 'number' && value - value === 0 && ts <= latestUs && ts >= year2000Us) continue
    const reason = valueFault(value) ?? (ts > latestUs ? 'future' : ts < year2000Us ? 'before-2000' : undefined)
    if (reason !== undefined) verdict.set(first + i, reason)
  }
}

function valueFault(value: Value): RejectReason | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'non-finite'
  if (typeof value === 'boolean') return undefined
  if (tooLong(value, limits.stringBytes)) return 'string-too-long'
  return value.includes('\0') ? 'string-nul' : undefined
}

/** Control characters would make a name that people cannot tell apart, and U+0000 one that Postgres cannot hold. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const control = /[\u0000-\u001f\u007f]/

function nameIsBad(series: SeriesName): boolean {
  return (
    badName(series.device) ||
    badName(series.metric) ||
    tooLong(series.unit, limits.unitBytes) ||
    control.test(series.unit)
  )
}

function badName(name: string): boolean {
  return name.length === 0 || tooLong(name, limits.nameBytes) || control.test(name)
}

/** Longer than `bytes` of UTF-8; a UTF-16 unit takes at most 3. */
function tooLong(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes
}
