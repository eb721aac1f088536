/**
 * The contract of event-log.ts as tests, run against every implementation: `eventLogSuite('postgres', open)`.
 *
 * `open` gives a log on an empty store of its own; `another` a second one on the same store, as another replica would have it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { TributaryError } from '@tributary/shared/errors'
import { describe, expect, test } from 'vitest'
import { type EventLog, type LogConsumer, type LogRecord, topics } from './event-log.ts'

export interface LogUnderTest extends AsyncDisposable {
  readonly log: EventLog
  another(): Promise<EventLog>
  /** Forget the oldest records of the partition, below `offset`, whoever needs them. */
  truncate(partition: number, offset: bigint): Promise<void>
}

const topic = topics.batches
const text = (record: LogRecord) => Buffer.from(record.bytes).toString()

/** A consumer that keeps its positions in memory and remembers what it was given. */
export class RecordingConsumer implements LogConsumer {
  readonly seen: { partition: number; offset: bigint; key: string; text: string }[] = []
  readonly positions = new Map<number, bigint>()
  readonly assignments: number[] = []
  readonly truncations: { partition: number; wanted: bigint; first: bigint }[] = []
  /** Called before a delivery counts; throw to reject it. */
  before: (partition: number, records: readonly LogRecord[]) => Promise<void> = async () => undefined

  async assigned(partition: number): Promise<bigint> {
    this.assignments.push(partition)
    return this.positions.get(partition) ?? 0n
  }

  async handle(partition: number, records: readonly LogRecord[]): Promise<void> {
    await this.before(partition, records)
    for (const record of records) {
      this.seen.push({ partition, offset: record.offset, key: record.key, text: text(record) })
      this.positions.set(partition, record.offset + 1n)
    }
  }

  async truncated(partition: number, wanted: bigint, first: bigint): Promise<bigint> {
    this.truncations.push({ partition, wanted, first })
    return first
  }
}

/** Consume in the background until `stop`. */
export function consuming(
  log: EventLog,
  consumer: LogConsumer,
  group = 'test',
  maxRecords = 10,
): { stop: () => Promise<void>; done: Promise<void> } {
  const controller = new AbortController()
  const done = log.consume(topic, consumer, { group, maxRecords, signal: controller.signal })
  done.catch(() => undefined)
  return {
    done,
    stop: () => {
      controller.abort()
      return done
    },
  }
}

