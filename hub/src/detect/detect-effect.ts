/**
 * The detect consumer: feeds every accepted numeric reading to its series' detector and keeps the anomalies as rows.
 *
 * Anomalies are written in the transaction that moves the consumer's position. Detector states are in memory; they are written every
 * 30 s or 100,000 readings, in such a transaction too. Between two snapshots the checkpoint row lists the records that the memory
 * holds and the stored states do not. From that follows:
 * - Restart and take-over: stored states + those records, read again from the log, give the same memory bit for bit. Records that
 *   the consumer left out as repeats are not listed, so they are left out again.
 * - Every `apply` first compares its memory with the checkpoint row. After a rollback, a lost partition or a rival's progress they
 *   differ, and the memory is rebuilt: correctness hangs on no hook being called.
 * - A replay of the log computes the same anomaly ids, and upserts.
 * Where the log no longer has a listed record, that is logged, and the partition's detectors go on from their stored state with
 * the soft warm-up begun again.
 */
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { alertRule } from '@tributary/shared/detect/alert'
import type { DetectorSpec } from '@tributary/shared/detect/detector-spec'
import { lite } from '@tributary/shared/detect/lite'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Pool, PoolClient } from 'pg'
import type { Logger } from 'pino'
import type { Database } from '../database/database.ts'
import { resolveSeriesIds, type SeriesKey } from '../database/series-ids.ts'
import type { Effect, JudgedBatch } from '../log/effect.ts'
import { decodeEnvelope } from '../log/envelope.ts'
import { type EventLog, topics } from '../log/event-log.ts'
import { type AnomalyChange, writeAnomalies } from './anomaly-rows.ts'
import {
  addPending,
  type Checkpoint,
  type OffsetRanges,
  readCheckpoint,
  readStates,
  writeSnapshot,
} from './detector-tables.ts'
import { type DetectCounters, PartitionMemory, zeroCounters } from './partition-memory.ts'

export interface DetectOptions {
  readonly database: Database
  /** Records after the last snapshot are read again from here. */
  readonly log: Pick<EventLog, 'read'>
  readonly logger: Logger
  /** Default `lite`. */
  readonly detector?: DetectorSpec
  /** Default 30,000 ms. */
  readonly snapshotEveryMs?: number
  /** Default 100,000, counted by partition. */
  readonly snapshotEveryReadings?: number
  /** Series kept in memory by partition, 1.9 KB each; the least recently fed leave at a snapshot. Default 50,000. */
  readonly maxSeries?: number
  /** Monotonic milliseconds: when snapshots are due, nothing else. */
  readonly nowMs?: () => number
}

/** The detect consumer, started. */
export function detectEffect(options: DetectOptions): DetectEffect {
  const effect = new DetectEffect(options)
  effect.start()
  return effect
}

/** The consumer group `detect`. `close` after the log's `consume` has ended: it leaves a snapshot, so that the next start is quick. */
export class DetectEffect implements Effect, AsyncDisposable {
  readonly group = 'detect'
  readonly counters: DetectCounters = zeroCounters()
  readonly #options: DetectOptions
  readonly #detector: DetectorSpec
  readonly #snapshotEveryMs: number
  readonly #snapshotEveryReadings: number
  readonly #maxSeries: number
  readonly #nowMs: () => number
  readonly #partitions = new Map<number, PartitionMemory>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: DetectOptions) {
    this.#options = options
    this.#detector = options.detector ?? lite
    this.#snapshotEveryMs = options.snapshotEveryMs ?? 30_000
    this.#snapshotEveryReadings = options.snapshotEveryReadings ?? 100_000
    this.#maxSeries = options.maxSeries ?? 50_000
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** A partition that went quiet gets its snapshot too, before the log drops the records it would be rebuilt from. */
  start(): void {
    this.#timer ??= setInterval(() => void this.#snapshotQuiet(), this.#snapshotEveryMs).unref()
  }

  async assigned(partition: number): Promise<void> {
    const { pool } = this.#options.database
    await this.#rebuild(pool, partition, await readCheckpoint(pool, partition))
  }

  async apply(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
    for (const [partition, group] of Map.groupBy(batches, batch => batch.partition)) {
      try {
        await this.#applyPartition(tx, partition, group)
      } catch (error) {
        this.#partitions.delete(partition)
        throw error
      }
    }
  }

