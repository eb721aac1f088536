import { type AddressInfo, createServer, connect as tcpConnect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { hashPassword } from './credentials.ts'
import { MemoryBuffer, startSource, type TestSource } from './mqtt-test-kit.ts'
import { RawClient } from './raw-client.ts'

const clean: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

async function start(given: Parameters<typeof startSource>[0] = {}): Promise<TestSource> {
  const started = await startSource(given)
  clean.push(() => started.source.stop())
  return started
}

async function connect(port: number, clientId: string, more: Record<string, unknown> = {}): Promise<RawClient> {
  const client = await RawClient.connect(port, clientId, more)
  clean.push(() => client.destroy())
  return client
}

/** The same agent after a kill: receipts from the disk, nothing else. */
async function restart({ source, buffer }: TestSource): Promise<TestSource> {
  await source.stop()
  return start({ buffer: new MemoryBuffer(buffer.survivors()) })
}

describe('acknowledgements', () => {
  it('a PUBACK leaves only after the commit', async () => {
    const { buffer, port } = await start()
    buffer.mode = 'hold'
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '1', { messageId: 7 })
    await vi.waitFor(() => expect(buffer.held).toBe(1))
    // A round trip through the broker: a PUBACK written earlier would have come before it.
    client.send({ cmd: 'pingreq' })
    await client.next('pingresp')
    expect(client.received).toEqual([])
    buffer.commit()
    expect((await client.next('puback')).messageId).toBe(7)
    expect(buffer.values).toEqual([1])
  })

  it('the sabotage ack-before-commit breaks exactly that', async () => {
    const { buffer, port } = await start({ sabotage: { ackBeforeCommit: true, noDuplicateCheck: false } })
    buffer.mode = 'hold'
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '1')
    await client.next('puback')
    expect(buffer.held).toBe(1)
    buffer.commit()
  })

  it('a message that cannot be stored is not acknowledged; its connection ends', async () => {
    const { buffer, port } = await start()
    const [client, other] = [await connect(port, 'c'), await connect(port, 'd')]
    buffer.mode = 'fail'
    client.publish('sensors/p/t', '1')
    await client.closed
    expect(client.received).toEqual([])
    buffer.mode = 'pass'
    other.publish('sensors/p/t', '2')
    await other.next('puback')
    expect(buffer.values).toEqual([2])
  })

  it('QoS 0 is stored, without an answer', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '5', { qos: 0 })
    await vi.waitFor(() => expect(buffer.values).toEqual([5]))
    expect(buffer.messages[0]?.receipt).toBeNull()
  })

  it('messages sent before CONNACK are taken after it', async () => {
    const { buffer, port } = await start()
    const client = await RawClient.open(port)
    clean.push(() => client.destroy())
    client.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId: 'c',
    } as never)
    for (let id = 1; id <= 50; id++) client.publish('sensors/p/t', String(id), { messageId: id })
    await client.next('connack')
    for (let id = 1; id <= 50; id++) expect((await client.next('puback')).messageId).toBe(id)
    expect(buffer.values).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  })

  it('a stop answers what was heard', async () => {
    const { source, buffer, port } = await startSource()
    const client = await connect(port, 'c')
    buffer.mode = 'hold'
    client.publish('sensors/p/t', '1', { messageId: 3 })
    await vi.waitFor(() => expect(buffer.held).toBe(1))
    const stopped = source.stop()
    buffer.commit()
    await client.next('puback')
    await stopped
  })

  it('mqtt.js publishes at every QoS', async () => {
    const { buffer, port } = await start()
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: 'js', protocolVersion: 4 })
    clean.push(() => client.endAsync(true))
    await Promise.all([0, 1, 2].map(qos => client.publishAsync('sensors/p/t', String(qos), { qos: qos as 0 | 1 | 2 })))
    await vi.waitFor(() => expect(buffer.values.toSorted()).toEqual([0, 1, 2]))
    expect(buffer.released).toHaveLength(1)
  })
})

