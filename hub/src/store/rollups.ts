/**
 * Keeps the one-minute rollups true: takes touched minutes and computes them again from all stored readings, or from the agent's
 * aggregates where there are any that make up minutes (rollup-aggregates.ts).
 *
 * Computing again, rather than adding up, is what makes late and shuffled data give the same rows as data in order. A minute is
 * taken once it has been over for `settleMs`, so that the current minute of every series is not computed at every batch; ask the
 * readings themselves for what is younger. One worker at a time computes (an advisory lock); its snapshot holds the readings of
 * every mark that it takes, because marks are written in the transaction of their readings.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../database/database.ts'
import { makesMinutes } from '../database/minute-windows.ts'
import { type MinuteWindow, writeMinutes } from './rollup-aggregates.ts'

export interface RollupOptions {
  readonly database: Database
  readonly signal: AbortSignal
  /** Default 15,000 ms after the minute's end. */
  readonly settleMs?: number
  /** Between two looks when there was nothing. Default 1000 ms. */
  readonly pollMs?: number
  /** What went wrong and is tried again. */
  readonly onError: (error: unknown) => void
}

/** A mark count, with a window of the minutes taken or none. */
interface RolledUp {
  readonly taken: number
  readonly seriesId: number | null
}

const maxMarks = 20_000
const minMarks = 50

/** Runs until the signal aborts. */
export async function runRollups({
  database,
  signal,
  settleMs = 15_000,
  pollMs = 1000,
  onError,
}: RollupOptions): Promise<void> {
  let marks = maxMarks
  while (!signal.aborted) {
    let taken = 0
    try {
      taken = await rollUpOnce(database, settleMs, marks)
      marks = Math.min(maxMarks, marks * 2)
    } catch (error) {
      // Late readings of many merged days may take longer than a statement may: fewer at once.
      marks = Math.max(minMarks, Math.floor(marks / 4))
      onError(error)
    }
    if (taken === 0) await sleep(pollMs, undefined, { signal }).catch(() => undefined)
  }
}

/**
 * One round of up to `marks`; returns how many marks it took, 0 also when another worker is at it.
 *
 * Plan: marks by their index, oldest minute first; then each hour of a series is read once, by primary key in the tables of that day and
 * the one before, and all minutes between its first and last due one are written: joining with the due ones costs far more. Values beyond ±1e150 would overflow the sums and are left out of
 * them, which makes sum, mean and m2 null.
 */
export async function rollUpOnce(database: Database, settleMs: number, marks = maxMarks): Promise<number> {
  return await database.transaction(async tx => {
    const { rows: locks } = await tx.query<{ ok: boolean }>(
      `select pg_try_advisory_xact_lock(hashtext('rollup_1m')) as ok`,
    )
    if (locks[0]?.ok !== true) return 0
    await tx.query(`set local jit = off; set local work_mem = '64MB'`)
    const { rows } = await tx.query<RolledUp | (RolledUp & MinuteWindow)>({
      name: 'roll-up',
      text: `
        with taken as (
          delete from rollup_dirty where ctid = any(array(
            select ctid from rollup_dirty
            where bucket <= now() - interval '1 minute' - $1 * interval '1 ms'
            order by bucket, series_id limit $2))
          returning series_id, bucket
        ), span as materialized (
          select series_id, min(bucket) as from_ts, max(bucket) + interval '1 minute' as to_ts
          from taken group by series_id, date_bin('1 hour', bucket, 'epoch')
        ), window_row as materialized (
          select span.series_id, (extract(epoch from a.start) * 1000000)::int8 / 60000000 as minute, a.size_us, a.data
          from span
          join aggregate a on a.series_id = span.series_id and a.start >= span.from_ts and a.start < span.to_ts and ${makesMinutes}
        ), point as (
          select span.series_id, at.us / 60000000 as minute, at.us, g.segment_id, p.i, p.v,
                 p.v is not null and coalesce(p.q, 0) < 2 as counts, abs(p.v) < 1e150 as sane
          from span
          join segment g on g.series_id = span.series_id
            and g.t0 >= span.from_ts - interval '24 hours' and g.t0 < span.to_ts and g.t1 >= span.from_ts
          cross join lateral (
            select (extract(epoch from g.t0) * 1000000)::int8 as t0_us, (extract(epoch from span.from_ts) * 1000000)::int8 as from_us,
                   (extract(epoch from span.to_ts) * 1000000)::int8 as to_us offset 0
          ) once
          cross join lateral unnest(g.v, g.s, g.dt, g.q) with ordinality as p (v, s, dt, q, i)
          cross join lateral (select once.t0_us + coalesce(p.dt, p.i - 1) * g.tick_us as us) at
          where at.us >= once.from_us and at.us < once.to_us
        ), computed as (
          select series_id, 'epoch'::timestamptz + minute * interval '1 minute' as bucket, count(*) as readings,
                 count(*) filter (where counts) as n,
                 sum(v) filter (where counts and sane) as sum, avg(v) filter (where counts and sane) as mean,
                 regr_sxx(v, v) filter (where counts and sane) as m2, bool_and(sane) filter (where counts) as sane,
                 min(v) filter (where counts) as min, max(v) filter (where counts) as max,
                 array_agg(v) filter (where counts) as values
          from (select * from point order by series_id, minute, us, segment_id, i) ordered
          group by series_id, minute
        ), written as (
          insert into rollup_1m (series_id, bucket, readings, n, sum, mean, m2, min, max, first, last)
          select series_id, bucket, readings, n, case when sane then sum end, case when sane then mean end, case when sane then m2 end,
                 min, max, values[1], values[n]
          from computed
          where not exists (
            select from window_row w
            where w.series_id = computed.series_id and 'epoch'::timestamptz + w.minute * interval '1 minute' = computed.bucket)
          on conflict (series_id, bucket) do update set
            readings = excluded.readings, n = excluded.n, sum = excluded.sum, mean = excluded.mean, m2 = excluded.m2,
            min = excluded.min, max = excluded.max, first = excluded.first, last = excluded.last
        )
        select total.taken, w.series_id as "seriesId", w.minute, w.size_us as "sizeUs", w.data
        from (select count(*) as taken from taken) total left join window_row w on true`,
      values: [settleMs, marks],
    })
    await writeMinutes(
      tx,
      rows.filter((row): row is RolledUp & MinuteWindow => row.seriesId !== null),
    )
    return rows[0]?.taken ?? 0
  })
}
