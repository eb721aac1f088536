/** Batches and log records for tests of the consumers. */
import {
  type Batch,
  type BatchHeader,
  type LossRange,
  noCounters,
  type SeriesAggregates,
  type SeriesColumns,
} from '@tributary/shared/batch/batch'
import { batchDigest, encodeBatch } from '@tributary/shared/batch/codec'
import { aggregateBytes, type TimedValue } from '@tributary/shared/batch/test-aggregates'
import type { RejectReason } from '@tributary/shared/protocol'
import type { Value } from '@tributary/shared/reading'
import type { Database } from '../database/database.ts'
import { encodeEnvelope } from './envelope.ts'
import { type EventLog, topics } from './event-log.ts'

export interface TestBatch {
  readonly agentNo: number
  readonly seq: number
  readonly epoch?: number
  readonly columns?: readonly SeriesColumns[]
  /** Without `columns` the batch then holds no readings. */
  readonly aggregates?: readonly SeriesAggregates[]
  readonly losses?: readonly LossRange[]
  /** What else to put into the header. */
  readonly header?: Partial<BatchHeader>
  readonly rejected?: ReadonlyMap<number, RejectReason>
}

/** Agents 1 … count. */
export async function makeAgents(database: Database, count = 1): Promise<void> {
  await database.pool.query(
    `insert into agent (agent_id, site, name) select 'ag-' || n, 'site', 'agent ' || n from generate_series(1, $1::int) n`,
    [count],
  )
}

/** A column of one series; values that are all numbers become a Float64Array, as the codec gives them. */
export function column(
  metric: string,
  tsUs: readonly number[],
  values: readonly Value[],
  quality: readonly number[] | null = null,
): SeriesColumns {
  return {
    series: { device: 'pump', metric, unit: '' },
    tsUs: Float64Array.from(tsUs),
    values: values.every(value => typeof value === 'number') ? Float64Array.from(values) : [...values],
    quality: quality === null ? null : Uint8Array.from(quality),
  }
}

export function makeBatch({
  agentNo,
  seq,
  epoch = 1,
  aggregates = [],
  columns = aggregates.length > 0 ? [] : [column('temp', [1_700_000_000_000_000 + seq * 1_000_000], [seq])],
  losses = [],
  header,
}: TestBatch): Batch {
  return {
    header: {
      agentId: `ag-${agentNo}`,
      epoch,
      seq,
      bootId: '7b4c2f5e-0d0a-4a55-9c43-0c2c94cf0a11',
      monotonicUs: seq,
      wallUs: 1_700_000_000_000_000 + seq,
      counters: { ...noCounters, accepted: seq, stored: seq },
      losses,
      recallsDone: [],
      ...header,
    },
    columns,
    aggregates,
  }
}

/** The log record, as ingest writes it. */
export function makeRecord(batch: TestBatch): Uint8Array {
  const bytes = encodeBatch(makeBatch(batch))
  return encodeEnvelope({
    receivedAtMs: 1_700_000_000_000,
    agentNo: batch.agentNo,
    lane: 'live',
    floor: 1,
    ruleVersion: 1,
    rejected: batch.rejected ?? new Map(),
    digest: batchDigest(bytes),
    batch: bytes,
  })
}

export async function appendBatch(log: EventLog, batch: TestBatch): Promise<{ partition: number; offset: bigint }> {
  return await log.append(topics.batches, `ag-${batch.agentNo}`, makeRecord(batch))
}

/** One window, with the readings that it is of. */
export interface TestWindow {
  readonly startUs: number
  readonly revision?: number
  readonly readings: readonly TimedValue[]
}

/** Aggregates of one metric of the pump, in windows that do not overlap unless there is a hop. */
export function windows(
  metric: string,
  sizeUs: number,
  all: readonly TestWindow[],
  { hopUs = sizeUs, buckets = 0 }: { readonly hopUs?: number; readonly buckets?: number } = {},
): SeriesAggregates {
  return {
    series: { device: 'pump', metric, unit: '' },
    sizeUs,
    hopUs,
    startUs: Float64Array.from(all, one => one.startUs),
    revision: Uint32Array.from(all, one => one.revision ?? 0),
    data: all.map(one => aggregateBytes(one.readings, buckets)),
  }
}