describe('redelivery at QoS 1', () => {
  const told = { messageId: 9, dup: true }

  it('after a lost connection is acknowledged again and stored once', async () => {
    const { source, buffer, port } = await start()
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '{"value":1,"seq":1}', { messageId: 9 })
    await client.next('puback')
    client.destroy()
    const again = await connect(port, 'c')
    again.publish('sensors/p/t', '{"value":1,"seq":1}', told)
    await again.next('puback')
    expect(buffer.values).toEqual([1])
    expect(source.status().duplicates).toBe(1)
  })

  it('after a restart is acknowledged again and stored once, with or without a time in it', async () => {
    const before = await start()
    const client = await connect(before.port, 'c')
    client.publish('sensors/p/t', '1', { messageId: 9 })
    await client.next('puback')
    const after = await restart(before)
    const again = await connect(after.port, 'c')
    again.publish('sensors/p/t', '1', told)
    await again.next('puback')
    expect(after.buffer.messages).toEqual([])
  })

  it('while the first copy is being committed is acknowledged by that commit', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    buffer.mode = 'hold'
    client.publish('sensors/p/t', '1', { messageId: 9 })
    await vi.waitFor(() => expect(buffer.held).toBe(1))
    client.destroy()
    const again = await connect(port, 'c')
    again.publish('sensors/p/t', '1', told)
    again.send({ cmd: 'pingreq' })
    await again.next('pingresp')
    expect(again.received).toEqual([])
    buffer.commit()
    await again.next('puback')
    expect(buffer.values).toEqual([1])
  })

  it('of an equal value whose identifier was free again is kept, and counted as a maybe', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '1', { messageId: 9 })
    await client.next('puback')
    // The client had the PUBACK, measured 1 again, and lost the connection before the first copy of that arrived.
    await vi.waitFor(async () => {
      const again = await connect(port, 'c')
      again.publish('sensors/p/t', '1', told)
      await again.next('puback')
      expect(buffer.values.length).toBeGreaterThan(1)
    })
    expect(buffer.messages.map(m => m.maybeDuplicate)).toEqual([false, true])
  })

  it('with another payload, topic or client is a new message', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    const other = await connect(port, 'd')
    client.publish('sensors/p/t', '{"value":1,"seq":1}', { messageId: 9 })
    client.publish('sensors/p/t', '{"value":2,"seq":2}', told)
    client.publish('sensors/p/u', '{"value":2,"seq":2}', told)
    other.publish('sensors/p/u', '{"value":2,"seq":2}', told)
    await other.next('puback')
    await vi.waitFor(() => expect(buffer.values).toEqual([1, 2, 2, 2]))
    expect(buffer.messages.some(m => m.maybeDuplicate)).toBe(false)
  })

  it('of a client under a new name cannot be recognised', async () => {
    const { buffer, port } = await start()
    for (const dup of [false, true]) {
      const client = await connect(port, '')
      client.publish('sensors/p/t', '{"value":1,"seq":1}', { messageId: 9, dup })
      await client.next('puback')
    }
    expect(buffer.values).toEqual([1, 1])
    expect(buffer.messages.every(m => m.receipt === null)).toBe(true)
  })

  it('DUP = 0 is a new message; equal to one whose PUBACK may be lost it is counted as a maybe', async () => {
    const before = await start()
    const client = await connect(before.port, 'c')
    client.publish('sensors/p/t', '1', { messageId: 9 })
    await client.next('puback')
    const after = await restart(before)
    const again = await connect(after.port, 'c')
    again.publish('sensors/p/t', '1', { messageId: 9 })
    await again.next('puback')
    expect(after.buffer.messages.map(m => m.maybeDuplicate)).toEqual([true])
  })

  it('is stored twice under the sabotage no-dup-check', async () => {
    const { buffer, port } = await start({ sabotage: { ackBeforeCommit: false, noDuplicateCheck: true } })
    const client = await connect(port, 'c')
    for (const dup of [false, true]) client.publish('sensors/p/t', '{"value":1,"seq":1}', { messageId: 9, dup })
    await client.next('puback')
    await client.next('puback')
    expect(buffer.values).toEqual([1, 1])
  })
})

