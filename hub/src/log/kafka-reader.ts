/** Looking at single records, and at where a partition begins and ends: outside any group, so that nobody's position moves. */
import { fullJitterMs } from '@tributary/shared/retry'
import type { Admin, Kafka } from 'kafkajs'
import type { LogRecord } from './event-log.ts'
import { kafkaError } from './kafka-client.ts'
import { type FetchedRecord, type KafkaCluster, openCluster, readCommitted } from './kafkajs.ts'
import { waitMs } from './wait.ts'

export interface PartitionBounds {
  readonly partition: number
  /** The oldest offset there is. */
  readonly start: bigint
  /** The offset that the next append gets. */
  readonly end: bigint
}

/** The broker gives at least one record, however large. */
const fetchBytes = 64 * 1024
const tries = 5

export class KafkaReader {
  private readonly admin: Admin
  private readonly cluster: KafkaCluster
  private readonly closing = new AbortController()

  constructor(kafka: Kafka, admin: Admin) {
    this.admin = admin
    this.cluster = openCluster(kafka)
  }

  async connect(): Promise<void> {
    await this.cluster.connect()
  }

  async close(): Promise<void> {
    this.closing.abort()
    await this.cluster.disconnect()
  }

  async bounds(topic: string): Promise<readonly PartitionBounds[]> {
    try {
      const all = await this.admin.fetchTopicOffsets(topic)
      return all
        .map(({ partition, low, high }) => ({ partition, start: BigInt(low), end: BigInt(high) }))
        .sort((a, b) => a.partition - b.partition)
    } catch (error) {
      throw kafkaError(`cannot look at ${topic}`, error)
    }
  }

  /** The record at `offset`, or null when it is not there (any more, or yet). */
  async read(topic: string, partition: number, offset: bigint): Promise<LogRecord | null> {
    const records = await this.fetch(topic, partition, offset)
    const found = records.find(record => BigInt(record.offset) === offset && record.isControlRecord !== true)
    return found === undefined ? null : toLogRecord(partition, found)
  }

  /** The first offset at or above `offset` that holds a record; null when there is none yet. */
  async firstFrom(topic: string, partition: number, offset: bigint): Promise<bigint | null> {
    const records = await this.fetch(topic, partition, offset)
    const found = records.find(record => BigInt(record.offset) >= offset && record.isControlRecord !== true)
    return found === undefined ? null : BigInt(found.offset)
  }

  private async fetch(topic: string, partition: number, offset: bigint): Promise<readonly FetchedRecord[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.fetchOnce(topic, partition, offset)
      } catch (error) {
        if ((error as Error).name === 'KafkaJSOffsetOutOfRange') return []
        if (attempt + 1 >= tries || this.closing.signal.aborted)
          throw kafkaError(`cannot read ${topic}/${partition} at ${offset}`, error)
        await waitMs(50 + fullJitterMs({ baseMs: 200, capMs: 2000 }, attempt), this.closing.signal)
        await this.reconnect()
      }
    }
  }

  private async fetchOnce(topic: string, partition: number, offset: bigint): Promise<readonly FetchedRecord[]> {
    await this.cluster.addTargetTopic(topic)
    await this.cluster.refreshMetadataIfNecessary()
    const [nodeId] = Object.keys(this.cluster.findLeaderForPartitions(topic, [partition]))
    const broker = await this.cluster.findBroker({ nodeId: nodeId ?? '' })
    const { responses } = await broker.fetch({
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes: fetchBytes,
      isolationLevel: readCommitted,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: fetchBytes }] }],
    })
    return responses.flatMap(({ partitions }) => partitions.flatMap(({ messages }) => messages))
  }

  /** A leader that moved, a broker that is back. A failure shows at the next try. */
  private async reconnect(): Promise<void> {
    await this.cluster
      .connect()
      .then(() => this.cluster.refreshMetadata())
      .catch(() => undefined)
  }
}

export function toLogRecord(partition: number, { offset, key, value }: FetchedRecord): LogRecord {
  return { partition, offset: BigInt(offset), key: key?.toString() ?? '', bytes: value ?? Buffer.alloc(0) }
}
