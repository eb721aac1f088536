/** Logs on topics of their own at the run's broker (test/services/vitest-kafka.ts), deleted in the end. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { inject } from 'vitest'
import type { LogUnderTest } from './event-log.suite.ts'
import { kafkaClient } from './kafka-client.ts'
import { KafkaLog, type KafkaLogOptions } from './kafka-log.ts'

export interface KafkaUnderTest extends LogUnderTest {
  readonly log: KafkaLog
  readonly options: KafkaLogOptions
  readonly topic: string
  readonly admin: Admin
  /** As if the topic had been made anew. */
  lose(): Promise<void>
}

export function testKafkaOptions(): KafkaLogOptions {
  return {
    brokers: [inject('tributaryKafka')],
    tls: null,
    sasl: null,
    prefix: `t${randomBytes(6).toString('hex')}.`,
    partitions: 4,
    replication: 1,
    retainMs: 3_600_000,
    times: { sessionMs: 6000, heartbeatMs: 200, stallMs: 5000 },
  }
}

export async function openTestKafkaLog(changes: Partial<KafkaLogOptions> = {}): Promise<KafkaUnderTest> {
  const options = { ...testKafkaOptions(), ...changes }
  const log = await KafkaLog.open(options)
  const admin = kafkaClient(options).admin()
  await admin.connect()
  const topic = `${options.prefix}batches`
  return {
    log,
    options,
    topic,
    admin,
    another: () => KafkaLog.open(options),
    truncate: async (partition, offset) => {
      await admin.fetchTopicOffsets(topic) // or it does not know the topic
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] })
    },
    lose: async () => {
      await admin.deleteTopics({ topics: [topic] })
      while ((await admin.listTopics()).includes(topic)) await sleep(20)
      await (await KafkaLog.open(options)).close()
    },
    [Symbol.asyncDispose]: async () => {
      await log.close()
      await admin.deleteTopics({ topics: [topic] })
      await admin.disconnect()
    },
  }
}