describe('QoS 2', () => {
  it('PUBREC after the commit, PUBCOMP after the durable release, stored once', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '1', { qos: 2, messageId: 4 })
    await client.next('pubrec')
    client.publish('sensors/p/t', '1', { qos: 2, messageId: 4, dup: true })
    await client.next('pubrec')
    buffer.mode = 'hold'
    client.send({ cmd: 'pubrel', messageId: 4 })
    await vi.waitFor(() => expect(buffer.held).toBe(1))
    client.send({ cmd: 'pingreq' })
    await client.next('pingresp')
    expect(client.received).toEqual([])
    buffer.commit()
    await client.next('pubcomp')
    expect(buffer.values).toEqual([1])
    expect(buffer.released).toEqual(['mqtt2:c 4'])
  })

  it('goes on after a restart, by PUBLISH or by PUBREL', async () => {
    const before = await start()
    const client = await connect(before.port, 'c', { clean: false })
    for (const id of [1, 2]) {
      client.publish('sensors/p/t', String(id), { qos: 2, messageId: id })
      await client.next('pubrec')
    }
    const after = await restart(before)
    const again = await connect(after.port, 'c', { clean: false })
    again.publish('sensors/p/t', '1', { qos: 2, messageId: 1, dup: true })
    await again.next('pubrec')
    for (const id of [1, 2]) {
      again.send({ cmd: 'pubrel', messageId: id })
      expect((await again.next('pubcomp')).messageId).toBe(id)
    }
    expect(after.buffer.messages).toEqual([])
    expect(after.buffer.released).toEqual(['mqtt2:c 1', 'mqtt2:c 2'])
  })

  it('an unknown PUBREL gets its PUBCOMP', async () => {
    const { port } = await start()
    const client = await connect(port, 'c')
    client.send({ cmd: 'pubrel', messageId: 77 })
    expect((await client.next('pubcomp')).messageId).toBe(77)
  })

  it('an identifier is free after PUBCOMP, and taken anew by another payload', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c')
    client.publish('sensors/p/t', '1', { qos: 2 })
    await client.next('pubrec')
    client.send({ cmd: 'pubrel', messageId: 1 })
    await client.next('pubcomp')
    client.publish('sensors/p/t', '1', { qos: 2 })
    await client.next('pubrec')
    client.publish('sensors/p/t', '2', { qos: 2 })
    await client.next('pubrec')
    expect(buffer.values).toEqual([1, 1, 2])
    expect(buffer.messages.map(m => m.maybeDuplicate)).toEqual([false, false, false])
  })
})

