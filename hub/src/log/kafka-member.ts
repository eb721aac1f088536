/**
 * One life of a group member: joins, delivers, ends by a failure or by the signal. Who lives on is kafka-log.ts.
 *
 * The position is the consumer's (in its database), never Kafka's: at every assignment all partitions are paused, each is asked where
 * to go on (which reads the last record again), sought, and resumed. Offsets are committed for other people's lag displays alone.
 *
 * Modes of a partition: assigning → owned → (a rejection, records of another leader's time, a jump of kafkajs) assigning …
 *
 * What kafkajs does wrong is caught here:
 * - Fetched records must follow on: where they do not, the log itself is asked what stands there. Below: kafkajs was reset.
 *   Above: the log was cut (the consumer is told), or has a hole (accepted), or kafkajs jumped (sought again).
 * - A higher leader epoch means that another broker, or one that lost its memory, leads: the position is proved again first.
 * - It sends heartbeats between batches only: here a timer does, as long as a delivery takes.
 * - It may stop fetching without a word: records that wait for `stallMs` end this life.
 * - It gives up for good after some failures: every crash ends this life.
 */
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { fullJitterMs } from '@tributary/shared/retry'
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs'
import type { LogConsumer } from './event-log.ts'
import { kafkaError } from './kafka-client.ts'
import { type KafkaReader, toLogRecord } from './kafka-reader.ts'
import type { FetchedRecord } from './kafkajs.ts'
import { waitMs } from './wait.ts'

export interface MemberTimes {
  /** A member that was not heard of for this long loses its partitions. */
  readonly sessionMs: number
  readonly heartbeatMs: number
  /** Records that wait this long while nothing is delivered: kafkajs is stuck. */
  readonly stallMs: number
}

export interface MemberOptions {
  readonly kafka: Kafka
  readonly reader: KafkaReader
  readonly topic: string
  readonly groupId: string
  readonly consumer: LogConsumer
  readonly maxRecords: number
  readonly times: MemberTimes
  /** What goes wrong and is tried again. */
  readonly onError: (error: unknown) => void
}

interface Owned {
  next: bigint
  /** Of the records delivered last; null before the first. */
  epoch: number | null
  /** When it last came on, `performance.now()`. */
  movedAt: number
}

/** A stop that takes longer leaves kafkajs behind: it delivers nothing any more. */
const disconnectWithinMs = 4000

/** Resolves when the signal aborts. Rejects with what a person must look at (not retryable), or with why a new life is due. */
export async function liveAsMember(options: MemberOptions, signal: AbortSignal): Promise<void> {
  await new KafkaMember(options, signal).live()
}

class KafkaMember {
  private readonly options: MemberOptions
  private readonly consumer: Consumer
  private readonly partitions = new Map<number, Owned>()
  private readonly failures = new Map<number, number>()
  /** The last assignment of each partition under way: one after the other. */
  private readonly assigning = new Map<number, Promise<void>>()
  private readonly delivering = new Set<Promise<void>>()
  private readonly over = new AbortController()
  private readonly ended: AbortSignal
  private failure: unknown
  private generation = 0

  constructor(options: MemberOptions, signal: AbortSignal) {
    this.options = options
    this.ended = AbortSignal.any([signal, this.over.signal])
    this.consumer = options.kafka.consumer({
      groupId: options.groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: options.times.sessionMs,
      heartbeatInterval: options.times.heartbeatMs,
      maxBytesPerPartition: 1024 * 1024,
      maxWaitTimeInMs: 250,
      // Who starts again is this file's caller, with a new consumer.
      retry: { retries: 8, restartOnFailure: async () => false },
    })
  }