  async rolledBack(partition: number): Promise<void> {
    this.#partitions.delete(partition)
  }

  /** Write what is not written yet and stop the timer. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const [partition, memory] of this.#partitions) await this.#snapshot(partition, memory)
    this.#partitions.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #applyPartition(tx: PoolClient, partition: number, batches: readonly JudgedBatch[]): Promise<void> {
    await this.#partitions.get(partition)?.saving?.catch(() => undefined)
    const checkpoint = await readCheckpoint(tx, partition, 'lock')
    let memory = this.#partitions.get(partition)
    if (memory === undefined || memory.lastOffset !== (checkpoint?.lastOffset ?? null)) {
      memory = await this.#rebuild(tx, partition, checkpoint)
    }
    const changes = new Map<string, AnomalyChange>()
    const last = batches.at(-1)!
    const progress = { lastOffset: last.offset, lastDigest: last.envelope.digest }
    // A log that was made anew counts from 0 again; what is pending must lie in one log.
    const anew = memory.lastOffset !== null && batches[0]!.offset <= memory.lastOffset
    await this.#take(tx, memory, batches, changes)
    await writeAnomalies(tx, changes.values())
    if (anew || this.#isDue(memory)) {
      await writeSnapshot(tx, partition, this.#detector.name, progress, memory.takeDirty())
      memory.evict(this.#maxSeries)
      memory.snapshotAtMs = this.#nowMs()
    } else
      await addPending(
        tx,
        partition,
        progress,
        batches.map(batch => batch.offset),
      )
  }

  #isDue(memory: PartitionMemory): boolean {
    return (
      memory.fed >= this.#snapshotEveryReadings ||
      memory.size > 1.25 * this.#maxSeries ||
      this.#nowMs() - memory.snapshotAtMs >= this.#snapshotEveryMs
    )
  }

  /** Bring the series into memory, then feed everything at once: between two awaits memory and `lastOffset` agree. */
  async #take(
    db: Pool | PoolClient,
    memory: PartitionMemory,
    batches: readonly JudgedBatch[],
    changes: Map<string, AnomalyChange>,
  ): Promise<void> {
    const columns = batches.flatMap(numericColumns)
    const seriesIds = await identify(db, memory, columns)
    await this.#adopt(db, memory, seriesIds)
    columns.forEach(({ column, firstIndex, batch }, i) => {
      memory.feed(seriesIds[i]!, column, firstIndex, batch.envelope, changes)
    })
    memory.lastOffset = batches.at(-1)!.offset
  }

  async #adopt(db: Pool | PoolClient, memory: PartitionMemory, seriesIds: readonly number[]): Promise<void> {
    const missing = [...new Set(seriesIds)].filter(id => !memory.has(id))
    if (missing.length === 0) return
    const stored = await readStates(db, this.#detector.name, missing)
    const states = new Map(stored.map(row => [row.seriesId, row.state]))
    for (const id of missing) memory.adopt(id, states.get(id) ?? null)
  }

  /** Memory as of the checkpoint: an empty one, fed the pending records. */
  async #rebuild(db: Pool | PoolClient, partition: number, checkpoint: Checkpoint | null): Promise<PartitionMemory> {
    const memory = new PartitionMemory(this.#detector, alertRule, zeroCounters(), this.#nowMs())
    const pending = checkpoint === null ? [] : chunksOf(checkpoint.pending)
    const sameLog = pending.length === 0 || (await this.#isSameLog(partition, checkpoint))
    for (const offsets of pending) {
      const records = sameLog ? await Promise.all(offsets.map(offset => this.#reread(partition, offset))) : []
      const found = records.filter(record => record !== null)
      this.#miss(memory, partition, offsets.length - found.length)
      if (found.length > 0) await this.#take(db, memory, found, new Map())
    }
    this.counters.restarted += memory.counters.restarted
    memory.counters = this.counters
    memory.lastOffset = checkpoint?.lastOffset ?? null
    this.#partitions.set(partition, memory)
    return memory
  }

  /** Another log under the same name has other records at the same offsets. */
  async #isSameLog(partition: number, checkpoint: Checkpoint | null): Promise<boolean> {
    if (checkpoint === null) return false
    const last = await this.#reread(partition, checkpoint.lastOffset)
    return last !== null && Buffer.from(checkpoint.lastDigest).equals(last.envelope.digest)
  }

  async #reread(partition: number, offset: bigint): Promise<JudgedBatch | null> {
    const record = await this.#options.log.read(topics.batches, partition, offset)
    if (record === null) return null
    try {
      const envelope = decodeEnvelope(record.bytes)
      return { partition, offset, envelope, batch: decodeBatch(envelope.batch) }
    } catch (error) {
      if (!(error instanceof TributaryError)) throw error
      this.#options.logger.warn(
        { partition, offset: `${offset}`, error: error.message },
        'log record cannot be read again',
      )
      return null
    }
  }

  #miss(memory: PartitionMemory, partition: number, records: number): void {
    if (records === 0) return
    this.counters.missing += records
    memory.relearn()
    this.#options.logger.warn(
      { partition, records },
      'the log no longer holds records that the detectors had seen after their last snapshot: they learn again from the stored states',
    )
  }

  async #snapshotQuiet(): Promise<void> {
    for (const [partition, memory] of this.#partitions) {
      if (this.#nowMs() - memory.snapshotAtMs < this.#snapshotEveryMs) continue
      try {
        await this.#snapshot(partition, memory)
      } catch (error) {
        this.#options.logger.warn(
          { partition, error: messageOf(error) },
          'detector snapshot failed; the next round tries again',
        )
      }
    }
  }

  /** A snapshot in a transaction of its own. Leaves it be when the partition is in use, or no longer this member's. */
  async #snapshot(partition: number, memory: PartitionMemory): Promise<void> {
    if (!memory.isDirty) return
    memory.saving = this.#options.database.transaction(async tx => {
      const checkpoint = await readCheckpoint(tx, partition, 'skip locked')
      if (checkpoint === null || checkpoint.lastOffset !== memory.lastOffset) return
      try {
        await writeSnapshot(tx, partition, this.#detector.name, checkpoint, memory.takeDirty())
        memory.snapshotAtMs = this.#nowMs()
      } catch (error) {
        this.#partitions.delete(partition)
        throw error
      }
    })
    await memory.saving
  }
}