describe('bad input harms nothing else', () => {
  async function otherStillStores(
    { buffer, port }: TestSource,
    credentials: Record<string, unknown> = {},
  ): Promise<void> {
    const other = await connect(port, 'other', credentials)
    other.publish('sensors/other/t', '42')
    await other.next('puback')
    expect(buffer.values).toContain(42)
  }

  it('malformed JSON becomes a dead letter and is acknowledged', async () => {
    const started = await start()
    const client = await connect(started.port, 'c')
    client.publish('sensors/p/t', '{"value":')
    await client.next('puback')
    expect(started.buffer.messages[0]).toMatchObject({
      readings: [],
      deadLetter: { source: 'mqtt', origin: 'sensors/p/t', reason: 'malformed JSON' },
    })
    expect(Buffer.from(started.buffer.messages[0]!.deadLetter!.payload).toString()).toBe('{"value":')
    expect(started.source.status().deadLettered).toBe(1)
    await otherStillStores(started)
  })

  it('an unmapped topic becomes a dead letter and is acknowledged', async () => {
    const started = await start()
    const client = await connect(started.port, 'c')
    client.publish('somewhere/else', '1')
    await client.next('puback')
    expect(started.buffer.messages[0]?.deadLetter?.reason).toBe('unmapped topic')
    await otherStillStores(started)
  })

  it('an oversized payload becomes a truncated dead letter, an oversized packet ends its connection', async () => {
    const started = await start()
    const client = await connect(started.port, 'c')
    client.publish('sensors/p/t', Buffer.alloc(65537, 0x20))
    await client.next('puback')
    expect(started.buffer.messages[0]?.deadLetter?.reason).toMatch(/65537 bytes/)
    expect(started.buffer.messages[0]?.deadLetter?.payload).toHaveLength(4096)
    client.publish('sensors/p/t', Buffer.alloc(256 * 1024, 0x20))
    await client.closed
    expect(started.buffer.messages).toHaveLength(1)
    expect(started.source.stats().brokenOff).toBe(1)
    await otherStillStores(started)
  })

  it('a wrong password is refused with code 4, none with code 5; the right one is let in', async () => {
    const users = [{ name: 'u', passwordHash: await hashPassword('right') }]
    const started = await start({ users })
    const codes = []
    for (const more of [
      { username: 'u', password: Buffer.from('wrong') },
      { username: 'v', password: Buffer.from('right') },
      {},
    ]) {
      const client = await RawClient.open(started.port)
      clean.push(() => client.destroy())
      client.send({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
        keepalive: 0,
        clientId: 'c',
        ...more,
      } as never)
      codes.push((await client.next('connack')).returnCode)
      await client.closed
    }
    expect(codes).toEqual([4, 4, 5])
    for (let i = 0; i < 2; i++) await otherStillStores(started, { username: 'u', password: Buffer.from('right') })
  })

  it('bytes that break the protocol end their connection', async () => {
    const started = await start()
    const broken: [string, Buffer][] = [
      ['QoS 3', Buffer.from([0x36, 5, 0, 1, 0x61, 0, 1])],
      ['DUP with QoS 0', Buffer.from([0x38, 3, 0, 1, 0x61])],
      ['topic longer than the packet', Buffer.from([0x32, 4, 0, 9, 0x61, 0x62])],
      ['packet identifier 0', Buffer.from([0x32, 5, 0, 1, 0x61, 0, 0])],
      ['empty topic', Buffer.from([0x32, 4, 0, 0, 0, 1])],
      ['wildcard', Buffer.from([0x32, 5, 0, 1, 0x2b, 0, 1])],
      ['topic that is no UTF-8', Buffer.from([0x32, 5, 0, 1, 0xff, 0, 1])],
      ['length of five bytes', Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 1])],
      ['reserved type', Buffer.from([0x00, 0])],
      ['PUBREL without its flags', Buffer.from([0x60, 2, 0, 1])],
    ]
    for (const [what, bytes] of broken) {
      const client = await connect(started.port, what)
      client.socket.write(bytes)
      await client.closed
    }
    const early = tcpConnect(started.port, '127.0.0.1')
    early.on('error', () => early.destroy())
    early.write(Buffer.from([0x30, 3, 0, 1, 0x61]))
    await new Promise(resolve => early.once('close', resolve))
    expect(started.buffer.messages).toEqual([])
    await otherStillStores(started)
  })
})

