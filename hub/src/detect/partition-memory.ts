/**
 * The detectors of one log partition, in memory: what the records up to `lastOffset` made of the stored states.
 *
 * Feeding is deterministic: the same records in the same order give the same bits, whenever a snapshot was taken. Within a column
 * readings are fed in ascending event time; one behind its series' frontier is counted and left out. Good and uncertain finite
 * numbers are fed; bad quality, booleans, strings and what ingest rejected are not.
 */
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import { type AlertRule, advanceAlert, openedUs } from '@tributary/shared/detect/alert'
import { type DetectorSpec, streamName } from '@tributary/shared/detect/detector-spec'
import { feed } from '@tributary/shared/detect/feed'
import { readRecord, writeRecord } from '@tributary/shared/detect/record'
import * as slab from '@tributary/shared/detect/shard'
import { isTributaryError } from '@tributary/shared/errors'
import type { Envelope } from '../log/envelope.ts'
import type { AnomalyChange, Peak } from './anomaly-rows.ts'
import type { StateRow } from './detector-tables.ts'
import { feedOrder } from './feed-order.ts'

/** Cumulative since the hub's start; records that a rebuild takes in again are not counted again. */
export interface DetectCounters {
  /** Readings scored. */
  readings: number
  /** Behind their series' frontier: left out. */
  late: number
  /** Anomalies opened, escalated or opened again. */
  raised: number
  /** Series whose stored state could not be used: they learn anew. */
  restarted: number
  /** Records that a rebuild looked for and the log no longer had. */
  missing: number
}

export function zeroCounters(): DetectCounters {
  return { readings: 0, late: 0, raised: 0, restarted: 0, missing: 0 }
}

export class PartitionMemory {
  /** Newest record taken in; null before the first. */
  lastOffset: bigint | null = null
  /** Ids of the series met, by agent, device and metric. */
  readonly seriesIds = new Map<string, number>()
  /** Monotonic ms of the last snapshot, or of the rebuild. */
  snapshotAtMs: number
  /** A snapshot in a transaction of its own, under way or done. */
  saving: Promise<void> | null = null
  counters: DetectCounters
  /** Readings fed since the last snapshot. */
  fed = 0
  readonly #spec: DetectorSpec
  readonly #rule: AlertRule
  readonly #shard: slab.Shard
  /** Series id → slot, least recently fed first. */
  readonly #slots = new Map<number, number>()
  #dirty = new Set<number>()
  #incomplete = false

  constructor(spec: DetectorSpec, rule: AlertRule, counters: DetectCounters, nowMs: number) {
    this.snapshotAtMs = nowMs
    this.#spec = spec
    this.#rule = rule
    this.counters = counters
    this.#shard = slab.createShard(spec)
  }

  /** Series in memory. */
  get size(): number {
    return this.#slots.size
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0
  }

  has(seriesId: number): boolean {
    return this.#slots.has(seriesId)
  }

  /** Begin a series: from its stored state, or from nothing. */
  adopt(seriesId: number, state: Uint8Array | null): void {
    const slot = slab.allocate(this.#shard)
    this.#slots.set(seriesId, slot)
    if (state === null) return
    if (!this.#restore(slot, state)) this.counters.restarted++
    else if (this.#incomplete) slab.relearn(this.#shard, slot)
  }

  /** Records are missing: every state, in memory or adopted later, starts its soft warm-up again. */
  relearn(): void {
    this.#incomplete = true
    for (const slot of this.#slots.values()) slab.relearn(this.#shard, slot)
  }

  /** Feed one column of a batch; `firstIndex` is its first reading's index in the batch. Changes are gathered in `changes`. */
  feed(
    seriesId: number,
    column: SeriesColumns,
    firstIndex: number,
    { rejected }: Envelope,
    changes: Map<string, AnomalyChange>,
  ): void {
    const slot = this.#slots.get(seriesId)
    if (slot === undefined) throw new Error(`series ${seriesId} is fed before it is adopted`)
    const order = feedOrder(column, firstIndex, rejected)
    if (order.length === 0) return
    for (const place of order) {
      const tsUs = column.tsUs[place]!
      if (tsUs < slab.frontierUs(this.#shard, slot)) {
        slab.countLate(this.#shard, slot)
        this.counters.late++
      } else this.#feedOne(seriesId, slot, tsUs, Number(column.values[place]), changes)
    }
    this.#dirty.add(seriesId)
    this.#slots.delete(seriesId)
    this.#slots.set(seriesId, slot)
  }

  #feedOne(seriesId: number, slot: number, tsUs: number, value: number, changes: Map<string, AnomalyChange>): void {
    const finding = feed(this.#shard, slot, tsUs, value)
    this.fed++
    this.counters.readings++
    const transition = advanceAlert(this.#shard, slot, tsUs, finding, this.#rule)
    if (transition === null) return
    const opened = openedUs(this.#shard, slot)
    const key = `${seriesId}/${opened}`
    const change = changes.get(key) ?? {
      seriesId,
      detector: this.#spec.name,
      openedUs: opened,
      peak: null,
      closedUs: null,
    }
    changes.set(key, change)
    if (transition === 'raised') {
      this.counters.raised++
      change.peak = this.#peak(finding, value)
      change.closedUs = null
    } else change.closedUs = tsUs
  }

  #peak(finding: slab.Finding, value: number): Peak {
    const stream = this.#spec.streams[finding.stream]
    return {
      surprise: finding.alert,
      score: finding.score,
      severity: finding.alert >= this.#rule.critical ? 'critical' : 'warning',
      stream: stream ? streamName(stream) : '',
      value,
      expected: Number.isFinite(finding.expected) ? finding.expected : null,
      seenBefore: finding.seenBefore,
      learning: finding.learning,
    }
  }

  /** States of the series changed since the last snapshot; from now on they count as written. */
  takeDirty(): StateRow[] {
    const rows: StateRow[] = []
    for (const seriesId of this.#dirty) {
      const slot = this.#slots.get(seriesId)
      if (slot === undefined) continue
      const frontier = slab.frontierUs(this.#shard, slot)
      rows.push({
        seriesId,
        state: writeRecord(this.#shard, slot),
        frontierUs: Number.isFinite(frontier) ? frontier : null,
        readings: slab.readings(this.#shard, slot),
        late: slab.late(this.#shard, slot),
      })
    }
    this.#dirty = new Set()
    this.fed = 0
    return rows
  }

  /** Forget the least recently fed series beyond `most`; all must be in the snapshot of the running transaction. */
  evict(most: number): void {
    if (this.seriesIds.size > 2 * most) this.seriesIds.clear()
    for (const [seriesId, slot] of this.#slots) {
      if (this.#slots.size <= most) return
      this.#slots.delete(seriesId)
      slab.release(this.#shard, slot)
    }
  }

  #restore(slot: number, state: Uint8Array): boolean {
    try {
      return readRecord(this.#shard, slot, state)
    } catch (error) {
      if (isTributaryError(error, 'corrupt')) return false
      throw error
    }
  }
}
