/**
 * Appending to Kafka so that an append that resolves is stored, whatever kafkajs does (docs/adr/0015).
 *
 * - One partition a send, and one send a partition under way: kafkajs loses records of a send over several partitions when a leader
 *   moves, and a retry must not overtake a later record of the same agent.
 * - Not idempotent: kafkajs gives a sequence number out twice after a time-out, and the broker then throws away a record as a repeat.
 *   A retry may store a record twice; consumers tell repeats by identity.
 * - `acks: -1`, and the answer must name this partition, without error, with an offset.
 * - What waits is bounded by bytes; above it `unavailable`.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Kafka, Producer, RecordMetadata } from 'kafkajs'
import { GroupCommit } from './group-commit.ts'
import { kafkaError } from './kafka-client.ts'
import { kafkajs } from './kafkajs.ts'
import { waitMs } from './wait.ts'

export interface AppenderOptions {
  /** Bytes waiting or under way, over all partitions. */
  readonly maxPendingBytes: number
  /** A send waits this long for more records. */
  readonly lingerMs: number
}

interface Appended {
  readonly key: string
  readonly bytes: Uint8Array
}

export interface AppendResult {
  readonly partition: number
  readonly offset: bigint
}

/** Below Kafka's own default for a request, before compression; a larger record goes alone. */
const groupBounds = { items: 512, bytes: 900_000 } as const
/** The brokers' own time for `acks: -1`. */
const ackTimeoutMs = 30_000
const closeWithinMs = 3000

export class KafkaAppender {
  private readonly producer: Producer
  private readonly options: AppenderOptions
  private readonly groups = new Map<string, GroupCommit<Appended, AppendResult>>()
  private pendingBytes = 0

  constructor(kafka: Kafka, options: AppenderOptions) {
    this.options = options
    this.producer = kafka.producer({
      allowAutoTopicCreation: false,
      idempotent: false,
      maxInFlightRequests: 5,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
  }

  async connect(): Promise<void> {
    await this.producer.connect()
  }

  async append(topic: string, partition: number, key: string, bytes: Uint8Array): Promise<AppendResult> {
    if (this.pendingBytes + bytes.length > this.options.maxPendingBytes) {
      throw new TributaryError(
        'unavailable',
        `${this.pendingBytes} bytes wait for Kafka, the bound is ${this.options.maxPendingBytes}`,
        { retryAfterS: 5, hint: 'Kafka is away, or slower than what comes in; kafka.max_pending is the bound' },
      )
    }
    this.pendingBytes += bytes.length
    try {
      return await this.group(topic, partition).add({ key, bytes }, bytes.length)
    } finally {
      this.pendingBytes -= bytes.length
    }
  }

  /** What is under way is waited for, but not for a broker that is away: whoever waits for it was answered before. */
  async close(): Promise<void> {
    const done = new AbortController()
    const idle = Promise.all([...this.groups.values()].map(group => group.idle()))
    await Promise.race([idle, waitMs(closeWithinMs, done.signal)])
    done.abort()
    await this.producer.disconnect()
  }

  private group(topic: string, partition: number): GroupCommit<Appended, AppendResult> {
    const name = `${topic}/${partition}`
    let group = this.groups.get(name)
    if (group === undefined) {
      const bounds = { ...groupBounds, lingerMs: this.options.lingerMs }
      group = new GroupCommit(items => this.send(topic, partition, items), bounds)
      this.groups.set(name, group)
    }
    return group
  }

  private async send(topic: string, partition: number, items: readonly Appended[]): Promise<AppendResult[]> {
    const messages = items.map(({ key, bytes }) => ({
      key,
      value: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      partition,
    }))
    const compression = kafkajs.CompressionTypes.ZSTD
    const answer = await this.producer
      .send({ topic, acks: -1, timeout: ackTimeoutMs, compression, messages })
      .catch(error => {
        throw kafkaError(`cannot append to ${topic}/${partition}`, error)
      })
    const first = baseOffset(answer, topic, partition)
    return items.map((_, index) => ({ partition, offset: first + BigInt(index) }))
  }
}

/** Where the first record stands. Throws `unavailable` unless the answer says that this partition took the records. */
export function baseOffset(answer: readonly RecordMetadata[], topic: string, partition: number): bigint {
  const [one] = answer
  const stored =
    answer.length === 1 && one?.topicName === topic && one.partition === partition && one.errorCode === 0
      ? BigInt(one.baseOffset ?? -1)
      : -1n
  if (stored >= 0n) return stored
  throw new TributaryError('unavailable', `${topic}/${partition} did not take the records: ${JSON.stringify(answer)}`)
}

/** murmur2 of the key, as every Kafka client has it. */
export function partitionOf(topic: string, key: string, partitions: number): number {
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionId,
    leader: 0,
    partitionErrorCode: 0,
    replicas: [],
    isr: [],
  }))
  return choosePartition({ topic, partitionMetadata, message: { key, value: null } })
}

const choosePartition = kafkajs.Partitioners.DefaultPartitioner()