describe('bounds and policy', () => {
  it('a port in use is named, with what to do', async () => {
    const { port } = await start()
    await expect(startSource({ config: { port } })).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining(String(port)),
      hint: expect.stringContaining('mqtt.port'),
    })
  })

  it('a port in use beside other sources is waited for, and heard once it is free', async () => {
    const other = createServer()
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as AddressInfo
    const { source } = await start({ config: { port }, refuseIfTaken: false, retry: { baseMs: 10, capMs: 20 } })
    expect(source.status()).toMatchObject({
      state: 'waiting',
      detail: expect.stringContaining('the port is in use'),
      lastError: { detail: expect.stringContaining(String(port)) },
    })
    await new Promise(resolve => other.close(resolve))
    await vi.waitFor(() => expect(source.status().state).toBe('running'))
    expect(source.status().failures).toBeGreaterThan(0)
    await connect(port, 'late')
  })

  it('an address off loopback needs users', async () => {
    await expect(startSource({ config: { host: '0.0.0.0' } })).rejects.toMatchObject({
      code: 'config',
      hint: expect.stringContaining('mqtt.users'),
    })
  })

  it('while the buffer cannot commit, publishers are closed and CONNECT gets code 3; afterwards all is well', async () => {
    const { source, buffer, port } = await start()
    const client = await connect(port, 'c')
    buffer.setWritable(false)
    await client.closed
    const refused = await RawClient.connect(port, 'c').catch(error => error)
    expect(refused).toBeInstanceOf(RawClient)
    await (refused as RawClient).closed
    expect(source.status().state).toBe('waiting')
    buffer.setWritable(true)
    const again = await connect(port, 'c')
    again.publish('sensors/p/t', '1')
    await again.next('puback')
  })

  it('wills are not stored, the retain flag is ignored', async () => {
    const { buffer, port } = await start()
    const client = await connect(port, 'c', {
      will: { topic: 'sensors/p/will', payload: Buffer.from('1'), qos: 1, retain: false },
    })
    client.destroy()
    const other = await connect(port, 'd')
    other.publish('sensors/p/t', '2', { retain: true })
    await other.next('puback')
    await sleep(50)
    expect(buffer.values).toEqual([2])
  })

  it('nothing is delivered unless clients may subscribe; then stored messages are, at QoS 0', async () => {
    for (const allowSubscribe of [false, true]) {
      const { port } = await start({ config: { allowSubscribe } })
      const client = await connect(port, 'c')
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] } as never)
      expect((await client.next('suback')).granted).toEqual([allowSubscribe ? 1 : 128])
      client.publish('sensors/p/t', '1')
      await client.next('puback')
      if (allowSubscribe)
        expect(await client.next('publish')).toMatchObject({ topic: 'sensors/p/t', qos: 0, retain: false })
      expect(client.received).toEqual([])
    }
  })

  it('connections beyond the limit are turned away', async () => {
    const { source, port } = await start({ config: { maxConnections: 1 } })
    await connect(port, 'c')
    await expect(RawClient.connect(port, 'd')).rejects.toThrow()
    expect(source.stats().refused).toBe(1)
  })

  it('silence beyond 1.5 × the keep-alive ends the connection', async () => {
    let offsetMs = 0
    const { port } = await start({ monotonicMs: () => performance.now() + offsetMs })
    const client = await connect(port, 'c', { keepalive: 10 })
    const lasting = await connect(port, 'd', { keepalive: 100 })
    offsetMs = 16_000
    await client.closed
    lasting.send({ cmd: 'pingreq' })
    await lasting.next('pingresp')
  })

  it('a second client of the same name takes over', async () => {
    const { buffer, port } = await start()
    const first = await connect(port, 'c')
    const second = await connect(port, 'c')
    await first.closed
    second.publish('sensors/p/t', '1')
    await second.next('puback')
    expect(buffer.values).toEqual([1])
  })

  it('reading stops while the bytes in flight are full, and nothing is lost of it', async () => {
    const { source, buffer, port } = await start({ config: { maxInFlight: 64 * 1024 } })
    buffer.mode = 'hold'
    const client = await connect(port, 'c')
    const count = 3000
    for (let id = 1; id <= count; id++) client.publish('sensors/p/t', `${id}${' '.repeat(100)}`, { messageId: id })
    await vi.waitFor(() => expect(source.stats().inFlightBytes).toBeGreaterThanOrEqual(64 * 1024))
    await sleep(50)
    expect(source.stats().inFlightBytes).toBeLessThan(64 * 1024 + 200)
    buffer.mode = 'pass'
    buffer.commit()
    for (let id = 1; id <= count; id++) expect((await client.next('puback')).messageId).toBe(id)
    expect(buffer.values).toEqual(Array.from({ length: count }, (_, i) => i + 1))
  })
})