  async live(): Promise<void> {
    const { consumer } = this
    const watchdog = setInterval(() => void this.watch(), this.options.times.stallMs / 4)
    try {
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
        this.joined(payload.memberAssignment[this.options.topic] ?? []),
      )
      consumer.on(consumer.events.CRASH, ({ payload }) =>
        this.fail(kafkaError(`group ${this.options.groupId} broke off`, payload.error)),
      )
      await consumer.connect()
      await consumer.subscribe({ topics: [this.options.topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 4,
        eachBatch: payload => this.eachBatch(payload),
      })
      await aborted(this.ended)
    } catch (error) {
      this.fail(kafkaError(`group ${this.options.groupId} cannot be joined`, error))
    } finally {
      clearInterval(watchdog)
      this.over.abort()
      await Promise.all([...this.delivering, ...this.assigning.values()])
      await this.leave()
    }
    if (this.failure !== undefined) throw this.failure
  }

  private fail(error: unknown): void {
    if (this.ended.aborted) return
    this.failure = error
    this.over.abort()
  }

  private async leave(): Promise<void> {
    const late = new AbortController()
    await Promise.race([
      this.consumer.disconnect().catch(error => this.options.onError(error)),
      waitMs(disconnectWithinMs, late.signal),
    ])
    late.abort()
  }

  /** kafkajs calls it before it fetches, while nothing is being delivered. */
  private joined(assigned: readonly number[]): void {
    this.generation++
    this.partitions.clear()
    this.failures.clear()
    for (const partition of assigned) this.assign(partition, 0)
  }

  /** Deliver nothing of this partition until the consumer has named its position. */
  private assign(partition: number, delayMs: number): void {
    const { generation } = this
    this.partitions.delete(partition)
    this.consumer.pause([{ topic: this.options.topic, partitions: [partition] }])
    const before = this.assigning.get(partition) ?? Promise.resolve()
    this.assigning.set(
      partition,
      before.then(() => this.own(partition, generation, delayMs)),
    )
  }

  private async own(partition: number, generation: number, delayMs: number): Promise<void> {
    const { topic, onError } = this.options
    const current = () => !this.ended.aborted && generation === this.generation
    for (let waitFor = delayMs; ; waitFor = this.backoffMs(partition)) {
      await waitMs(waitFor, this.ended)
      if (!current()) return
      try {
        const next = await this.position(partition)
        if (!current()) return
        this.partitions.set(partition, { next, epoch: null, movedAt: performance.now() })
        this.consumer.seek({ topic, partition, offset: String(next) })
        this.consumer.resume([{ topic, partitions: [partition] }])
        return
      } catch (error) {
        if (isTributaryError(error) && !error.retryable) return this.fail(error)
        onError(error)
      }
    }
  }

  /** Where the consumer wants to go on, as far as the log reaches. */
  private async position(partition: number): Promise<bigint> {
    const { consumer, reader, topic } = this.options
    const wanted = await consumer.assigned(partition)
    const bounds = (await reader.bounds(topic)).find(one => one.partition === partition)
    if (bounds === undefined || wanted >= bounds.start) return wanted
    return await consumer.truncated(partition, wanted, bounds.start)
  }

  private backoffMs(partition: number): number {
    const failures = this.failures.get(partition) ?? 0
    this.failures.set(partition, failures + 1)
    return 20 + fullJitterMs({ baseMs: 100, capMs: 10_000 }, failures)
  }

  private async eachBatch(payload: EachBatchPayload): Promise<void> {
    const { partition } = payload.batch
    const owned = this.partitions.get(partition)
    if (owned === undefined || payload.batch.messages.length === 0 || this.ended.aborted) return
    const heart = startHeart(payload.heartbeat, this.options.times.heartbeatMs)
    const delivery = this.deliver(payload, owned, heart)
    const settled = delivery.catch(() => undefined)
    this.delivering.add(settled)
    try {
      await delivery
    } finally {
      heart.stop()
      this.delivering.delete(settled)
    }
    heart.check()
  }

