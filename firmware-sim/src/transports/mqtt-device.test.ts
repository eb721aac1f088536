import type { Packet } from 'mqtt-packet'
import { afterEach, describe, expect, it } from 'vitest'
import { testCertificate, testCertificateKey } from '../../../agent/src/identity/test-certificate.ts'
import { MqttDevice, type MqttDeviceOptions } from './mqtt-device.ts'
import { connack, startTestBroker, type TestBroker, type TestConnection } from './test-broker.ts'

const backoff = { baseMs: 1, capMs: 5 }
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function broker(answer: (packet: Packet, connection: TestConnection) => void): Promise<TestBroker> {
  const started = await startTestBroker(answer)
  cleanups.push(started.close)
  return started
}

function device(options: Partial<MqttDeviceOptions> & { port: number }): MqttDevice {
  const created = new MqttDevice({ clientId: 'd1', backoff, ...options })
  cleanups.push(() => created.close())
  return created
}

/** Acknowledges everything. */
function willing(packet: Packet, { send }: TestConnection): void {
  const { messageId = 0 } = packet
  if (packet.cmd === 'connect') send(connack(!packet.clean))
  if (packet.cmd === 'publish' && packet.qos === 1) send({ cmd: 'puback', messageId })
  if (packet.cmd === 'publish' && packet.qos === 2) send({ cmd: 'pubrec', messageId })
  if (packet.cmd === 'pubrel') send({ cmd: 'pubcomp', messageId })
}

const words = (connection: TestConnection | undefined) =>
  (connection?.packets ?? []).map(p =>
    p.cmd === 'publish'
      ? `publish ${p.messageId} dup=${Number(p.dup)} ${p.topic} ${p.payload}`
      : `${p.cmd} ${p.messageId ?? ''}`.trim(),
  )

