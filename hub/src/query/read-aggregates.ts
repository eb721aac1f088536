/**
 * Aggregates of one series, merged from the parts that agents sent, by start, shortest window first, a page after a page; quantiles from the sketch where
 * there is one. Plan: primary key within the tables of the span.
 */
import { quantile } from '@tributary/shared/window/aggregate'
import { decodeAggregate, hasSketch } from '@tributary/shared/window/aggregate-codec'
import { createAggregateStore } from '@tributary/shared/window/aggregate-store'
import type { Pool } from 'pg'

export interface AggregateRow {
  readonly startUs: number
  readonly sizeUs: number
  readonly hopUs: number
  readonly parts: number
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
  /** Null without a sketch. */
  readonly quantiles: Quantiles | null
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** A window's place in the list. */
export interface WindowPlace {
  readonly startUs: number
  readonly sizeUs: number
  readonly hopUs: number
}

export interface AggregatesAsked {
  readonly seriesId: number
  /** Of the windows' starts; microseconds, inclusive. */
  readonly fromUs: number
  /** Microseconds, exclusive. */
  readonly toUs: number
  /** Only windows of this length. */
  readonly sizeUs?: number | undefined
  /** Windows up to and with this one were given. */
  readonly after?: WindowPlace | undefined
  readonly limit: number
}

export async function readAggregates(pool: Pool, asked: AggregatesAsked): Promise<AggregateRow[]> {
  const { rows } = await pool.query<Omit<AggregateRow, 'quantiles'> & { data: Buffer }>(aggregatesSql(asked))
  return rows.map(({ data, ...row }) => ({ ...row, quantiles: quantilesOf(data) }))
}

/** Apart, so that its plan can be looked at. */
export function aggregatesSql(asked: AggregatesAsked): { readonly text: string; readonly values: unknown[] } {
  return {
    text: `select (extract(epoch from start) * 1000000)::int8 as "startUs", size_us as "sizeUs", hop_us as "hopUs", cardinality(revisions) as parts, n, sum, mean, m2,
            min, max, first_us as "firstUs", first, last_us as "lastUs", last, data
       from aggregate
      where series_id = $1 and start >= $2 and start < $3 and ($4::int8 is null or size_us = $4)
        and ($5::int8 is null or (start, size_us, hop_us) > ($2, $5, $6))
      order by start, size_us, hop_us
      limit $7`,
    values: [
      asked.seriesId,
      timeText(asked.after?.startUs ?? asked.fromUs),
      timeText(asked.toUs),
      asked.sizeUs ?? null,
      asked.after?.sizeUs ?? null,
      asked.after?.hopUs ?? null,
      asked.limit,
    ],
  }
}

/** To the microsecond, which a Date does not hold. */
function timeText(us: number): string {
  const ms = Math.floor(us / 1000)
  return new Date(ms).toISOString().replace('Z', `${String(us - ms * 1000).padStart(3, '0')}Z`)
}

function quantilesOf(data: Buffer): Quantiles | null {
  if (!hasSketch(data)) return null
  const store = createAggregateStore(65_536, 1)
  const slot = decodeAggregate(store, data)
  return { p50: quantile(store, slot, 0.5), p95: quantile(store, slot, 0.95), p99: quantile(store, slot, 0.99) }
}
