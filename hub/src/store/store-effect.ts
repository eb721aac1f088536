/**
 * The store consumer: accepted readings become segments, accepted aggregates rows, rejected ones dead letters, touched minutes are
 * marked for the rollups, the newest reading of each series is kept apart, what is stored is counted, the agent's row learns what its
 * newest batch said, and recalls that it answered are closed. All in the transaction that moves the consumer's position.
 */
import type { Batch } from '@tributary/shared/batch/batch'
import { TributaryError } from '@tributary/shared/errors'
import { qualityNames, type Value } from '@tributary/shared/reading'
import pg, { type PoolClient } from 'pg'
import type { Database } from '../database/database.ts'
import { resolveSeriesIds, type SeriesKey } from '../database/series-ids.ts'
import { writeDeadLetter } from '../log/dead-letters.ts'
import type { Effect, JudgedBatch } from '../log/effect.ts'
import { countReceived, updateAgents } from './agent-headers.ts'
import { gatherAggregates, type SeriesAggregateRows, writeAggregates } from './aggregates.ts'
import { closeRecalls } from './close-recalls.ts'
import type { DiskGuard } from './disk-guard.ts'
import { copySegments, type PlacedSegment } from './segment-copy.ts'
import { buildSegments, type Segment } from './segments.ts'
import { countReadings, type SeriesSegments, writeLatest } from './series-latest.ts'
import { countStored } from './stored-counts.ts'
import { TimeTables } from './time-tables.ts'

export interface StoreOptions {
  readonly database: Database
  readonly diskGuard?: DiskGuard
  /** Series whose ids are remembered, about 200 bytes each. Default 200,000. */
  readonly maxSeries?: number
  readonly now?: () => number
}

/** Readings of one series over all batches of a transaction, in order of arrival. */
interface Gathered {
  readonly key: SeriesKey
  readonly tsUs: number[]
  readonly values: Value[]
  quality: number[] | null
  allNumbers: boolean
}

/** SQLSTATE check_violation: no partition for the row. */
const noTable = '23514'
const minuteUs = 60_000_000
/** Rejected readings and aggregates that a dead letter shows. */
const shownReadings = 10

export class StoreEffect implements Effect {
  readonly group = 'store'
  readonly tables: TimeTables
  private readonly aggregateTables: TimeTables
  private readonly diskGuard: DiskGuard | undefined
  private readonly maxSeries: number
  /** Ids of committed transactions only. */
  private readonly seriesIds = new Map<string, number>()
  private readonly unsettled = new Map<number, Map<string, number>>()

  constructor({ database, diskGuard, maxSeries = 200_000, now }: StoreOptions) {
    this.tables = new TimeTables({ database, parent: 'segment', every: 'day', now })
    this.aggregateTables = new TimeTables({ database, parent: 'aggregate', every: 'month', now })
    this.diskGuard = diskGuard
    this.maxSeries = maxSeries
  }

  async assigned(): Promise<void> {
    await this.tables.makeAhead()
    await this.aggregateTables.makeAhead()
  }

  async apply(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
    await this.diskGuard?.check()
    const partition = batches[0]?.partition ?? 0
    const gathered = gather(batches)
    const folded = gatherAggregates(batches)
    const idOf = await this.resolve(
      tx,
      partition,
      [...gathered, ...folded].map(({ key }) => key),
    )
    const stored = gathered.map((series): SeriesSegments => {
      const { key } = series
      return { seriesId: idOf(key), agentNo: key.agentNo, segments: buildSegments(readingsOf(series)) }
    })
    const aggregates = folded.map(
      ({ key, aggregates }): SeriesAggregateRows => ({ seriesId: idOf(key), agentNo: key.agentNo, aggregates }),
    )
    const segments = stored.flatMap(({ seriesId, segments }) =>
      segments.map((segment): PlacedSegment => ({ seriesId, segment })),
    )
    await this.tables.ensure(segments.map(({ segment }) => segment.t0Us / 1000))
    await this.aggregateTables.ensure(aggregates.flatMap(one => one.aggregates.map(({ startUs }) => startUs / 1000)))
    await this.write(tx, segments, aggregates)
    await markDirty(tx, [...minutesOfSegments(segments), ...minutesOfAggregates(aggregates)])
    for (const judged of batches) if (judged.envelope.rejected.size > 0) await writeRejected(tx, judged)
    await writeLatest(tx, stored, aggregates)
    await countStored(tx, partition, countReadings(segments.map(({ segment }) => segment)))
    await updateAgents(tx, batches, stored, aggregates)
    await closeRecalls(tx, batches)
  }

  async leftOut(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
    await countReceived(tx, batches)
    await closeRecalls(tx, batches)
  }

  /** A table that retention dropped since it was looked up is made again by the next try. */
  private async write(
    tx: PoolClient,
    segments: readonly PlacedSegment[],
    aggregates: readonly SeriesAggregateRows[],
  ): Promise<void> {
    try {
      await copySegments(tx, segments)
      await writeAggregates(tx, aggregates)
    } catch (cause) {
      if (!(cause instanceof pg.DatabaseError) || cause.code !== noTable) throw cause
      this.tables.forget()
      this.aggregateTables.forget()
      throw new TributaryError('unavailable', 'a table of segments or aggregates was dropped meanwhile', { cause })
    }
  }

  committed(batches: readonly JudgedBatch[]): void {
    const partition = batches[0]?.partition
    if (partition === undefined) return
    for (const [key, id] of this.unsettled.get(partition) ?? []) {
      const oldest = this.seriesIds.size >= this.maxSeries ? this.seriesIds.keys().next().value : undefined
      if (oldest !== undefined) this.seriesIds.delete(oldest)
      this.seriesIds.set(key, id)
    }
    this.unsettled.delete(partition)
  }

