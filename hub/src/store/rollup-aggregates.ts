/**
 * Minutes of a series that come from aggregates: windows whose length divides a minute merge exactly into it, whatever raw readings of it
 * are stored beside them.
 *
 * One minute has one source. Where windows of several lengths stand in one minute, because a policy changed, those that know of the most
 * readings are taken, of equal ones the longest.
 */
import { type Finished, finish, mergeInto } from '@tributary/shared/window/aggregate'
import { decodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { allocate, count, createAggregateStore, release } from '@tributary/shared/window/aggregate-store'
import type { PoolClient } from 'pg'

/** A window within a minute. */
export interface MinuteWindow {
  readonly seriesId: number
  /** Since 1970. */
  readonly minute: number
  readonly sizeUs: number
  readonly data: Buffer
}

/** Plan: primary key of `rollup_1m`, a row a minute. */
export async function writeMinutes(tx: PoolClient, windows: readonly MinuteWindow[]): Promise<void> {
  const groups = Map.groupBy(windows, ({ seriesId, minute }) => `${seriesId}/${minute}`)
  const rows = Array.from(groups.values(), group => ({ ...group[0]!, numbers: mergeMinute(group) }))
  if (rows.length === 0) return
  const column = (of: (numbers: Finished) => number) => rows.map(({ numbers }) => finite(of(numbers)))
  await tx.query({
    name: 'write-minutes',
    text: `insert into rollup_1m (series_id, bucket, readings, n, sum, mean, m2, min, max, first, last)
           select series_id, 'epoch'::timestamptz + minute * interval '1 minute', n, n, sum, mean, m2, min, max, first, last
           from unnest($1::int[], $2::int8[], $3::int8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::float8[],
                       $9::float8[], $10::float8[]) as given (series_id, minute, n, sum, mean, m2, min, max, first, last)
           on conflict (series_id, bucket) do update set
             readings = excluded.readings, n = excluded.n, sum = excluded.sum, mean = excluded.mean, m2 = excluded.m2,
             min = excluded.min, max = excluded.max, first = excluded.first, last = excluded.last`,
    values: [
      rows.map(({ seriesId }) => seriesId),
      rows.map(({ minute }) => minute),
      column(({ n }) => n),
      column(({ sum }) => sum),
      column(({ mean }) => mean),
      column(({ m2 }) => m2),
      column(({ min }) => min),
      column(({ max }) => max),
      column(({ first }) => first),
      column(({ last }) => last),
    ],
  })
}

/** Sketches stay where they are: a minute has none. */
function mergeMinute(windows: readonly MinuteWindow[]): Finished {
  const store = createAggregateStore(0)
  let best: { readonly slot: number; readonly sizeUs: number } | null = null
  for (const [sizeUs, ofSize] of Map.groupBy(windows, window => window.sizeUs)) {
    const slot = allocate(store)
    for (const { data } of ofSize) {
      const one = decodeAggregate(store, data)
      mergeInto(store, slot, store, one)
      release(store, one)
    }
    const more = best === null ? 1 : count(store, slot) - count(store, best.slot) || sizeUs - best.sizeUs
    if (more > 0) best = { slot, sizeUs }
  }
  return finish(store, best!.slot)
}

/** As of raw readings: what overflows has no sum. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
