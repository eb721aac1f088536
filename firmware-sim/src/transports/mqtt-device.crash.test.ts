/**
 * Against a broker that keeps a session as MQTT 3.1.1 §4.3 says and is reset at any moment, losing packets in both directions:
 * QoS 2 arrives exactly once, QoS 1 at least once, and each in the order of publication.
 */
import type { Packet } from 'mqtt-packet'
import { afterEach, describe, expect, it } from 'vitest'
import { createRandom } from '../signals/random.ts'
import { MqttDevice } from './mqtt-device.ts'
import { connack, startTestBroker, type TestBroker, type TestConnection } from './test-broker.ts'

let started: TestBroker | undefined
afterEach(() => started?.close())

describe('an MQTT device whose connection is reset again and again', () => {
  it.each(['1', '2', '3', '4', '5', '6'])('loses nothing and doubles nothing at QoS 2 (seed %s)', async seed => {
    const random = createRandom(seed)
    const received: string[] = []
    const openQos2 = new Set<number>()
    let known = false
    let resets = 60

    started = await startTestBroker((packet: Packet, connection: TestConnection) => {
      if (packet.cmd === 'connect') {
        connection.send(connack(known))
        known = true
        return
      }
      const before = resets > 0 && random.chance(0.05)
      if (!before) answer(packet, connection)
      if (before || (resets > 0 && random.chance(0.05))) {
        resets--
        connection.reset()
      }
    })
    function answer(packet: Packet, { send }: TestConnection): void {
      const messageId = packet.messageId ?? 0
      if (packet.cmd === 'publish') {
        if (packet.qos === 1 || !openQos2.has(messageId)) received.push(String(packet.payload))
        if (packet.qos === 2) openQos2.add(messageId)
        send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId })
      }
      if (packet.cmd === 'pubrel') {
        openQos2.delete(messageId)
        send({ cmd: 'pubcomp', messageId })
      }
    }

    const acked: string[] = []
    const device = new MqttDevice({
      port: started.port,
      clientId: 'd',
      maxInFlight: 20,
      backoff: { baseMs: 1, capMs: 2 },
      events: { acked: publication => acked.push(String(publication.payload)) },
    })
    const messages = Array.from(
      { length: 600 },
      (_, i) => ({ text: String(i), qos: random.chance(0.5) ? 1 : 2 }) as const,
    )
    await Promise.all(messages.map(({ text, qos }) => device.publish('t', text, qos)))
    await device.close()

    expect(new Set(acked).size).toBe(messages.length)
    expect(acked).toHaveLength(messages.length)
    const qos2 = messages.filter(m => m.qos === 2).map(m => m.text)
    const firstQos1 = [...new Set(received)].filter(text => messages[Number(text)]?.qos === 1)
    expect(received.filter(text => messages[Number(text)]?.qos === 2)).toEqual(qos2)
    expect(firstQos1).toEqual(messages.filter(m => m.qos === 1).map(m => m.text))
    expect(device.counters().resent).toBeGreaterThan(0)
  })
})