  async rolledBack(partition: number): Promise<void> {
    this.unsettled.delete(partition)
  }

  private async resolve(
    tx: PoolClient,
    partition: number,
    keys: readonly SeriesKey[],
  ): Promise<(key: SeriesKey) => number> {
    const unknown = keys.filter(key => !this.seriesIds.has(nameOf(key)))
    const resolved = await resolveSeriesIds(tx, unknown)
    const fresh = new Map(unknown.map((key, index) => [nameOf(key), resolved[index] as number]))
    this.unsettled.set(partition, fresh)
    return key => this.seriesIds.get(nameOf(key)) ?? (fresh.get(nameOf(key)) as number)
  }
}

function nameOf({ agentNo, device, metric }: SeriesKey): string {
  return `${agentNo}\0${device}\0${metric}`
}

/** By series, without what the verdict rejected. */
function gather(batches: readonly JudgedBatch[]): Gathered[] {
  const all = new Map<string, Gathered>()
  for (const { envelope, batch } of batches) {
    let index = 0
    for (const { series, tsUs, values, quality } of batch.columns) {
      const key = { agentNo: envelope.agentNo, ...series }
      let into = all.get(nameOf(key))
      for (let place = 0; place < tsUs.length; place++, index++) {
        if (envelope.rejected.size > 0 && envelope.rejected.has(index)) continue
        if (into === undefined) {
          into = { key, tsUs: [], values: [], quality: null, allNumbers: true }
          all.set(nameOf(key), into)
        }
        add(into, tsUs[place] as number, values[place] as Value, quality?.[place] ?? 0)
      }
    }
  }
  return [...all.values()]
}

function add(into: Gathered, tsUs: number, value: Value, quality: number): void {
  if (quality !== 0) into.quality ??= new Array<number>(into.tsUs.length).fill(0)
  into.quality?.push(quality)
  into.tsUs.push(tsUs)
  into.values.push(value)
  into.allNumbers &&= typeof value === 'number'
}

function readingsOf({ tsUs, values, quality, allNumbers }: Gathered) {
  return { tsUs, values: allNumbers ? Float64Array.from(values as number[]) : values, quality }
}

/** A minute of a series, since 1970. */
interface SeriesMinute {
  readonly seriesId: number
  readonly minute: number
}

function minutesOfSegments(segments: readonly PlacedSegment[]): SeriesMinute[] {
  const minutes: SeriesMinute[] = []
  for (const { seriesId, segment } of segments) {
    let last = -1
    for (let index = 0; index < segment.n; index++) {
      const minute = Math.floor(timeOf(segment, index) / minuteUs)
      if (minute === last) continue
      minutes.push({ seriesId, minute })
      last = minute
    }
  }
  return minutes
}

/** Of windows that the rollups are made of. */
function minutesOfAggregates(stored: readonly SeriesAggregateRows[]): SeriesMinute[] {
  return stored.flatMap(({ seriesId, aggregates }) =>
    aggregates
      .filter(({ sizeUs, startUs }) => minuteUs % sizeUs === 0 && startUs % sizeUs === 0)
      .map(({ startUs }) => ({ seriesId, minute: Math.floor(startUs / minuteUs) })),
  )
}

async function markDirty(tx: PoolClient, minutes: readonly SeriesMinute[]): Promise<void> {
  if (minutes.length === 0) return
  await tx.query({
    name: 'mark-dirty',
    text: `insert into rollup_dirty (series_id, bucket)
           select series_id, 'epoch'::timestamptz + minute * interval '1 minute'
           from unnest($1::int[], $2::int[]) as touched (series_id, minute)`,
    values: [minutes.map(({ seriesId }) => seriesId), minutes.map(({ minute }) => minute)],
  })
}

/** Of reading `index`, microseconds. */
export function timeOf(segment: Pick<Segment, 't0Us' | 'tickUs' | 'dt'>, index: number): number {
  return segment.t0Us + (segment.dt === null ? index : (segment.dt[index] as number)) * segment.tickUs
}

/** One letter a batch and reason. */
async function writeRejected(tx: PoolClient, { envelope, batch }: JudgedBatch): Promise<void> {
  for (const [reason, indexes] of Map.groupBy(envelope.rejected.keys(), index => envelope.rejected.get(index))) {
    await writeDeadLetter(tx, {
      agentNo: envelope.agentNo,
      stage: 'ingest',
      reason: reason ?? '',
      epoch: batch.header.epoch,
      seq: batch.header.seq,
      readings: indexes.length,
      detail: {
        ruleVersion: envelope.ruleVersion,
        readings: indexes.slice(0, shownReadings).map(index => describe(batch, index)),
      },
      bytes: null,
    })
  }
}

function describe(batch: Batch, index: number): unknown {
  let first = 0
  for (const { series, tsUs, values, quality } of batch.columns) {
    const place = index - first
    first += tsUs.length
    if (place >= tsUs.length) continue
    const value = values[place]
    // JSON has no NaN and no infinity
    const shown = typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
    const text = typeof shown === 'string' ? shown.slice(0, 200) : shown
    return { index, ...series, tsUs: tsUs[place], value: text, quality: qualityNames[quality?.[place] ?? 0] }
  }
  for (const { series, sizeUs, hopUs, startUs, revision } of batch.aggregates) {
    const place = index - first
    first += startUs.length
    if (place >= startUs.length) continue
    return { index, ...series, startUs: startUs[place], sizeUs, hopUs, revision: revision[place] }
  }
  return { index }
}