/** Records read again at a time. */
const recordsAChunk = 64n

function chunksOf(ranges: OffsetRanges): bigint[][] {
  const chunks: bigint[][] = []
  for (const [from, to] of ranges) {
    for (let start = from; start < to; start += recordsAChunk) {
      const length = to - start < recordsAChunk ? to - start : recordsAChunk
      chunks.push(Array.from({ length: Number(length) }, (_, i) => start + BigInt(i)))
    }
  }
  return chunks
}

interface PlacedColumn {
  readonly batch: JudgedBatch
  readonly column: SeriesColumns
  /** Index in the batch of the column's first reading. */
  readonly firstIndex: number
  readonly key: SeriesKey
}

/** The columns of a batch that hold numbers. */
function numericColumns(batch: JudgedBatch): PlacedColumn[] {
  const placed: PlacedColumn[] = []
  let firstIndex = 0
  for (const column of batch.batch.columns) {
    const { values, series } = column
    if (values instanceof Float64Array || values.some(value => typeof value === 'number')) {
      placed.push({ batch, column, firstIndex, key: { agentNo: batch.envelope.agentNo, ...series } })
    }
    firstIndex += values.length
  }
  return placed
}

/** The series of each column; those not met before are looked up, or made. */
async function identify(
  db: Pool | PoolClient,
  memory: PartitionMemory,
  columns: readonly PlacedColumn[],
): Promise<number[]> {
  const unknown = columns.map(({ key }) => key).filter(key => !memory.seriesIds.has(keyText(key)))
  const found = await resolveSeriesIds(db, unknown)
  unknown.forEach((key, i) => {
    memory.seriesIds.set(keyText(key), found[i]!)
  })
  return columns.map(({ key }) => memory.seriesIds.get(keyText(key))!)
}

function keyText({ agentNo, device, metric }: SeriesKey): string {
  return `${agentNo}\0${device}\0${metric}`
}
