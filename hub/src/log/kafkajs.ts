/**
 * kafkajs 2.2.4 as it is used here: adapted once, for the whole process, without a changed file in node_modules.
 *
 * - zstd through node:zlib; kafkajs itself brings gzip alone.
 * - Its request queue arms a timer at a negative delay after every answer, for ever: some 900 wake-ups a second and connection, and a
 *   warning of Node's. Armed only while something waits, or the broker throttles, it costs nothing when idle (kafkajs #1704, #1751).
 * - `openCluster`: kafkajs offers no reading of one record without joining a group; its own cluster does (FETCH of one partition).
 *
 * The version is pinned exactly: what is reached into here has no promise of staying as it is.
 */
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import kafkajs, { type Kafka } from 'kafkajs'

/** What of a record is read. `batchContext` is there, though kafkajs' types do not know it. */
export interface FetchedRecord {
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly isControlRecord?: boolean
  readonly batchContext: { readonly partitionLeaderEpoch: number }
}

/** The part of kafkajs' internal cluster that is used. */
export interface KafkaCluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadata(): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  /** Node id → partitions. */
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>
  findBroker(wanted: { nodeId: string }): Promise<KafkaBroker>
}

export interface KafkaBroker {
  fetch(request: {
    readonly maxWaitTime: number
    readonly minBytes: number
    readonly maxBytes: number
    readonly isolationLevel: number
    readonly topics: readonly {
      readonly topic: string
      readonly partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[]
    }[]
  }): Promise<{ responses: { partitions: { messages: FetchedRecord[] }[] }[] }>
}

const zstdLevel = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => promisify(zstdCompress)(buffer, zstdLevel),
  decompress: (buffer: Buffer) => promisify(zstdDecompress)(buffer),
})

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
}

const requestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
  prototype: { scheduleCheckPendingRequests(this: RequestQueue): void }
}
const schedule = requestQueue.prototype.scheduleCheckPendingRequests
requestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
  if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
}

/** A cluster of its own, with the client's brokers, TLS and login. */
export function openCluster(kafka: Kafka): KafkaCluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  const create = (kafka as unknown as Record<symbol, (options: object) => KafkaCluster>)[symbol!]!
  return create({ allowAutoTopicCreation: false, metadataMaxAge: 300_000, isolationLevel: readCommitted })
}

/** Isolation level of FETCH. */
export const readCommitted = 1

export { kafkajs }
