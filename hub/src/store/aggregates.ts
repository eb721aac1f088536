/**
 * Aggregates into their table, in the transaction of the readings: judged ones that are not refused, the greatest of each window.
 *
 * Greatest is by revision, then by readings, then by bytes, so that the order of arrival does not show, nor how windows are shared out among
 * batches. The bytes are kept as received, so that windows merge exactly; the columns beside them are their numbers, for SQL.
 */
import { finish } from '@tributary/shared/window/aggregate'
import { decodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { createAggregateStore } from '@tributary/shared/window/aggregate-store'
import type { PoolClient } from 'pg'
import type { SeriesKey } from '../database/series-ids.ts'
import type { JudgedBatch } from '../log/effect.ts'

/** One window of one series. */
export interface Aggregate {
  readonly startUs: number
  readonly sizeUs: number
  readonly hopUs: number
  readonly revision: number
  readonly data: Uint8Array
}

export interface GatheredAggregates {
  readonly key: SeriesKey
  readonly aggregates: readonly Aggregate[]
}

/** What a transaction stores of one series, at least one. */
export interface SeriesAggregateRows {
  readonly seriesId: number
  readonly agentNo: number
  readonly aggregates: readonly Aggregate[]
}

/** By series, each with `nameOf` its key, without what the verdict refused; columns of one series may come from several batches. */
export function gatherAggregates(batches: readonly JudgedBatch[]): GatheredAggregates[] {
  const all: GatheredAggregates[] = []
  for (const { envelope, batch } of batches) {
    let index = batch.columns.reduce((sum, { tsUs }) => sum + tsUs.length, 0)
    for (const { series, sizeUs, hopUs, startUs, revision, data } of batch.aggregates) {
      const aggregates: Aggregate[] = []
      data.forEach((bytes, i) => {
        if (envelope.rejected.has(index++)) return
        aggregates.push({ startUs: startUs[i]!, sizeUs, hopUs, revision: revision[i]!, data: bytes })
      })
      if (aggregates.length > 0) all.push({ key: { agentNo: envelope.agentNo, ...series }, aggregates })
    }
  }
  return all
}

interface Row extends Aggregate {
  readonly seriesId: number
}

/** Plan: primary key of one month's table, one row each, in the order of the key, so that two writers wait in one order. */
export async function writeAggregates(tx: PoolClient, stored: readonly SeriesAggregateRows[]): Promise<void> {
  const rows = greatestOfEach(stored)
  if (rows.length === 0) return
  const numbers = rows.map(({ data }) => numbersOf(data))
  await tx.query({
    name: 'write-aggregates',
    text: `insert into aggregate as a (series_id, start, size_us, hop_us, revision, data, n, sum, mean, m2, min, max, first_us, first, last_us, last)
           select series_id, 'epoch'::timestamptz + start_us * interval '1 microsecond', size_us, hop_us, revision, data, n, sum, mean, m2,
                  min, max, first_us, first, last_us, last
           from unnest($1::int[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::bytea[], $7::int8[], $8::float8[], $9::float8[],
                       $10::float8[], $11::float8[], $12::float8[], $13::int8[], $14::float8[], $15::int8[], $16::float8[])
                  as given (series_id, start_us, size_us, hop_us, revision, data, n, sum, mean, m2, min, max, first_us, first, last_us, last)
           on conflict (series_id, start, size_us, hop_us) do update set
             revision = excluded.revision, data = excluded.data, n = excluded.n, sum = excluded.sum, mean = excluded.mean,
             m2 = excluded.m2, min = excluded.min, max = excluded.max, first_us = excluded.first_us, first = excluded.first,
             last_us = excluded.last_us, last = excluded.last
           where (excluded.revision, excluded.n, excluded.data) > (a.revision, a.n, a.data)`,
    values: [
      rows.map(({ seriesId }) => seriesId),
      rows.map(({ startUs }) => startUs),
      rows.map(({ sizeUs }) => sizeUs),
      rows.map(({ hopUs }) => hopUs),
      rows.map(({ revision }) => revision),
      rows.map(({ data }) => Buffer.from(data)),
      ...(['n', 'sum', 'mean', 'm2', 'min', 'max', 'firstUs', 'first', 'lastUs', 'last'] as const).map(name =>
        numbers.map(one => one[name]),
      ),
    ],
  })
}

/** One row a window, in the order of the primary key. */
function greatestOfEach(stored: readonly SeriesAggregateRows[]): Row[] {
  const greatest = new Map<string, Row>()
  for (const { seriesId, aggregates } of stored) {
    for (const aggregate of aggregates) {
      const window = `${seriesId}/${aggregate.startUs}/${aggregate.sizeUs}/${aggregate.hopUs}`
      const other = greatest.get(window)
      if (other === undefined || isGreater(aggregate, other)) greatest.set(window, { seriesId, ...aggregate })
    }
  }
  return [...greatest.values()].sort(
    (a, b) => a.seriesId - b.seriesId || a.startUs - b.startUs || a.sizeUs - b.sizeUs || a.hopUs - b.hopUs,
  )
}

function isGreater(one: Aggregate, than: Aggregate): boolean {
  if (one.revision !== than.revision) return one.revision > than.revision
  const [n, other] = [numbersOf(one.data).n, numbersOf(than.data).n]
  return n === other ? Buffer.compare(one.data, than.data) > 0 : n > other
}

/** The numbers of an aggregate that was judged. */
export function numbersOf(data: Uint8Array) {
  const store = createAggregateStore(0, 1)
  return finish(store, decodeAggregate(store, data))
}

export function lastReadingOf(aggregates: readonly Aggregate[]): { readonly tsUs: number; readonly value: number } {
  const [first, ...rest] = aggregates.map(({ data }) => numbersOf(data))
  const { lastUs, last } = rest.reduce((newest, one) => (one.lastUs > newest.lastUs ? one : newest), first!)
  return { tsUs: lastUs, value: last }
}