describe('an MQTT device', () => {
  it('sends unacknowledged QoS 1 messages again after a reset: DUP = 1, same packet id, topic, payload and order', async () => {
    const { port, connections } = await broker((packet, connection) => {
      if (packet.cmd === 'connect') connection.send(connack(connection.index > 0))
      if (packet.cmd !== 'publish') return
      if (connection.index > 0 || packet.messageId === 2)
        connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
      if (connection.index === 0 && packet.messageId === 4) connection.reset()
    })
    const d = device({ port })
    await Promise.all(['a', 'b', 'c', 'd'].map(name => d.publish(`t/${name}`, `payload ${name}`, 1)))
    expect(words(connections[0])).toEqual([
      'connect',
      'publish 1 dup=0 t/a payload a',
      'publish 2 dup=0 t/b payload b',
      'publish 3 dup=0 t/c payload c',
      'publish 4 dup=0 t/d payload d',
    ])
    // The PUBACK of 2 may have been lost with the reset.
    expect(words(connections[1]).filter(w => !w.startsWith('publish 2'))).toEqual([
      'connect',
      'publish 1 dup=1 t/a payload a',
      'publish 3 dup=1 t/c payload c',
      'publish 4 dup=1 t/d payload d',
    ])
    expect(connections[1]?.packets[0]).toMatchObject({ clean: false, clientId: 'd1' })
    expect(d.counters()).toMatchObject({ sent: 4, acknowledged: 4, unacknowledged: 0 })
  })

  it('after a reset sends PUBREL for what was received and PUBLISH for what was not (QoS 2)', async () => {
    const { port, connections } = await broker((packet, connection) => {
      if (connection.index > 0) return willing(packet, connection)
      if (packet.cmd === 'connect') connection.send(connack())
      if (packet.cmd === 'publish' && packet.messageId === 1) connection.send({ cmd: 'pubrec', messageId: 1 })
      if (packet.cmd === 'pubrel') connection.reset()
    })
    const d = device({ port })
    await Promise.all(['a', 'b', 'c'].map(name => d.publish(`t/${name}`, name, 2)))
    expect(words(connections[1])).toEqual([
      'connect',
      'pubrel 1',
      'publish 2 dup=1 t/b b',
      'publish 3 dup=1 t/c c',
      'pubrel 2',
      'pubrel 3',
    ])
    expect(d.counters()).toEqual({ sent: 3, acknowledged: 3, resent: 3, unacknowledged: 0 })
  })

  it('a message published while the connection is down goes first-time, behind what is sent again', async () => {
    let open = true
    const { port, connections } = await broker((packet, connection) => {
      if (connection.index > 0 && open) return willing(packet, connection)
      if (packet.cmd === 'connect') open ? connection.send(connack()) : connection.reset()
      if (packet.cmd === 'publish') {
        open = false
        connection.reset()
      }
    })
    const down = Promise.withResolvers<void>()
    const d = device({ port, events: { disconnected: () => down.resolve() } })
    const first = d.publish('t', 'first', 1)
    await down.promise
    const second = d.publish('t', 'second', 1)
    open = true
    await Promise.all([first, second])
    expect(words(connections.at(-1))).toEqual(['connect', 'publish 1 dup=1 t first', 'publish 2 dup=0 t second'])
  })

  it('discards a session that the broker kept from an earlier life of its client id', async () => {
    const { port, connections } = await broker((packet, connection) => {
      if (packet.cmd === 'connect') connection.send(connack(connection.index === 0))
      else willing(packet, connection)
    })
    const d = device({ port })
    await d.publish('t', 'x', 2)
    const flags = connections.map(c => (c.packets[0]?.cmd === 'connect' ? c.packets[0].clean : null))
    expect(flags).toEqual([false, true, false])
    expect(words(connections[1])).toEqual(['connect', 'disconnect'])
    expect(words(connections[2])).toEqual(['connect', 'publish 1 dup=0 t x', 'pubrel 1'])
  })

  it('has at most maxInFlight messages unacknowledged', async () => {
    const held: (() => void)[] = []
    let inFlight = 0
    let most = 0
    const { port } = await broker((packet, connection) => {
      if (packet.cmd !== 'publish') return willing(packet, connection)
      most = Math.max(most, ++inFlight)
      held.push(() => {
        inFlight--
        willing(packet, connection)
      })
      if (held.length === 3) for (const release of held.splice(0)) release()
    })
    const d = device({ port, maxInFlight: 3 })
    await Promise.all(Array.from({ length: 30 }, (_, i) => d.publish('t', String(i), 1)))
    expect(most).toBe(3)
  })

  it('refuses a window of 0 or of more packet ids than there are', () => {
    for (const maxInFlight of [0, 65_536, 1.5])
      expect(() => new MqttDevice({ port: 1, clientId: 'x', maxInFlight })).toThrow(/1 to 65535/)
    expect(() => new MqttDevice({ port: 1, clientId: 'x', maxInFlight: 65_535 })).not.toThrow()
  })

  it('never sends a QoS 0 message again', async () => {
    const { port, connections } = await broker((packet, connection) => {
      if (packet.cmd === 'connect') connection.send(connack(connection.index > 0))
      if (packet.cmd === 'publish' && packet.qos === 0) connection.reset()
      if (packet.cmd === 'publish' && packet.qos === 1) willing(packet, connection)
    })
    const d = device({ port })
    await d.publish('t', 'once', 0)
    while (connections.length < 2) await d.publish('t', 'after', 1)
    expect(connections.flatMap(words).filter(w => w.endsWith('once'))).toHaveLength(1)
    expect(d.counters().unacknowledged).toBe(0)
  })

  it('tries again when the broker is unavailable (code 3), gives up when it is not authorised (code 5)', async () => {
    let refusals = 2
    const { port, connections } = await broker((packet, connection) => {
      if (packet.cmd === 'connect') connection.send(connack(false, refusals-- > 0 ? 3 : 5))
    })
    const d = device({ port })
    const published = d.publish('t', 'x', 1)
    await expect(d.start()).rejects.toMatchObject({ code: 'unauthenticated' })
    await expect(published).rejects.toMatchObject({ code: 'unauthenticated' })
    await expect(d.publish('t', 'y', 1)).rejects.toMatchObject({ code: 'unauthenticated' })
    expect(connections).toHaveLength(3)
    expect(d.state).toBe('failed')
  })

  it('leaves a broker that no longer answers, and sends what is open to the next', async () => {
    const { port, connections } = await broker((packet, connection) => {
      if (connection.index > 0) willing(packet, connection)
      else if (packet.cmd === 'connect') connection.send(connack())
    })
    const d = device({ port, keepAliveS: 0.2 })
    await d.publish('t', 'x', 1)
    expect(words(connections[0])).toContain('pingreq')
    expect(words(connections[1])).toContain('publish 1 dup=1 t x')
  })

  it('waits for outstanding acknowledgements when it is closed, and disconnects', async () => {
    const later: (() => void)[] = []
    const { port, connections } = await broker((packet, connection) => {
      if (packet.cmd === 'publish') later.push(() => willing(packet, connection))
      else willing(packet, connection)
    })
    const d = device({ port })
    const published = d.publish('t', 'x', 1)
    while (later.length === 0) await new Promise(setImmediate)
    const closed = d.close(10_000)
    await expect(d.publish('t', 'too late', 1)).rejects.toMatchObject({ code: 'aborted' })
    for (const answer of later) answer()
    await published
    await closed
    while (words(connections[0]).at(-1) !== 'disconnect') await new Promise(setImmediate)
    expect(d.counters()).toMatchObject({ acknowledged: 1, unacknowledged: 0 })
  })

  it('counts and rejects what is unacknowledged when the time to drain is over', async () => {
    const { port } = await broker((packet, connection) => {
      if (packet.cmd === 'connect') connection.send(connack())
    })
    const d = device({ port })
    await d.start()
    const published = d.publish('t', 'x', 1)
    await d.close(1)
    await expect(published).rejects.toMatchObject({ code: 'aborted' })
    expect(d.counters()).toEqual({ sent: 1, acknowledged: 0, resent: 0, unacknowledged: 1 })
  })

  it('can be closed before a broker ever answered', async () => {
    const gone = await broker(() => undefined)
    const { port } = gone
    await gone.close()
    const d = device({ port })
    const started = d.start()
    await d.close()
    await expect(started).rejects.toMatchObject({ code: 'aborted' })
  })

  it('speaks TLS to a broker whose authority it knows, with user name and password', async () => {
    const tls = await startTestBroker(willing, { key: testCertificateKey, cert: testCertificate })
    cleanups.push(tls.close)
    const url = `mqtts://127.0.0.1:${tls.port}`
    const d = device({ port: 0, url, ca: testCertificate, username: 'sensor', password: 'secret' })
    await d.publish('t', 'x', 1)
    expect(tls.connections.at(-1)?.packets[0]).toMatchObject({ username: 'sensor', password: Buffer.from('secret') })
    const lost = Promise.withResolvers<Error>()
    const stranger = device({ port: 0, url, clientId: 'd2', events: { disconnected: lost.resolve } })
    void stranger.start()
    expect((await lost.promise).message).toMatch(/certificate/)
    expect((await lost.promise).message).not.toContain('secret')
  })
})
