/**
 * The event log as Kafka topics, for clusters.
 *
 * - An append resolves when every in-sync copy has it (kafka-appender.ts); topics that do not promise that are refused (kafka-topics.ts).
 * - Partitions of a group are shared out by Kafka; the position in each is the consumer's own (kafka-member.ts).
 * - A record stays for `retainMs`, whoever has read it: a consumer that is away for longer stops loudly.
 *
 * kafkajs 2.2.4 is unmaintained and loses data in its own defaults: docs/adr/0015 says how, and which test shows it.
 */
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { fullJitterMs } from '@tributary/shared/retry'
import type { Admin, Kafka } from 'kafkajs'
import type { ConsumeOptions, EventLog, LogConsumer, LogLag, LogRecord, Topic } from './event-log.ts'
import { topics } from './event-log.ts'
import { type AppendResult, KafkaAppender, partitionOf } from './kafka-appender.ts'
import { type KafkaClientOptions, kafkaClient, kafkaError } from './kafka-client.ts'
import { liveAsMember, type MemberTimes } from './kafka-member.ts'
import { KafkaReader } from './kafka-reader.ts'
import { ensureTopic, type TopicSettings } from './kafka-topics.ts'
import { waitMs } from './wait.ts'

export interface KafkaLogOptions extends KafkaClientOptions, TopicSettings {
  /** Before the names of topics and groups: `tributary.` makes `tributary.batches`, `tributary.store`. */
  readonly prefix: string
  /** `append` refuses above this many bytes waiting for Kafka. Default 64 MiB. */
  readonly maxPendingBytes?: number
  /** A send waits this long for more records. Default 5. */
  readonly lingerMs?: number
  /** Default: session 30 s, heartbeat 3 s, stall 30 s. */
  readonly times?: MemberTimes
  /** What goes wrong and is tried again. */
  readonly onError?: (error: unknown) => void
}

/** The same warning is passed on once in this time: a broker that is away makes hundreds a minute. */
const warnEveryMs = 30_000

const lagWithinMs = 3000

const defaultTimes: MemberTimes = { sessionMs: 30_000, heartbeatMs: 3000, stallMs: 30_000 }

export class KafkaLog implements EventLog {
  private readonly kafka: Kafka
  private readonly options: KafkaLogOptions
  private readonly admin: Admin
  private readonly reader: KafkaReader
  private readonly appender: KafkaAppender
  /** Of each topic, as found at the start. */
  private readonly partitions = new Map<Topic, number>()
  private readonly warnedAt = new Map<string, number>()
  private readonly closing = new AbortController()
  private readonly consuming = new Set<Promise<void>>()

  private constructor(options: KafkaLogOptions) {
    this.options = options
    this.kafka = kafkaClient({ ...options, onWarning: message => this.noteWarning(message) })
    this.admin = this.kafka.admin()
    this.reader = new KafkaReader(this.kafka, this.admin)
    const { maxPendingBytes = 64 * 1024 * 1024, lingerMs = 5 } = options
    this.appender = new KafkaAppender(this.kafka, { maxPendingBytes, lingerMs })
  }

  /** Make the topics or check them. Throws `config` for weak ones, `unavailable` when no broker answers. */
  static async open(options: KafkaLogOptions): Promise<KafkaLog> {
    const log = new KafkaLog(options)
    try {
      await log.connect()
      return log
    } catch (error) {
      await log.close()
      throw kafkaError(`Kafka at ${options.brokers.join(', ')}`, error)
    }
  }

  async append(topic: Topic, key: string, bytes: Uint8Array): Promise<AppendResult> {
    if (this.closing.signal.aborted) throw new TributaryError('unavailable', 'the event log is closed')
    const name = this.topicName(topic)
    const partition = partitionOf(name, key, this.partitions.get(topic) ?? this.options.partitions)
    return await this.appender.append(name, partition, key, bytes)
  }

  async consume(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void> {
    const signal = AbortSignal.any([options.signal, this.closing.signal])
    const run = this.consumeUntil(topic, consumer, { ...options, signal })
    const settled = run.catch(() => undefined)
    this.consuming.add(settled)
    try {
      await run
    } finally {
      this.consuming.delete(settled)
    }
  }

  async read(topic: Topic, partition: number, offset: bigint): Promise<LogRecord | null> {
    return await this.reader.read(this.topicName(topic), partition, offset)
  }

  /** Throws `unavailable` soon when Kafka does not answer: who asks is a scrape. */
  async lag(topic: Topic, group: string): Promise<readonly LogLag[]> {
    const answered = new AbortController()
    const late = waitMs(lagWithinMs, answered.signal).then(() => {
      throw new TributaryError('unavailable', `Kafka did not tell the lag of ${group} within ${lagWithinMs} ms`)
    })
    return await Promise.race([this.lagOf(topic, group), late]).finally(() => answered.abort())
  }

  /** Stop consuming, finish what is being appended, leave. */
  async close(): Promise<void> {
    this.closing.abort()
    await Promise.all(this.consuming)
    await this.appender.close()
    await this.reader.close()
    await this.admin.disconnect()
  }

  private async lagOf(topic: Topic, group: string): Promise<readonly LogLag[]> {
    const name = this.topicName(topic)
    const bounds = await this.reader.bounds(name)
    const [committed] = await this.admin.fetchOffsets({ groupId: this.groupId(group), topics: [name] }).catch(error => {
      throw kafkaError(`cannot look at group ${group}`, error)
    })
    return bounds.map(({ partition, start, end }) => {
      const next = BigInt(committed?.partitions.find(one => one.partition === partition)?.offset ?? -1)
      // A group that never came on stands at the start.
      return { partition, nextOffset: next < start ? start : next, endOffset: end }
    })
  }

  private async connect(): Promise<void> {
    await this.admin.connect()
    for (const topic of Object.values(topics))
      this.partitions.set(topic, await ensureTopic(this.admin, this.topicName(topic), this.options))
    await this.appender.connect()
    await this.reader.connect()
  }

  /** Be a member of the group until the signal aborts; after a failure, become one again. */
  private async consumeUntil(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void> {
    const { kafka, reader } = this
    const member = {
      kafka,
      reader,
      topic: this.topicName(topic),
      groupId: this.groupId(options.group),
      consumer,
      maxRecords: options.maxRecords,
      times: this.options.times ?? defaultTimes,
      onError: (error: unknown) => this.noteError(error),
    }
    for (let attempt = 0; !options.signal.aborted; attempt++) {
      const bornAt = performance.now()
      try {
        await liveAsMember(member, options.signal)
      } catch (error) {
        if (isTributaryError(error) && !error.retryable) throw error
        this.noteError(error)
      }
      if (performance.now() - bornAt > member.times.sessionMs) attempt = 0
      await waitMs(50 + fullJitterMs({ baseMs: 200, capMs: 5000 }, attempt), options.signal)
    }
  }

  private topicName(topic: Topic): string {
    return `${this.options.prefix}${topic.slice('tributary.'.length)}`
  }

  private groupId(group: string): string {
    return `${this.options.prefix}${group}`
  }

  private noteError(error: unknown): void {
    if (!this.closing.signal.aborted) this.options.onError?.(error)
  }

  private noteWarning(message: string): void {
    const now = performance.now()
    if (now - (this.warnedAt.get(message) ?? Number.NEGATIVE_INFINITY) < warnEveryMs) return
    if (this.warnedAt.size > 100) this.warnedAt.clear()
    this.warnedAt.set(message, now)
    this.options.onWarning?.(message)
  }
}
