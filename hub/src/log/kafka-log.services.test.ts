import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestKafka, type TestKafka } from '../../../test/services/test-kafka.ts'
import { consuming, eventLogSuite, RecordingConsumer, until } from './event-log.suite.ts'
import { topics } from './event-log.ts'
import { exactlyOnceSuite } from './exactly-once.suite.ts'
import { baseOffset, partitionOf } from './kafka-appender.ts'
import { kafkaClient } from './kafka-client.ts'
import { KafkaLog, type KafkaLogOptions } from './kafka-log.ts'
import { openTestKafkaLog, testKafkaOptions } from './test-kafka-log.ts'

eventLogSuite('kafka', openTestKafkaLog)

exactlyOnceSuite('kafka', async () => {
  const under = await openTestKafkaLog({ partitions: 1 })
  return {
    log: under.log,
    lose: () => under.lose(),
    truncate: offset => under.truncate(0, offset),
    [Symbol.asyncDispose]: () => under[Symbol.asyncDispose](),
  }
})

const append = (log: KafkaLog, key: string, value: string) => log.append(topics.batches, key, Buffer.from(value))

describe('topics', () => {
  test('a topic that is weaker than the promises is refused, with everything that is', async () => {
    const options = testKafkaOptions()
    const admin = kafkaClient(options).admin()
    await admin.connect()
    const topic = `${options.prefix}batches`
    const configEntries = Object.entries({
      'retention.ms': '60000',
      'retention.bytes': '1000000',
      'cleanup.policy': 'compact',
      'unclean.leader.election.enable': 'true',
      'max.message.bytes': '1000',
      'flush.messages': '10000',
    }).map(([name, value]) => ({ name, value }))
    await admin.createTopics({ topics: [{ topic, numPartitions: 4, configEntries }], waitForLeaders: true })
    const refused = await KafkaLog.open(options).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'config', hint: expect.stringContaining(topic) })
    for (const { name, value } of configEntries) expect((refused as Error).message).toContain(`${name} is ${value}`)
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  })

  test('more copies than there are brokers are refused', async () => {
    await expect(KafkaLog.open({ ...testKafkaOptions(), replication: 3 })).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining('3 copies of each record, the cluster has 1 broker(s)'),
    })
  })

  test('a topic grows to the partitions that are wanted, never shrinks, and all are consumed', async () => {
    await using under = await openTestKafkaLog({ partitions: 1 })
    const wider = await KafkaLog.open({ ...under.options, partitions: 3 })
    const narrower = await KafkaLog.open(under.options)
    const placed = new Set<number>()
    for (let n = 0; n < 30; n++) placed.add((await append(n % 2 ? wider : narrower, `key ${n}`, 'x')).partition)
    expect([...placed].sort()).toEqual([0, 1, 2])
    const consumer = new RecordingConsumer()
    const run = consuming(narrower, consumer)
    await until(() => consumer.seen.length >= 30)
    await run.stop()
    await wider.close()
    await narrower.close()
  })
})

test('above the bound of waiting bytes an append is refused with a time to wait; below it they go on', async () => {
  await using under = await openTestKafkaLog({ maxPendingBytes: 1000 })
  const results = await Promise.allSettled(['a', 'b', 'c'].map(key => append(under.log, key, 'x'.repeat(400))))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(results[2]).toMatchObject({ reason: { code: 'unavailable', retryable: true, retryAfterS: 5 } })
  await append(under.log, 'c', 'x'.repeat(1000))
})

test('a record of the largest batch is taken, and delivered', async () => {
  await using under = await openTestKafkaLog()
  const bytes = randomBytes(5 * 1024 * 1024)
  const { partition, offset } = await under.log.append(topics.batches, 'key', bytes)
  expect(Buffer.from((await under.log.read(topics.batches, partition, offset))!.bytes).equals(bytes)).toBe(true)
  const consumer = new RecordingConsumer()
  const run = consuming(under.log, consumer)
  await until(() => consumer.seen.length === 1)
  await run.stop()
})