  /** All of it in parts of `maxRecords`, as long as the partition stays ours. */
  private async deliver(payload: EachBatchPayload, owned: Owned, heart: Heart): Promise<void> {
    const { topic, maxRecords } = this.options
    const { batch } = payload
    const fetched = batch.messages as unknown as readonly FetchedRecord[]
    if (!(await this.followsOn(batch.partition, owned, BigInt(fetched[0]!.offset)))) return
    for (const part of parts(fetched, maxRecords)) {
      const isOurs = this.partitions.get(batch.partition) === owned
      if (!isOurs || this.ended.aborted || !payload.isRunning() || payload.isStale() || heart.missed) return
      const { partitionLeaderEpoch: epoch } = part[0]!.batchContext
      if (owned.epoch !== null && epoch !== owned.epoch) return this.assign(batch.partition, 0)
      if (!(await this.hand(batch.partition, part))) return
      const last = part.at(-1)!
      owned.next = BigInt(last.offset) + 1n
      owned.epoch = epoch
      owned.movedAt = performance.now()
      payload.resolveOffset(last.offset)
    }
    const offsets = [{ topic, partitions: [{ partition: batch.partition, offset: String(owned.next) }] }]
    await payload.commitOffsetsIfNecessary({ topics: offsets })
  }

  /** False when it was rejected: it comes again, after a pause. */
  private async hand(partition: number, records: readonly FetchedRecord[]): Promise<boolean> {
    try {
      await this.options.consumer.handle(
        partition,
        records.map(record => toLogRecord(partition, record)),
      )
      this.failures.delete(partition)
      return true
    } catch (error) {
      if (!this.ended.aborted) this.options.onError(error)
      this.assign(partition, this.backoffMs(partition))
      return false
    }
  }

  /** Whether `first` is what comes next in the log. If not, the partition is on its way to where it belongs. */
  private async followsOn(partition: number, owned: Owned, first: bigint): Promise<boolean> {
    if (first === owned.next) return true
    const { reader, topic, onError } = this.options
    const inLog = first < owned.next ? null : await reader.firstFrom(topic, partition, owned.next)
    if (inLog === first) {
      const { start } = (await reader.bounds(topic)).find(one => one.partition === partition)!
      if (start <= owned.next) return true
    }
    onError(new TributaryError('unavailable', `${topic}/${partition}: wanted offset ${owned.next}, was given ${first}`))
    this.assign(partition, this.backoffMs(partition))
    return false
  }

  private async watch(): Promise<void> {
    const { reader, topic, groupId, times, onError } = this.options
    const now = performance.now()
    const waiting = [...this.partitions].filter(([, { movedAt }]) => now - movedAt > times.stallMs)
    if (waiting.length === 0 || this.delivering.size > 0) return
    try {
      const bounds = await reader.bounds(topic)
      for (const [partition, owned] of waiting) {
        const end = bounds.find(one => one.partition === partition)?.end ?? 0n
        const isOurs = this.partitions.get(partition) === owned
        if (isOurs && owned.next < end && now - owned.movedAt > times.stallMs && this.delivering.size === 0) {
          const behind = `${end - owned.next} records of ${topic}/${partition}`
          this.fail(new TributaryError('unavailable', `group ${groupId} does not fetch ${behind}`))
        }
        // Nothing waits: the time of waiting begins anew.
        if (isOurs && owned.next >= end) owned.movedAt = now
      }
    } catch (error) {
      onError(error)
    }
  }
}

/** Cut where the leader changed, too. */
function* parts(records: readonly FetchedRecord[], maxRecords: number): Generator<readonly FetchedRecord[]> {
  let part: FetchedRecord[] = []
  for (const record of records) {
    const epoch = part[0]?.batchContext.partitionLeaderEpoch
    const cut =
      part.length === maxRecords || (epoch !== undefined && epoch !== record.batchContext.partitionLeaderEpoch)
    if (cut) {
      yield part
      part = []
    }
    part.push(record)
  }
  if (part.length > 0) yield part
}

interface Heart {
  /** A heartbeat failed: the group goes on without this member, or is being shared out anew. */
  readonly missed: boolean
  stop(): void
  /** Throws what failed: kafkajs joins again then. */
  check(): void
}

function startHeart(heartbeat: () => Promise<void>, everyMs: number): Heart {
  const missed: unknown[] = []
  const timer = setInterval(() => void heartbeat().catch(error => missed.push(error)), everyMs)
  return {
    get missed() {
      return missed.length > 0
    },
    stop: () => clearInterval(timer),
    check() {
      if (missed.length > 0) throw missed[0]
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
