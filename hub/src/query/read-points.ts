/**
 * One series as points for a chart: the readings themselves when they fit, else buckets of equal width with mean, least and greatest.
 * What counts are numbers and booleans (0 and 1) that are not bad.
 *
 * Never more than `points`, and bounded work whatever is stored: from the sizes of the segments in the span, which cost nothing to
 * unpack, follows which of the three is asked.
 *   raw       few readings: they are read, and given when they fit
 *   readings  buckets under a minute: of up to `maxUnpacked` readings (about 0.4 µs each)
 *   minutes   all else: from the rollups and what is not rolled up yet (about 0.5 µs a minute: a year is half a million); also where
 *             minutes are there whose readings retention took away, or which an agent sent as aggregates
 *   windows   what an agent sent in windows longer than a minute, in buckets that have no minutes
 * Plan: segments by primary key in the tables of the span; `rollup_1m` by primary key.
 */
import type { Pool } from 'pg'
import { bucketWidth } from './bucket-width.ts'
import { minutesSql } from './read-minutes.ts'

export interface PointsAsked {
  readonly seriesId: number
  /** Milliseconds, inclusive; 1970 … 2106, as `toMs`. */
  readonly fromMs: number
  /** Milliseconds, exclusive. */
  readonly toMs: number
  /** At most so many. */
  readonly points: number
}

export interface RawPoint {
  readonly tsUs: number
  readonly value: number
}

export interface BucketPoint {
  /** Start of the bucket; the first may start before `fromMs`. */
  readonly tsMs: number
  /** Mean; the middle between least and greatest where values beyond ±1e150 have no mean. */
  readonly value: number
  readonly min: number
  readonly max: number
  readonly n: number
}

export type Points =
  | { readonly kind: 'raw'; readonly points: readonly RawPoint[] }
  | { readonly kind: 'buckets'; readonly bucketMs: number; readonly points: readonly BucketPoint[] }

/** Up to so many are unpacked to see whether those that count fit; more than four for each point that may be asked. */
const maxTried = 20_000
const maxUnpacked = 500_000
const minuteMs = 60_000

export async function readPoints(pool: Pool, asked: PointsAsked): Promise<Points> {
  const { readings, minutesThere, minutesAlone, windowMs } = await measure(pool, asked)
  if (!minutesAlone && readings <= maxTried) {
    const points = await readRaw(pool, asked)
    if (points.length <= asked.points) return { kind: 'raw', points }
  }
  const width = bucketWidth(asked.fromMs, asked.toMs, asked.points)
  if (width < minuteMs && !minutesAlone && readings <= maxUnpacked) {
    return { kind: 'buckets', bucketMs: width, points: await bucketReadings(pool, asked, width) }
  }
  const leastMs = minutesThere || windowMs === null ? minuteMs : windowMs
  const bucketMs = bucketWidth(asked.fromMs, asked.toMs, asked.points, leastMs)
  const minutes = await bucketMinutes(pool, asked, bucketMs)
  if (windowMs === null) return { kind: 'buckets', bucketMs, points: minutes }
  return { kind: 'buckets', bucketMs, points: together(minutes, await bucketWindows(pool, asked, bucketMs)) }
}

/** A bucket has one source. */
function together(minutes: readonly BucketPoint[], windows: readonly BucketPoint[]): BucketPoint[] {
  const taken = new Set(minutes.map(({ tsMs }) => tsMs))
  return [...minutes, ...windows.filter(({ tsMs }) => !taken.has(tsMs))].sort((a, b) => a.tsMs - b.tsMs)
}

interface Measure {
  /** At most how many readings the span holds. */
  readonly readings: number
  readonly minutesThere: boolean
  /** Whole minutes, or aggregates, are there before the first of these readings, or aggregates after the last. */
  readonly minutesAlone: boolean
  /** The shortest of the agent's windows that are longer than a minute; null without any. */
  readonly windowMs: number | null
}

async function measure(pool: Pool, { seriesId, fromMs, toMs }: PointsAsked): Promise<Measure> {
  const { rows } = await pool.query<Measure>(
    `with held as (
       select coalesce(sum(n), 0)::int8 as readings, min(t0) as from_ts, max(t1) as to_ts from segment
        where series_id = $1 and t0 >= $2::timestamptz - interval '24 hours' and t0 < $3 and t1 >= $2 and v is not null
     ), folded as (
       select min(start) as from_ts, max(start) as to_ts, min(size_us) filter (where size_us > 60000000) as long_us,
              coalesce(bool_or(60000000 % size_us = 0), false) as minutes from aggregate
        where series_id = $1 and start >= $2 and start < $3
     )
     select readings, long_us / 1000.0::float8 as "windowMs",
            folded.minutes or readings > 0 or exists (select from rollup_1m where series_id = $1 and n > 0 and bucket >= $2 and bucket < $3)
              as "minutesThere",
            coalesce(folded.from_ts < held.from_ts - interval '1 minute' or folded.to_ts > held.to_ts
                     or folded.from_ts is not null and held.from_ts is null, false)
            or exists (select from rollup_1m where series_id = $1 and n > 0 and bucket >= $2
                          and bucket <= $3::timestamptz - interval '1 minute'
                          and (held.from_ts is null or bucket < held.from_ts - interval '1 minute')) as "minutesAlone"
       from held, folded`,
    [seriesId, new Date(fromMs), new Date(toMs)],
  )
  return rows[0]!
}