test('a delivery that takes longer than the session keeps its partition: heartbeats go on meanwhile', async () => {
  await using under = await openTestKafkaLog({ partitions: 1 })
  await append(under.log, 'key', 'slow')
  const consumer = new RecordingConsumer()
  consumer.before = () => sleep(7000)
  const run = consuming(under.log, consumer)
  await until(() => consumer.seen.length > 0)
  await append(under.log, 'key', 'next')
  consumer.before = async () => undefined
  await until(() => consumer.seen.length > 1)
  await run.stop()
  expect(consumer.assignments).toEqual([0])
  expect(consumer.seen.map(({ text }) => text)).toEqual(['slow', 'next'])
})

test('an answer that does not say that this partition took the records is an error', () => {
  const good = { topicName: 't', partition: 1, errorCode: 0, baseOffset: '7' }
  expect(baseOffset([good], 't', 1)).toBe(7n)
  const { baseOffset: _, ...without } = good
  for (const bad of [
    [],
    [good, good],
    [{ ...good, partition: 0 }],
    [{ ...good, errorCode: 6 }],
    [{ ...good, baseOffset: '-1' }],
    [without],
  ])
    expect(() => baseOffset(bad, 't', 1)).toThrow('did not take the records')
})

test('a key goes where every other Kafka client puts it', () => {
  // murmur2 as Java has it: Utils.toPositive(Utils.murmur2("21".getBytes())) = 1173551340 (its own test vectors: murmur2("21") = -973932308)
  expect(partitionOf('t', '21', 1000)).toBe((-973932308 & 0x7fffffff) % 1000)
  expect(partitionOf('t', 'foobar', 1000)).toBe((-790332482 & 0x7fffffff) % 1000)
})

describe('a broker with TLS and login', () => {
  const login = {
    mechanism: 'scram-sha-512',
    username: 'tributary',
    password: randomBytes(12).toString('hex'),
  } as const
  let kafka: TestKafka
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tributary-kafka-tls-'))
    const [certificate, key] = [join(folder, 'broker.crt'), join(folder, 'broker.key')]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-out', certificate, '-keyout', key, ...subject],
      {
        stdio: 'ignore',
      },
    )
    const pem = (file: string) => readFileSync(file, 'utf8')
    kafka = await startTestKafka({ secure: { ...login, certificate: pem(certificate), key: pem(key) } })
  })
  afterAll(async () => {
    await kafka?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const options = (): KafkaLogOptions => ({
    ...testKafkaOptions(),
    brokers: [kafka.secureBroker],
    tls: { caFile: join(folder, 'broker.crt'), certFile: null, keyFile: null },
    sasl: login,
  })

  test('takes records of who knows the password, and gives them back', async () => {
    const log = await KafkaLog.open(options())
    const { partition, offset } = await append(log, 'key', 'secret')
    expect(Buffer.from((await log.read(topics.batches, partition, offset))!.bytes).toString()).toBe('secret')
    const consumer = new RecordingConsumer()
    const run = consuming(log, consumer)
    await until(() => consumer.seen.length === 1)
    await run.stop()
    await log.close()
  })

  test('a wrong password is refused with where it is set, and is not in the error', async () => {
    const refused = await KafkaLog.open({ ...options(), sasl: { ...login, password: 'wrong-password' } }).catch(
      error => error,
    )
    expect(refused).toMatchObject({ code: 'config', hint: expect.stringContaining('kafka.sasl') })
    expect(`${refused.message} ${refused.stack}`).not.toContain('wrong-password')
  })

  test('a broker whose certificate nobody vouches for is not talked to', async () => {
    const strangers = { ...options(), tls: { caFile: null, certFile: null, keyFile: null } }
    await expect(KafkaLog.open(strangers)).rejects.toThrow(/self-signed certificate/)
  })
})
