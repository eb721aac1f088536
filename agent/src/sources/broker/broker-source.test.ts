import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseAgentConfig } from '../../config/agent-config.ts'
import { createDecoder } from '../../decode/decoder.ts'
import { MemoryBuffer } from '../mqtt/mqtt-test-kit.ts'
import { parseBrokerAddress } from './broker-address.ts'
import { BrokerSource, type BrokerSourceOptions } from './broker-source.ts'
import { type Granting, RawBroker } from './test-raw-broker.ts'

const cleanup: (() => unknown)[] = []
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-broker-'))
  cleanup.push(() => rmSync(folder, { recursive: true }))
})
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step()
})

async function openBroker(granting?: Granting): Promise<RawBroker> {
  const broker = await RawBroker.open(granting)
  cleanup.push(() => broker.close())
  return broker
}

async function listen(
  broker: RawBroker,
  buffer: MemoryBuffer,
  yaml = '',
  more: Pick<BrokerSourceOptions, 'monotonicMs'> = {},
): Promise<BrokerSource> {
  const text = `brokers:\n  - name: plant\n    url: ${broker.url}\n    topics: [sensors/#]\n${yaml}`
  const [config] = parseAgentConfig(text, 'agent.yaml', {}).brokers
  const source = new BrokerSource({
    config: config!,
    accept: (message, done) => buffer.accept(message, done),
    buffer,
    decoder: createDecoder({ routes: [], maxPayloadBytes: 1024 }),
    maxPayloadBytes: 1024,
    maxReceipts: 1000,
    log: pino({ level: 'silent' }),
    sabotage: { ackBeforeCommit: false, noDuplicateCheck: false },
    stamp: () => ({ tsUs: Date.now() * 1000, placed: true }),
    retry: { baseMs: 20, capMs: 50 },
    ...more,
  })
  cleanup.push(() => source.stop())
  await source.start()
  return source
}

const values = (buffer: MemoryBuffer) => buffer.messages.flatMap(({ readings }) => readings.map(({ value }) => value))

describe('a message of a broker', () => {
  test('is acknowledged after its commit, many at once', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    buffer.mode = 'hold'
    const source = await listen(broker, buffer)
    expect(await broker.next('connect')).toMatchObject({ clean: false, keepalive: 30 })
    await broker.next('subscribe')
    for (let id = 1; id <= 50; id++) broker.publish(id, id)
    await expect.poll(() => source.status().messages).toBe(50)
    expect(broker.received.filter(({ cmd }) => cmd === 'puback')).toEqual([])
    buffer.commit()
    await expect.poll(() => broker.received.filter(({ cmd }) => cmd === 'puback').length).toBe(50)
    expect(values(buffer)).toHaveLength(50)
  })

  test('of QoS 2 is stored once, released by PUBREL and completed', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    await listen(broker, buffer, '    qos: 2\n')
    await broker.next('subscribe')
    broker.publish(7, 1, { qos: 2 })
    await broker.next('pubrec')
    broker.publish(7, 1, { qos: 2, dup: true })
    await broker.next('pubrec')
    broker.send({ cmd: 'pubrel', messageId: 7 })
    await broker.next('pubcomp')
    expect(values(buffer)).toEqual([1])
    expect(buffer.released).toEqual([`broker-plant-2:tributary-${hostname()}-plant 7`])
  })

  test('that comes again after a restart of the agent is acknowledged without being stored again', async () => {
    const broker = await openBroker()
    const first = new MemoryBuffer()
    const source = await listen(broker, first)
    await broker.next('subscribe')
    broker.publish(3, 9)
    await broker.next('puback')
    await source.stop()
    const second = new MemoryBuffer(first.messages.map(({ receipt }) => receipt!))
    const again = await listen(broker, second)
    await broker.next('subscribe')
    broker.publish(3, 9, { dup: true })
    await broker.next('puback')
    expect(second.messages).toEqual([])
    expect(again.status().duplicates).toBe(1)
  })

  test('that does not decode is a dead letter of its broker, and is acknowledged', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    await listen(broker, buffer)
    await broker.next('subscribe')
    broker.publish(1, 1, { payload: 'no json' })
    await broker.next('puback')
    expect(buffer.messages[0]?.deadLetter).toMatchObject({ source: 'broker:plant', origin: 'sensors/d/m' })
  })
})