async function readRaw(pool: Pool, { seriesId, fromMs, toMs, points }: PointsAsked): Promise<RawPoint[]> {
  const { rows } = await pool.query<RawPoint>(
    `select (extract(epoch from ts) * 1000000)::int8 as "tsUs", value from readings($1, $2, $3)
      where value is not null and quality < 2
      order by ts
      limit $4`,
    [seriesId, new Date(fromMs), new Date(toMs), points + 1],
  )
  return rows
}

/** Not by `readings()`, which would put half a million in order first. */
async function bucketReadings(
  pool: Pool,
  { seriesId, fromMs, toMs }: PointsAsked,
  width: number,
): Promise<BucketPoint[]> {
  const { rows } = await pool.query<BucketPoint>(
    `select us / $4::int8 * $4::int8 / 1000 as "tsMs", count(*) as n, min(p.v), max(p.v),
            coalesce(case when bool_and(abs(p.v) < 1e150) then avg(p.v) filter (where abs(p.v) < 1e150) end,
                     min(p.v) / 2 + max(p.v) / 2) as value
       from (select *, (extract(epoch from t0) * 1000000)::int8 as t0_us from segment
              where series_id = $1 and t0 >= $2::timestamptz - interval '24 hours' and t0 < $3 and t1 >= $2 and v is not null offset 0) g
      cross join lateral unnest(g.v, g.dt, g.q) with ordinality as p (v, dt, q, i)
      cross join lateral (select g.t0_us + coalesce(p.dt, p.i - 1) * g.tick_us as us) at
      where us >= $5::int8 and us < $6::int8 and p.v is not null and coalesce(p.q, 0) < 2
      group by 1
      order by 1`,
    [seriesId, new Date(fromMs), new Date(toMs), width * 1000, fromMs * 1000, toMs * 1000],
  )
  return rows
}

/** The minute in which the span begins is taken whole. */
async function bucketMinutes(
  pool: Pool,
  { seriesId, fromMs, toMs }: PointsAsked,
  width: number,
): Promise<BucketPoint[]> {
  const firstMs = Math.floor(fromMs / minuteMs) * minuteMs
  const { rows } = await pool.query<BucketPoint>(
    `select (extract(epoch from bucket) * 1000)::int8 as "tsMs", n, min, max, coalesce(mean, min / 2 + max / 2) as value
       from (
         select date_bin($4 * interval '1 ms', bucket, 'epoch') as bucket, sum(n)::int8 as n, min(min), max(max),
                case when bool_and(mean is not null) then sum(mean * n) / sum(n) end as mean
           from (${minutesSql}) as minutes
          where n > 0
          group by 1
       ) as buckets
      order by 1`,
    [seriesId, firstMs * 1000, toMs * 1000, width],
  )
  return rows
}

/** Windows longer than a minute that do not overlap, each in the bucket where it starts; of several lengths in one bucket the shortest. */
async function bucketWindows(
  pool: Pool,
  { seriesId, fromMs, toMs }: PointsAsked,
  width: number,
): Promise<BucketPoint[]> {
  const { rows } = await pool.query<BucketPoint>(
    `select distinct on ("tsMs") "tsMs", n, min, max, mean as value
       from (
         select (extract(epoch from date_bin($4 * interval '1 ms', start, 'epoch')) * 1000)::int8 as "tsMs", size_us, sum(n)::int8 as n,
                min(min), max(max), sum(mean * (n::float8 / total)) as mean
           from (select *, sum(n) over (partition by date_bin($4 * interval '1 ms', start, 'epoch'), size_us)::float8 as total
                   from aggregate
                  where series_id = $1 and start >= $2 and start < $3 and size_us > 60000000
                    and (extract(epoch from start) * 1000000)::int8 % size_us = 0) windows
          group by 1, size_us
       ) sizes
      order by "tsMs", size_us`,
    [seriesId, new Date(fromMs), new Date(toMs), width],
  )
  return rows
}