/** Wait until `condition` holds; the test's own time-out ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10)
}

export function eventLogSuite(name: string, open: () => Promise<LogUnderTest>): void {
  const append = (log: EventLog, key: string, value: string) => log.append(topic, key, Buffer.from(value))

  describe(`event log: ${name}`, () => {
    test('what was appended can be read, byte for byte, and nothing else', async () => {
      await using under = await open()
      const bytes = Buffer.from([0, 255, 1, 128, 10, 39, 92])
      const empty = await under.log.append(topic, 'empty', Buffer.alloc(0))
      const { partition, offset } = await under.log.append(topic, 'key', bytes)
      const record = await under.log.read(topic, partition, offset)
      expect(record && { ...record, bytes: Buffer.from(record.bytes) }).toEqual({
        partition,
        offset,
        key: 'key',
        bytes,
      })
      expect((await under.log.read(topic, empty.partition, empty.offset))?.bytes.length).toBe(0)
      expect(await under.log.read(topic, partition, offset + 1000n)).toBe(null)
    })

    test('records of a key stay in one partition, in order, also when many are appended at once', async () => {
      await using under = await open()
      const keys = ['a', 'b', 'c', 'd', 'e', 'f']
      const consumer = new RecordingConsumer()
      const run = consuming(under.log, consumer)
      const appended = await Promise.all(
        Array.from({ length: 300 }, (_, index) => append(under.log, keys[index % keys.length] ?? '', String(index))),
      )
      await until(() => consumer.seen.length >= 300)
      await run.stop()
      for (const [place, key] of keys.entries()) {
        const seen = consumer.seen.filter(record => record.key === key)
        expect(new Set(seen.map(({ partition }) => partition)).size).toBe(1)
        expect(seen.map(record => record.text)).toEqual(
          Array.from({ length: 50 }, (_, turn) => String(place + turn * keys.length)),
        )
      }
      const places = new Set(appended.map(({ partition, offset }) => `${partition}/${offset}`))
      expect(places.size).toBe(300)
    })

    test('a record appended while the consumer waits is delivered', async () => {
      await using under = await open()
      const consumer = new RecordingConsumer()
      const run = consuming(under.log, consumer)
      for (let index = 0; index < 5; index++) {
        await append(under.log, `key ${index}`, 'value')
        await until(() => consumer.seen.length === index + 1)
      }
      await run.stop()
    })

    test('a rejected delivery comes again, whole and in order, after the consumer was asked for its position', async () => {
      await using under = await open()
      for (let index = 0; index < 6; index++) await append(under.log, 'key', String(index))
      const consumer = new RecordingConsumer()
      let rejections = 3
      consumer.before = async (_, records) => {
        if (records.some(record => text(record) === '3') && rejections-- > 0) throw new Error('not now')
      }
      const run = consuming(under.log, consumer, 'test', 2)
      await until(() => consumer.seen.length >= 6)
      await run.stop()
      expect(consumer.seen.map(record => record.text)).toEqual(['0', '1', '2', '3', '4', '5'])
      const partition = consumer.seen[0]?.partition
      expect(consumer.assignments.filter(assigned => assigned === partition)).toHaveLength(4)
    })

    test('a consumer that starts again goes on from the position it names', async () => {
      await using under = await open()
      const consumer = new RecordingConsumer()
      for (let index = 0; index < 5; index++) await append(under.log, 'key', String(index))
      const first = consuming(under.log, consumer)
      await until(() => consumer.seen.length >= 5)
      await first.stop()
      for (let index = 5; index < 8; index++) await append(under.log, 'key', String(index))
      const partition = consumer.seen[0]?.partition ?? 0
      consumer.positions.set(partition, 4n)
      const second = consuming(under.log, consumer)
      await until(() => consumer.seen.length >= 9)
      await second.stop()
      expect(consumer.seen.slice(5).map(record => record.text)).toEqual(['4', '5', '6', '7'])
    })

    test('groups do not take records from each other', async () => {
      await using under = await open()
      const consumers = [new RecordingConsumer(), new RecordingConsumer()]
      const runs = consumers.map((consumer, index) => consuming(under.log, consumer, `group ${index}`))
      for (let index = 0; index < 10; index++) await append(under.log, `key ${index}`, String(index))
      await until(() => consumers.every(({ seen }) => seen.length >= 10))
      await Promise.all(runs.map(run => run.stop()))
      expect(consumers.map(({ seen }) => seen.length)).toEqual([10, 10])
    })

    test('two members share the partitions, never work on one at the same time, and the one that is left takes over', async () => {
      await using under = await open()
      const other = await under.another()
      const shared = new Map<number, bigint>()
      const busy = new Set<number>()
      const overlaps: number[] = []
      const member = () => {
        const consumer = new RecordingConsumer()
        consumer.assigned = async partition => shared.get(partition) ?? 0n
        consumer.before = async (partition, records) => {
          if (busy.has(partition)) overlaps.push(partition)
          busy.add(partition)
          await sleep(2)
          busy.delete(partition)
          shared.set(partition, (records.at(-1)?.offset ?? -1n) + 1n)
        }
        return consumer
      }
      const members = [member(), member()] as const
      const first = consuming(under.log, members[0])
      const second = consuming(other, members[1])
      let appended = 0
      const more = async () => {
        await Promise.all(
          Array.from({ length: 20 }, (_, key) => append(under.log, `key ${key}`, String(appended + key))),
        )
        appended += 20
      }
      while (members.some(({ seen }) => seen.length === 0)) await more()
      await first.stop()
      await more()
      await until(() => members[0].seen.length + members[1].seen.length >= appended)
      await second.stop()
      expect(overlaps).toEqual([])
      expect(new Set([...members[0].seen, ...members[1].seen].map(record => record.text)).size).toBe(appended)
      expect(members[0].seen.length + members[1].seen.length).toBe(appended)
      await other.close()
    })

    test('a consumer whose position the log no longer reaches is told, and may go on or stop loudly', async () => {
      await using under = await open()
      const appended = await append(under.log, 'key', '0')
      for (let index = 1; index < 6; index++) await append(under.log, 'key', String(index))
      await under.truncate(appended.partition, 3n)
      const lenient = new RecordingConsumer()
      const run = consuming(under.log, lenient)
      await until(() => lenient.seen.length >= 3)
      await run.stop()
      expect(lenient.truncations).toEqual([{ partition: appended.partition, wanted: 0n, first: 3n }])
      expect(lenient.seen.map(record => record.text)).toEqual(['3', '4', '5'])
      const strict = new RecordingConsumer()
      strict.truncated = async () => {
        throw new TributaryError('corrupt', 'records are missing')
      }
      await expect(consuming(under.log, strict, 'strict').done).rejects.toMatchObject({ code: 'corrupt' })
    })

    test('the lag of a group falls to nothing as it consumes', async () => {
      await using under = await open()
      for (let index = 0; index < 10; index++) await append(under.log, `key ${index}`, String(index))
      const behind = async () =>
        (await under.log.lag(topic, 'test')).reduce(
          (sum, { nextOffset, endOffset }) => sum + Number(endOffset - nextOffset),
          0,
        )
      expect(await behind()).toBe(10)
      const consumer = new RecordingConsumer()
      const run = consuming(under.log, consumer)
      await until(async () => (await behind()) === 0)
      expect(consumer.seen.length).toBe(10)
      await run.stop()
    })
  })
}