describe('the connection', () => {
  test('is made again after it was cut, and what is published then arrives', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    const source = await listen(broker, buffer)
    await broker.next('subscribe')
    broker.cut()
    await broker.next('subscribe')
    broker.publish(1, 5)
    await broker.next('puback')
    expect(values(buffer)).toEqual([5])
    expect(source.status().state).toBe('running')
  })

  test('carries name and password, and a refusal is told', async () => {
    const broker = await openBroker({ connack: 5 })
    const file = join(folder, 'password')
    writeFileSync(file, 'sesame\n')
    const source = await listen(
      broker,
      new MemoryBuffer(),
      `    username: agent\n    password_file: ${file}\n    client_id: mine\n`,
    )
    const connect = await broker.next('connect')
    expect(connect).toMatchObject({ username: 'agent', clientId: 'mine' })
    expect(String(connect.password)).toBe('sesame')
    await expect.poll(() => source.status()).toMatchObject({ state: 'waiting', detail: /not authorised/ })
    expect(source.status().detail).not.toContain('sesame')
  })

  test('is given up when the subscription is refused, and the status names the topic', async () => {
    const source = await listen(await openBroker({ granted: 0x80 }), new MemoryBuffer())
    await expect.poll(() => source.status().detail).toMatch(/refuses the subscription to sensors\/#/)
  })

  test('is given up when the broker falls silent', async () => {
    const broker = await openBroker()
    let offsetMs = 0
    await listen(broker, new MemoryBuffer(), '    keep_alive: 1s\n', {
      monotonicMs: () => performance.now() + offsetMs,
    })
    await broker.next('subscribe')
    offsetMs = 10_000
    await expect.poll(() => broker.connections, { timeout: 5000 }).toBeGreaterThan(1)
  })

  test('outlives a message that is too long: it is a dead letter, cut off, and acknowledged', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    await listen(broker, buffer, '    max_packet: 256B\n')
    await broker.next('subscribe')
    broker.publish(1, 1, { payload: '7'.repeat(100_000) })
    broker.publish(2, 2)
    await broker.next('puback')
    await broker.next('puback')
    const [letter, reading] = buffer.messages
    expect(letter).toMatchObject({
      readings: [],
      deadLetter: { reason: 'payload of 100000 bytes; only 241 of them are taken' },
    })
    expect(reading?.readings).toMatchObject([{ value: 2 }])
  })

  test('waits while the buffer cannot commit', async () => {
    const broker = await openBroker()
    const buffer = new MemoryBuffer()
    const source = await listen(broker, buffer)
    await broker.next('subscribe')
    buffer.setWritable(false)
    await expect.poll(() => source.status().detail).toMatch(/the buffer cannot commit/)
    buffer.setWritable(true)
    await broker.next('subscribe')
  })

  test('that cannot be made is no failure: the source waits, and stops when told', async () => {
    const broker = await openBroker()
    const gone = await listen(broker, new MemoryBuffer())
    broker.close()
    await expect.poll(() => gone.status().state).toBe('waiting')
    await gone.stop()
    expect(gone.status().state).toBe('stopped')
  })
})

test.each(['http://h', 'mqtt://', 'nonsense', 'mqtt://user:pw@h'])('the address %s is refused', url => {
  expect(() => parseBrokerAddress(url)).toThrow(expect.objectContaining({ code: 'config' }))
  if (url.includes('pw')) expect(() => parseBrokerAddress(url)).not.toThrow(/pw/)
})

test('an address has the ports of MQTT', () => {
  expect(parseBrokerAddress('mqtt://h')).toEqual({ host: 'h', port: 1883, secure: false })
  expect(parseBrokerAddress('mqtts://[::1]')).toEqual({ host: '::1', port: 8883, secure: true })
})
